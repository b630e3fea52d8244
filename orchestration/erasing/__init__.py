"""Forgetting a person: the steps, one module a place in which they stand."""
