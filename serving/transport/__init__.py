"""Bytes to domain types and back; status codes; nothing else."""
