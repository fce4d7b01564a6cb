"""How visible points look: skin, hair, cloth, shading and shadows."""
