"""Card fraud on real transactions that come without card profiles."""
