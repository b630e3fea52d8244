"""The demo and the closed loop: every step through the parts that production uses."""
