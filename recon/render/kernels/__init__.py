"""Compiled twins, for the CPU, of the steps of the renderer."""
