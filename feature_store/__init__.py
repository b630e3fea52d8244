"""Our engine inside Feast: definitions compiled to plans, answered by design's semantics."""
