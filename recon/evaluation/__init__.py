"""Measuring results: distances, alignments, protocols."""
