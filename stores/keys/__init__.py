"""Keys: those that sign, those that digests are keyed with, those that callers carry."""
