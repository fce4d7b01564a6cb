"""Appearance of visible points: skin, hair, cloth, shading and shadows."""
