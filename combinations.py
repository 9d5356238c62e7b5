"""Settings that are understood by themselves, but must not stand together, or not alone."""

from collections.abc import Iterator, Mapping
from typing import Any


def problems_among(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields a problem for each setting that does not go with the others, by their fields."""
    yield from _shared_keys(values)
    yield from _believed_header(values)


def _shared_keys(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields a problem for each key with two purposes.

    A reader of reports must not be able to sign orders, and the collector key, which every visitor
    can read, must open nothing else.
    """
    secrets = {*values.get("shopify_webhook_secrets", ())}
    for name in ("pinterest_access_token", "shopify_client_secret", "shopify_admin_token"):
        secrets.add(values.get(name, "").encode())
    tokens = {*values.get("api_tokens", ())}
    if not secrets.isdisjoint(tokens):
        yield (
            "API_TOKEN: also given as a secret of Shopify's or as PINTEREST_ACCESS_TOKEN; "
            "accepted: a token of its own"
        )
    collector_key = values.get("collector_key", "").encode()
    if collector_key and collector_key in secrets | tokens:
        yield (
            "COLLECTOR_KEY: also given as a secret of Shopify's, PINTEREST_ACCESS_TOKEN or "
            "API_TOKEN; accepted: a key of its own, since every visitor can read it"
        )


def _believed_header(values: Mapping[str, Any]) -> Iterator[str]:
    """Yields a problem if any caller could name a person who is signed in."""
    if values.get("dashboard_auth_header") and values.get("dashboard_auth_peers") == ():
        yield (
            "DASHBOARD_AUTH_HEADER: anybody could send it; accepted: together with "
            "DASHBOARD_AUTH_PEERS, the addresses of the proxies that set it"
        )
