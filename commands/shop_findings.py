"""The findings of doctor on the shop's Admin API, which Shopify itself is asked about."""

from collections.abc import Iterator
from contextlib import closing

from commands.findings import Finding
from config import Settings
from tracking.clients import shopify_access
from tracking.clients.shopify_access import ShopAccess
from tracking.clients.shopify_admin import ShopifyAdmin
from tracking.clients.shopify_http import ShopifyError
from tracking.operate.webhook_subscriptions import subscribe
from tracking.service import Service
from webhooks.shopify import TOPICS

# Somebody waits for the answer, and may ask again.
_DEADLINE_SECONDS = 4.0
_ATTEMPTS = 2


def shop_findings(service: Service, asks: bool) -> Iterator[Finding]:
    """Yields the findings on each shop's Admin API; where it `asks`, each shop is called."""
    settings = service.settings
    if lack := shopify_access.missing_settings(settings):
        text = f"not asked: what webhooks lose, only reconcile finds ({lack})"
        yield Finding("note", "Shopify", text)
        return
    by = "its own token" if settings.shopify_admin_token else "the app's client id and secret"
    shops = ", ".join(sorted(settings.shopify_shops))
    yield Finding("ok", "Shopify", f"reconcile and subscribe ask {shops} with {by}")
    if settings.shopify_client_secret.encode() not in (b"", *settings.shopify_webhook_secrets):
        text = "the app's own could not be verified: SHOPIFY_WEBHOOK_SECRET lacks its client secret"
        yield Finding("note", "webhooks", text)
    if asks:
        yield from (_answered(settings, shop, service) for shop in service.shops)


def _answered(settings: Settings, shop: ShopAccess, service: Service) -> Finding:
    admin = ShopifyAdmin(shop, service.clock, lambda _: None, _DEADLINE_SECONDS, _ATTEMPTS)
    with closing(admin):
        try:
            topics = subscribe(admin, TOPICS, settings.public_url, repairs=False).topics
        except ShopifyError as error:
            return Finding("FAIL", "Shopify", f"{shop.shop} does not let the service in: {error}")
    welcome = f"{shop.shop} lets the service in"
    if not settings.public_url:
        return Finding("ok", "Shopify", f"{welcome}; set PUBLIC_URL to have its webhooks checked")
    missing = sum(each.state != "fine" for each in topics)
    if missing:
        text = f"the app does not send {missing} of {len(topics)} topics here as needed"
        advice = "`subscribe` repairs it, unless Settings › Notifications has them"
        return Finding("note", "Shopify", f"{welcome}; {text}: {advice}")
    return Finding("ok", "Shopify", f"{welcome}, and the app sends all {len(topics)} topics here")
