"""The shelf: bundles, releases, what was said about them, channels."""
