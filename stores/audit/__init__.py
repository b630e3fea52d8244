"""The audit log of a home, as files."""
