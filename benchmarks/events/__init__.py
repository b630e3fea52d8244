"""Events: how soon one can be read, how many are folded, what is refused, what is lost."""
