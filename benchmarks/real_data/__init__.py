"""Real card transactions through ingest, training and serving."""
