"""The online side: predictions, events, records, and the processes around them."""
