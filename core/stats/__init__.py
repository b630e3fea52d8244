"""Statistics a person can read: what was counted, how far apart it is, whether it matters."""
