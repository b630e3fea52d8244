"""What is served, watched: drift, performance, calibration, freshness, the stream of scores."""
