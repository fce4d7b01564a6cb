"""From a fitted head and its photos to a texture of the exported mesh."""
