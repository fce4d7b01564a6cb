"""Diffusion networks that draw the lower face of a speaker: noise schedules, the U-Net and its samplers, and its weights on disk."""
