"""Error measures: landmarks, depth, pose, and statistics over items."""
