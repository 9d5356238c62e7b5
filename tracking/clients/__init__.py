"""Clients of the services that are called over HTTP: Pinterest's Ads API, Shopify's Admin API."""
