"""Compiled twins, for the CPU, of the slowest steps of synthesis."""
