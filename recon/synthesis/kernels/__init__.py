"""Compiled CPU kernels of the slowest steps of synthesis."""
