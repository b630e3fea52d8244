"""The cold tier: whole files that are seldom read, kept where keeping is cheap."""
