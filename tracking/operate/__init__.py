"""What keeps the service in order: retention, rate limits, monitoring, background work."""
