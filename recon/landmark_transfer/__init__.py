"""Landmarks of a detector carried onto a face model."""
