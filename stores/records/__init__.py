"""Prediction records: segments on this machine, segments in shared storage, finding one again."""
