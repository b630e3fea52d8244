"""Where the platform runs outside a laptop: Kubernetes manifests, images, instance settings."""
