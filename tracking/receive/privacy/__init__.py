"""Shopify's privacy topics: data requests, and the erasure of a person or of all persons."""
