"""How other services are asked over HTTP: Pinterest's Ads API and Shopify's Admin API."""
