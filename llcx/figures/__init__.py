"""Figures: drawn from what a run folder holds, never from a live object."""
