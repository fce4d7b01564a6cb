"""Data sets on disk: layouts, plans, cards and writers."""
