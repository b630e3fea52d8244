"""The audit log in the abstract: records in a chain, whether it is whole, which of them to show."""
