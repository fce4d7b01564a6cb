"""Heads against 3D scans: reading, alignment and distances."""
