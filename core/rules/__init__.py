"""Conditions of decision rules: read, checked, compiled for one row and for a batch."""
