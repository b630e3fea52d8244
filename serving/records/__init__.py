"""What is kept of each prediction: written, shipped, shown, replayed."""
