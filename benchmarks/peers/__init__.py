"""Peers, each as its own users would run it, in an environment of its own where needed."""
