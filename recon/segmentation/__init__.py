"""Which pixels of a photo show the face, and which of them bare skin."""
