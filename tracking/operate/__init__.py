"""The operation of the service: retention, rate limits, monitoring, background workers."""
