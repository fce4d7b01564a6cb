"""A trained network applied to photos: coefficients, pose and light of each face."""
