"""Adapters without a framework: logs, online values, frames, bundles, the shelf, signatures."""
