"""What was seen and told: looks, triages, alerts, webhooks."""
