"""Baseline: a Flask handler that verifies the HMAC of a webhook and does nothing else."""

import os

from flask import Flask, Response, request

from webhooks.signature import is_signed


def create_app() -> Flask:
    """Builds the handler with the secret of the environment."""
    app = Flask(__name__)
    secrets = (os.environ["SHOPIFY_WEBHOOK_SECRET"].encode(),)

    @app.post("/webhooks/orders/create")
    def receive() -> Response:
        body = request.get_data(cache=False)
        if not is_signed(body, request.headers.get("X-Shopify-Hmac-Sha256"), secrets):
            return Response(status=401)
        return Response(b'{"status":"accepted"}', content_type="application/json")

    return app
