"""Networks from a picture to a depth map, one family a file."""
