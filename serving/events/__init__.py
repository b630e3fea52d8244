"""Events on the online side: taken over HTTP, then folded into values."""
