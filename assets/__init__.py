"""What exists: assets and checks, built from the declarations of the use cases."""
