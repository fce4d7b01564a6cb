"""Moving heads: a video to one person's shape and a path of pose and expression."""
