"""Benchmarks against peers: ratios within one run, peak memory of each whole process tree."""
