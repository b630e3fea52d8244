"""Rows on every way in: foreign columns to fields, fields to checked values."""
