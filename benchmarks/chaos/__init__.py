"""What the service does while everything around it fails."""
