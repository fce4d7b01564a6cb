"""Geometry of depth maps: cameras of crops, points and normals, and surfaces through points."""
