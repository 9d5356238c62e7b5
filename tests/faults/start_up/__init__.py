"""What gunicorn is told to serve instead of the service, to see the service at another time."""

# What the account of `limited` may make.
CALLS_PER_MINUTE = 50
