"""What the processes say of themselves: metrics, spans, lines, health."""
