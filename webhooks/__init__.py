"""Receives what comes in unasked: Shopify's topics and the storefront's pixel."""
