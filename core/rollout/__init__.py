"""Rollout as arithmetic: who gets which release, what was counted, what follows from it."""
