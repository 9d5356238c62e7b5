# ruff: noqa: RUF009 - the calls in the class body only declare fields, as `field()` does
"""The environment as one frozen `Settings`, or every problem with it at once."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, TypeVar, get_args
from zoneinfo import ZoneInfo

from combinations import problems_among
from environment import ConfigurationError, Variable, look_alikes, read_all, read_env
from value_forms import (
    Network,
    alert_addresses,
    bearer_tokens,
    boolean,
    database_address,
    event_address,
    listening_address,
    matching,
    networks,
    one_of,
    page_origin,
    page_origins,
    pinterest_address,
    shop_names,
    time_zone,
    webhook_secrets,
    whole_number,
    words,
)

__all__ = ["VARIABLES", "ConfigurationError", "Settings"]

T = TypeVar("T")

AttributionModel = Literal[
    "first_touch",
    "last_touch",
    "last_non_direct",
    "linear",
    "position_based",
    "time_decay",
    "view_through",
]

# Shopify's own secrets have 32 characters or more; shorter keys work, with a warning.
GOOD_KEY = 16
# 128 bits in base64; a shorter token works, with a warning.
GOOD_TOKEN = 22


def _variable(
    name: str, default: str, parse: Callable[[str], T], help: str, *, secret: bool = False
) -> T:
    """Returns a field of `Settings`, whose type is the result of the variable's parser."""
    metadata = {"variable": Variable(name, default, parse, help)}
    declared: T = field(repr=not secret, metadata=metadata)
    return declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The merchant's decisions. The fields are the table of all variables."""

    shopify_webhook_secrets: tuple[bytes, ...] = _variable(
        "SHOPIFY_WEBHOOK_SECRET",
        "",
        webhook_secrets,
        "Required. Signs Shopify's webhooks; while rotating, old and new separated by a comma.",
        secret=True,
    )
    shopify_shops: frozenset[str] = _variable(
        "SHOPIFY_STORE_URL",
        "",
        shop_names,
        "my-shop.myshopify.com, several by comma; webhooks of other shops are then refused.",
    )
    shopify_client_id: str = _variable(
        "SHOPIFY_CLIENT_ID",
        "",
        matching(r"[A-Za-z0-9_-]{0,128}", "the app's client id alone"),
        "Client id of the shop's own app, for `reconcile` and `subscribe`.",
    )
    shopify_client_secret: str = _variable(
        "SHOPIFY_CLIENT_SECRET",
        "",
        matching(r"[!-~]*", "the app's client secret alone"),
        "Client secret of that app; it also signs the webhooks that `subscribe` creates.",
        secret=True,
    )
    shopify_admin_token: str = _variable(
        "SHOPIFY_ADMIN_TOKEN",
        "",
        matching(r"[!-~]*", "the Admin API access token alone"),
        "Admin API access token of one shop, instead of client id and secret.",
        secret=True,
    )
    pinterest_access_token: str = _variable(
        "PINTEREST_ACCESS_TOKEN",
        "",
        matching(r"[!-~]*", "the conversion access token alone, without 'Bearer'"),
        "Conversion access token; without it orders are recorded and reported, but not sent.",
        secret=True,
    )
    pinterest_ad_account_id: str = _variable(
        "PINTEREST_AD_ACCOUNT_ID",
        "",
        matching(r"[0-9]{0,18}", "the ad account's number, 1 to 18 digits"),
        "Number of the ad account that the token belongs to.",
    )
    pinterest_api_base: str = _variable(
        "PINTEREST_API_BASE",
        "https://api.pinterest.com/v5",
        pinterest_address,
        "Pinterest's API; any other host only as http on a loopback address, for tests.",
    )
    pinterest_send: Literal["attributed", "all", "off"] = _variable(
        "PINTEREST_SEND",
        "attributed",
        one_of("attributed", "all", "off"),
        "Purchases to send: attributed (credited to Pinterest), all (consent allowing) or off.",
    )
    pinterest_mediums: frozenset[str] = _variable(
        "PINTEREST_MEDIUMS",
        "",
        words,
        "More values of utm_medium that are Pinterest's, by comma: influencer,email.",
    )
    pinterest_test_mode: bool = _variable(
        "PINTEREST_TEST_MODE",
        "false",
        boolean,
        "true: Pinterest checks the events, but counts none of them.",
    )
    pinterest_erase: bool = _variable(
        "PINTEREST_ERASE",
        "true",
        boolean,
        "true: when a person is erased, Pinterest is asked to delete their events, too.",
    )
    pinterest_partner_name: str = _variable(
        "PINTEREST_PARTNER_NAME",
        "",
        matching(r"(?:direct|ss-[a-z0-9-]{1,60})?", "direct, or ss- and a name in lower case"),
        "partner_name of every event: direct, or ss-name if Pinterest gave you one; empty is none.",
    )
    send_free_orders: bool = _variable(
        "SEND_FREE_ORDERS",
        "false",
        boolean,
        "true: purchases worth 0.00 are sent, too.",
    )
    pinterest_ads_token: str = _variable(
        "PINTEREST_ADS_TOKEN",
        "",
        matching(r"[!-~]*", "the OAuth access token alone, without 'Bearer'"),
        "OAuth access token with ads:read, to read spend and conversions from Pinterest.",
        secret=True,
    )
    pinterest_refresh_token: str = _variable(
        "PINTEREST_REFRESH_TOKEN",
        "",
        matching(r"[!-~]*", "the OAuth refresh token alone"),
        "OAuth refresh token; with app id and secret the access token renews itself.",
        secret=True,
    )
    pinterest_app_id: str = _variable(
        "PINTEREST_APP_ID",
        "",
        matching(r"[0-9]{0,20}", "the app's number"),
        "Number of the Pinterest app that the refresh token belongs to.",
    )
    pinterest_app_secret: str = _variable(
        "PINTEREST_APP_SECRET",
        "",
        matching(r"[!-~]*", "the app's secret alone"),
        "Secret of that app.",
        secret=True,
    )
    pinterest_app: Literal["none", "beside"] = _variable(
        "PINTEREST_APP",
        "none",
        one_of("none", "beside"),
        "beside: Pinterest's own Shopify app sends purchases too; ours carry the ids it sends.",
    )
    track_ai_endpoint: str = _variable(
        "TRACK_AI_ENDPOINT",
        "",
        event_address,
        "https address of Track AI, a second destination; empty is off.",
    )
    track_ai_store_id: str = _variable(
        "TRACK_AI_STORE_ID",
        "pinterest_store",
        matching(r"[!-~]{1,100}", "up to 100 ASCII characters without spaces"),
        "The store's id at Track AI.",
    )
    track_ai_pinterest_pixel_id: str = _variable(
        "TRACK_AI_PINTEREST_PIXEL_ID",
        "pinterest_pixel",
        matching(r"[!-~]{1,100}", "up to 100 ASCII characters without spaces"),
        "The pixel's id at Track AI.",
    )
    database_url: str = _variable(
        "DATABASE_URL",
        "sqlite:///data/tracking.db",
        database_address,
        "sqlite:///FILE, or postgresql+psycopg://USER:PASSWORD@HOST/NAME for several machines.",
        secret=True,
    )
    api_tokens: tuple[bytes, ...] = _variable(
        "API_TOKEN",
        "",
        bearer_tokens,
        "Bearer token for reports and events (openssl rand -hex 32); empty closes them.",
        secret=True,
    )
    dashboard_auth_header: str = _variable(
        "DASHBOARD_AUTH_HEADER",
        "",
        matching(r"(?:[A-Za-z][A-Za-z0-9-]{0,63})?", "the name of a header"),
        "Header in which a proxy names whom it signed in to the dashboard; empty: token only.",
    )
    dashboard_auth_peers: tuple[Network, ...] = _variable(
        "DASHBOARD_AUTH_PEERS",
        "",
        networks,
        "Addresses (CIDR, by comma) of the proxies whose header is believed; it needs them.",
    )
    collector_key: str = _variable(
        "COLLECTOR_KEY",
        "",
        matching(r"(?:[A-Za-z0-9_-]{8,128})?", "8 to 128 ASCII letters, digits, _ and -"),
        "Public key of the shop's pixel (openssl rand -hex 16); empty turns the collector off.",
    )
    collector_origins: frozenset[str] = _variable(
        "COLLECTOR_ORIGINS",
        "",
        page_origins,
        "https://my-shop.com, several by comma; pages of other origins are then refused.",
    )
    collector_rate: int = _variable(
        "COLLECTOR_RATE",
        "10",
        whole_number(1, 10_000),
        "Pixel events a second from one address; those of 6 seconds (60 or more) may come at once.",
    )
    collector_total_rate: int = _variable(
        "COLLECTOR_TOTAL_RATE",
        "1000",
        whole_number(1, 100_000),
        "Pixel events a second from all addresses; those of 5 seconds may come at once.",
    )
    public_url: str = _variable(
        "PUBLIC_URL",
        "",
        page_origin,
        "https address at which browsers reach this service; empty: the address they called.",
    )
    click_window_days: int = _variable(
        "CLICK_WINDOW_DAYS",
        "30",
        whole_number(0, 365),
        "A click on a pin is credited with orders up to this many days later; 0 ignores clicks.",
    )
    view_window_hours: int = _variable(
        "VIEW_WINDOW_HOURS",
        "24",
        whole_number(0, 8_760),
        "A view of a pin is credited with orders up to this many hours later; 0 ignores views.",
    )
    attribution_model: AttributionModel = _variable(
        "ATTRIBUTION_MODEL",
        "last_touch",
        one_of(*get_args(AttributionModel)),
        f"{', '.join(get_args(AttributionModel))}.",
    )
    purchase_on: Literal["create", "paid"] = _variable(
        "PURCHASE_ON",
        "create",
        one_of("create", "paid"),
        "An order is a purchase once it is placed (create), or once it was paid, which it then "
        "stays (paid).",
    )
    conversion_value: Literal["net", "total"] = _variable(
        "CONVERSION_VALUE",
        "net",
        one_of("net", "total"),
        "net: after discounts, without tax and shipping; total: the order's total.",
    )
    content_id: Literal["product", "variant", "sku"] = _variable(
        "CONTENT_ID",
        "product",
        one_of("product", "variant", "sku"),
        "The id that your Pinterest catalogue uses: product, variant or sku.",
    )
    shop_timezone: ZoneInfo = _variable(
        "SHOP_TIMEZONE",
        "UTC",
        time_zone,
        "IANA name of the zone whose days the reports count, such as Europe/Berlin.",
    )
    consent_unknown: Literal["send", "limit", "hold"] = _variable(
        "CONSENT_UNKNOWN",
        "send",
        one_of("send", "limit", "hold"),
        "Buyers whose consent is not known: send, limit (sent as opted out) or hold (not sent).",
    )
    settling_minutes: int = _variable(
        "SETTLING_MINUTES",
        "60",
        whole_number(0, 1_440),
        "Minutes that an unattributed order stays sendable, in case its click arrives late.",
    )
    retention_days: int = _variable(
        "RETENTION_DAYS",
        "400",
        whole_number(1, 3_650),
        "People, touches and delivered payloads older than this many days are forgotten.",
    )
    event_retention_days: int = _variable(
        "EVENT_RETENTION_DAYS",
        "90",
        whole_number(8, 3_650),
        "Storefront events older than this many shop days leave only their figures by day.",
    )
    free_space_floor_mb: int = _variable(
        "FREE_SPACE_FLOOR_MB",
        "200",
        whole_number(0, 1_000_000),
        "Below so many free megabytes for SQLite webhooks get 503, below twice as many the pixel.",
    )
    trusted_proxies: int = _variable(
        "TRUSTED_PROXIES",
        "0",
        whole_number(0, 10),
        "Number of reverse proxies in front, whose X-Forwarded-For is trusted.",
    )
    host: str = _variable(
        "HOST",
        "127.0.0.1",
        listening_address,
        "Address to listen on: 127.0.0.1 for a reverse proxy on this machine, 0.0.0.0 for others.",
    )
    port: int = _variable("PORT", "8000", whole_number(1, 65_535), "Port to listen on.")
    web_concurrency: int = _variable(
        "WEB_CONCURRENCY",
        "2",
        whole_number(1, 64),
        "Serving processes; one for each core is enough.",
    )
    deliver: bool = _variable(
        "DELIVER",
        "true",
        boolean,
        "false: only receive and report here; run `flask deliver --watch` elsewhere, "
        "also if nothing is sent.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = _variable(
        "LOG_LEVEL",
        "INFO",
        one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "DEBUG, INFO, WARNING, ERROR or CRITICAL.",
    )
    log_format: Literal["text", "json"] = _variable(
        "LOG_FORMAT",
        "text",
        one_of("text", "json"),
        "json: each line is a JSON object, with request_id where it belongs to a request.",
    )
    alert_urls: tuple[str, ...] = _variable(
        "ALERT_URLS",
        "",
        alert_addresses,
        "Where alerts go: addresses of apprise (slack://…, mailtos://…), several by comma.",
        secret=True,
    )
    alert_webhooks: int = _variable(
        "ALERT_WEBHOOKS",
        "12",
        whole_number(1, 1_000_000),
        "None, where each of the four weeks before had so many in the same stretch, is an alert.",
    )
    alert_pixel_hours: int = _variable(
        "ALERT_PIXEL_HOURS",
        "24",
        whole_number(1, 720),
        "So many hours without an event of the pixel are an alert.",
    )
    alert_accuracy_percent: int = _variable(
        "ALERT_ACCURACY_PERCENT",
        "95",
        whole_number(0, 100),
        "A lower accuracy of the orders of two hours is an alert.",
    )
    alert_overlap_percent: int = _variable(
        "ALERT_OVERLAP_PERCENT",
        "70",
        whole_number(0, 100),
        "A smaller share of purchases with the id of Pinterest's own app is an alert.",
    )
    alert_waiting_minutes: int = _variable(
        "ALERT_WAITING_MINUTES",
        "60",
        whole_number(1, 10_080),
        "An event that waits longer to be sent is an alert.",
    )
    alert_least_events: int = _variable(
        "ALERT_LEAST_EVENTS",
        "20",
        whole_number(1, 1_000_000),
        "A share of fewer events than this is no alert.",
    )

    # Lines on variables whose name is nearly that of a setting, and on lines that set nothing.
    doubts: tuple[str, ...] = field(default=(), compare=False)

    @classmethod
    def load(cls) -> Self:
        """Returns the settings of this process: those of its environment and of the file `.env`.

        Raises:
            ConfigurationError: with all problems, those of the file included.
        """
        return cls.from_env(*read_env(".env", os.environ))

    @classmethod
    def from_env(
        cls, env: Mapping[str, str], problems: Sequence[str] = (), doubts: Sequence[str] = ()
    ) -> Self:
        """Returns the settings of an environment, without regard to names not in the table.

        Raises:
            ConfigurationError: with all problems, not only the first; `problems` and `doubts` are
                known before.
        """
        variables = {
            declared.name: declared.metadata["variable"]
            for declared in fields(cls)
            if declared.metadata
        }
        values, found = read_all(variables, env)
        names = [each.name for each in variables.values()]
        told = (*doubts, *look_alikes(names, env))
        found = [*problems, *found, *problems_among(values)]
        if found:
            raise ConfigurationError((*found, *told))
        return cls(**values, doubts=told)

    @property
    def address(self) -> str:
        """Address and port to listen on, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_report_only(self) -> bool:
        """True if the token or the account that Pinterest requires is missing."""
        return not (self.pinterest_access_token and self.pinterest_ad_account_id)

    @property
    def sends_to_pinterest(self) -> bool:
        """True if purchases are sent to Pinterest."""
        return not self.is_report_only and self.pinterest_send != "off"

    @property
    def is_beside_app(self) -> bool:
        """True if Pinterest's own Shopify app sends the shop's purchases as well."""
        return self.pinterest_app == "beside"

    @property
    def warnings(self) -> tuple[str, ...]:
        """A line for each allowed, but rarely intended value. No line repeats a secret."""
        token, account = self.pinterest_access_token, self.pinterest_ad_account_id
        longest_hours = max(self.click_window_days * 24, self.view_window_hours)
        found = {
            "SHOPIFY_WEBHOOK_SECRET: shorter than any that Shopify makes": any(
                len(secret) < GOOD_KEY for secret in self.shopify_webhook_secrets
            ),
            "API_TOKEN: short enough to be guessed": any(
                len(token) < GOOD_TOKEN for token in self.api_tokens
            ),
            "COLLECTOR_KEY: short enough to be guessed": 0 < len(self.collector_key) < GOOD_KEY,
            "PINTEREST_ACCESS_TOKEN: missing, so nothing is sent (report only)": (
                account and not token
            ),
            "PINTEREST_AD_ACCOUNT_ID: missing, so nothing is sent (report only)": (
                token and not account
            ),
            "SHOPIFY_CLIENT_SECRET: missing, so reconcile and subscribe cannot run": (
                self.shopify_client_id and not self.shopify_client_secret
            ),
            "SHOPIFY_CLIENT_ID: missing, so reconcile and subscribe cannot run": (
                self.shopify_client_secret and not self.shopify_client_id
            ),
            "PINTEREST_APP: beside, but without COLLECTOR_KEY every purchase counts twice": (
                self.is_beside_app and not self.collector_key
            ),
            "PURCHASE_ON: paid, so beside Pinterest's app an order paid late counts twice": (
                self.is_beside_app and self.purchase_on == "paid"
            ),
            "PINTEREST_TEST_MODE: on, so Pinterest counts no event": self.pinterest_test_mode,
            "RETENTION_DAYS: shorter than an attribution window, so touches are purged early": (
                self.retention_days * 24 < longest_hours
            ),
        }
        return (*self.doubts, *(text for text, applies in found.items() if applies))


VARIABLES: tuple[Variable[Any], ...] = tuple(
    f.metadata["variable"] for f in fields(Settings) if f.metadata
)
