"""The log of a source: landed files and events as numbered epochs."""
