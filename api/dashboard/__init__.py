"""The dashboard: pages that the shop's owner opens in a browser, made on the server."""
