"""Fit, evaluate, export: from a training set to a bundle that a gate has let through."""
