"""Checks of assets: data faults are results with numbers, never exceptions."""
