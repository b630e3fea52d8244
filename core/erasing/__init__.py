"""Forgetting somebody in the abstract: tombstones, and what an identifier looks like in bytes."""
