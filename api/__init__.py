"""What is asked with the bearer token: reports, events of other systems, their description."""
