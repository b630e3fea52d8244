"""Channels, challengers and shadows: who answers, what is counted, what the controller does."""
