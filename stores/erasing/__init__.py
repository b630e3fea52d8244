"""Somebody looked for and taken out of everything that is kept, one module a kind of place."""
