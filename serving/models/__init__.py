"""Releases in memory: tried, loaded, warmed up, run, swapped."""
