"""Shopify's privacy topics: what is kept of a person, and its erasure."""
