"""Files: how they are written whole, owned, fingerprinted and named to people."""
