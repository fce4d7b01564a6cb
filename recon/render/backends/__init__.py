"""Visible-triangle search: one contract, four implementations."""
