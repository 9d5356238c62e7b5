"""HTTP API behind the bearer token: reports, server events, and the OpenAPI description."""
