"""The Admin API access of each shop, read from the settings."""

from dataclasses import dataclass, field
from typing import Protocol


class AdminSettings(Protocol):
    """Settings for the Admin API. An empty text means: not configured."""

    @property
    def shopify_shops(self) -> frozenset[str]: ...
    @property
    def shopify_client_id(self) -> str: ...
    @property
    def shopify_client_secret(self) -> str: ...
    @property
    def shopify_admin_token(self) -> str: ...


@dataclass(frozen=True, slots=True)
class ShopAccess:
    """Address and credentials of one shop's Admin API: a token, or the id and secret of an app."""

    shop: str
    base: str
    token: str = field(default="", repr=False)
    client_id: str = ""
    client_secret: str = field(default="", repr=False)


def accesses_of(settings: AdminSettings) -> tuple[ShopAccess, ...]:
    """Returns the access of every configured shop; none if a setting is missing."""
    if missing_settings(settings):
        return ()
    return tuple(
        ShopAccess(
            shop,
            f"https://{shop}",
            settings.shopify_admin_token,
            settings.shopify_client_id,
            settings.shopify_client_secret,
        )
        for shop in sorted(settings.shopify_shops)
    )


def missing_settings(settings: AdminSettings) -> str:
    """Returns a sentence that says what to set before the Admin API can be called; "" if it can."""
    pair = {
        "SHOPIFY_CLIENT_ID": settings.shopify_client_id,
        "SHOPIFY_CLIENT_SECRET": settings.shopify_client_secret,
    }
    missing = [] if settings.shopify_shops else ["SHOPIFY_STORE_URL"]
    if not settings.shopify_admin_token and not all(pair.values()):
        missing += [name for name, value in pair.items() if not value]
    if missing:
        return f"set {' and '.join(missing)}"
    if settings.shopify_admin_token and len(settings.shopify_shops) > 1:
        return "SHOPIFY_ADMIN_TOKEN opens one shop, and SHOPIFY_STORE_URL names several"
    return ""
