"""What the value of a feature is: plans, windows, tiles, the kernel and its oracle."""
