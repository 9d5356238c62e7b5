# ruff: noqa: RUF009 - the calls in the class body only declare fields, as `field()` does
"""The environment as one frozen `Settings`, or every problem with it at once."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Generic, Literal, Self, TypeVar
from zoneinfo import ZoneInfo

from dotenv import dotenv_values

T = TypeVar("T")

# Shopify's own secrets have 32 characters or more; shorter keys work, with a warning.
GOOD_KEY = 16

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
# What guides and examples print where the secret goes, without case and punctuation.
_PLACEHOLDERS = frozenset(
    {
        *("changeme", "changethis", "replaceme", "placeholder", "password", "secret"),
        *("yoursecret", "yourwebhooksecret", "yourshopifywebhooksecret", "shopifywebhooksecret"),
    }
)
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com")
# No user, no query, no fragment: nothing that could carry a key or lead to another host.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>(?:[a-z0-9-]+\.)*[a-z0-9-]+|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~%-]+)*)/?"
)
_PORTS = {"https": 443, "http": 80}
_ACCEPTED_ORIGIN = "https://HOST without a path, or http on a loopback address"
_SQLITE_FILE = re.compile(r"sqlite:///(?!:memory:|\?).+")
_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://(\S+)")


class ConfigurationError(Exception):
    """Every problem with the environment, one a line; no line repeats a value that was given."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class RefusedValue(Exception):
    def __init__(self, wrong: str, accepted: str) -> None:
        super().__init__(f"{wrong}; accepted: {accepted}")


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """One name of the environment. `default` is written as the environment would write it."""

    name: str
    default: str
    parse: Callable[[str], T]
    help: str

    def read(self, env: Mapping[str, str]) -> T:
        """The value, from `NAME` or the file that `NAME_FILE` names; nothing is the default."""
        return self.parse(_checked(self._given(env)) or self.default)

    def _given(self, env: Mapping[str, str]) -> str:
        value, path = env.get(self.name, "").strip(), env.get(f"{self.name}_FILE", "").strip()
        if value and path:
            raise RefusedValue("given twice", f"either {self.name} or {self.name}_FILE")
        return self._content(path) if path else value

    def _content(self, path: str) -> str:
        accepted = f"{self.name}_FILE names a readable text file"
        try:
            return Path(path).read_text("utf-8-sig").strip()
        except OSError as error:
            raise RefusedValue(f"its file cannot be read ({error.strerror})", accepted) from None
        except ValueError:
            raise RefusedValue("its file is not UTF-8 text", accepted) from None


def _checked(value: str) -> str:
    """The value as it is, unless it shows that something was lost on its way here."""
    if not value.isprintable():
        raise RefusedValue("holds a character that cannot be seen", "printable text on one line")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        # Docker's --env-file hands quotes on, and every signature would then be wrong.
        raise RefusedValue(
            "is wrapped in quotes that were not taken off", "the value without quotes"
        )
    return value


def boolean(value: str) -> bool:
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise RefusedValue("neither yes nor no", ", ".join(_BOOLEANS))
    return found


def whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        # int() alone would also take "1_000" and digits of other scripts.
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise RefusedValue("not a number of this range", f"a whole number from {low} to {high}")
        return int(value)

    return parse


def one_of(*choices: T) -> Callable[[str], T]:
    by_name = {str(choice).lower(): choice for choice in choices}

    def parse(value: str) -> T:
        if value.lower() not in by_name:
            raise RefusedValue("not one of the choices", ", ".join(map(str, choices)))
        return by_name[value.lower()]

    return parse


def matching(pattern: str, accepted: str) -> Callable[[str], str]:
    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise RefusedValue("not of the right form", accepted)
        return value

    return parse


def _comma_separated(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def webhook_secrets(value: str) -> tuple[bytes, ...]:
    accepted = "the signing secret Shopify shows"
    parts = _comma_separated(value)
    if not parts:
        raise RefusedValue("missing", f"{accepted}; several separated by commas")
    for part in parts:
        if re.sub(r"[^a-z0-9]", "", part.lower()) in _PLACEHOLDERS:
            raise RefusedValue("still a placeholder", accepted)
    return tuple(part.encode() for part in parts)


def bearer_tokens(value: str) -> tuple[bytes, ...]:
    parts = _comma_separated(value)
    for part in parts:
        # It travels in a header, behind "Bearer " and one space.
        if not re.fullmatch(r"[!-~]+", part):
            raise RefusedValue(
                "a token has spaces or letters beyond ASCII",
                "random ASCII characters without spaces; several separated by commas",
            )
    return tuple(part.encode() for part in parts)


def shop_names(value: str) -> frozenset[str]:
    accepted = "my-shop.myshopify.com; several separated by commas"
    shops = [_shop_name(part) for part in _comma_separated(value)]
    # Only commas would otherwise let every shop in, where somebody meant to name some.
    if (value and not shops) or not all(_SHOP.fullmatch(shop) for shop in shops):
        raise RefusedValue("not the myshopify.com name of a shop", accepted)
    return frozenset(shops)


def _shop_name(part: str) -> str:
    # Lower case only of ASCII: of other scripts it can become ASCII letters (the Kelvin sign).
    name = part.lower() if part.isascii() else part
    return name.removeprefix("https://").removeprefix("http://").removesuffix("/")


def pinterest_address(value: str) -> str:
    url = _url(value)
    is_pinterest = url is not None and (
        url["scheme"] == "https"
        and url["host"] == "api.pinterest.com"
        and url["port"] in (None, "443")
    )
    if not is_pinterest and not _is_local(url):
        raise RefusedValue(
            "not Pinterest's address",
            "https://api.pinterest.com/v5, or http on a loopback address for tests",
        )
    return value.removesuffix("/")


def page_origins(value: str) -> frozenset[str]:
    parts = _comma_separated(value)
    # Only commas would otherwise let every page in, where somebody meant to name some.
    if value and not parts:
        raise RefusedValue("names no origin", _ACCEPTED_ORIGIN)
    return frozenset(page_origin(part) for part in parts)


def page_origin(value: str) -> str:
    """An origin as browsers write it: lower case, without the scheme's own port and a path."""
    if not value:
        return ""
    # Lower case only of ASCII, as for shops.
    url = _url(value.lower() if value.isascii() else value)
    if url is None or url["path"] or not (url["scheme"] == "https" or _is_local(url)):
        raise RefusedValue("not the origin of a page", _ACCEPTED_ORIGIN)
    usual = _PORTS[url["scheme"]]
    port = int(url["port"] or usual)
    return f"{url['scheme']}://{url['host']}" + ("" if port == usual else f":{port}")


def event_address(value: str) -> str:
    url = _url(value)
    if value and not (url is not None and url["scheme"] == "https") and not _is_local(url):
        raise RefusedValue(
            "not an address events may be sent to",
            "https://HOST/PATH without user, query and fragment, or http on a loopback address",
        )
    return value


def _url(value: str) -> re.Match[str] | None:
    url = _URL.fullmatch(value)
    return url if url and 0 < int(url["port"] or 1) < 65_536 else None


def _is_local(url: re.Match[str] | None) -> bool:
    """Whether the address is http on this very machine, where no one else can listen in."""
    if url is None or url["scheme"] != "http":
        return False
    try:
        return IPv4Address(url["host"]).is_loopback
    except ValueError:
        return url["host"] in ("localhost", "[::1]")


def database_address(value: str) -> str:
    if _SQLITE_FILE.fullmatch(value):
        return value
    found = _POSTGRES.fullmatch(value)
    if found is None:
        raise RefusedValue(
            "not a database this service can keep orders in",
            "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
        )
    return f"postgresql+psycopg://{found[1]}"


def time_zone(value: str) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise RefusedValue(
            "not a time zone known here", "an IANA name such as Europe/Berlin"
        ) from None


def _variable(
    name: str, default: str, parse: Callable[[str], T], help: str, *, secret: bool = False
) -> T:
    """A field of `Settings`, typed by what its variable's parser gives."""
    metadata = {"variable": Variable(name, default, parse, help)}
    declared: T = field(repr=not secret, metadata=metadata)
    return declared


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the merchant decided. The fields are the table of all variables; `from_env` reads it."""

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
    pinterest_test_mode: bool = _variable(
        "PINTEREST_TEST_MODE",
        "false",
        boolean,
        "true: Pinterest checks the events, but counts none of them.",
    )
    pinterest_ads_token: str = _variable(
        "PINTEREST_ADS_TOKEN",
        "",
        matching(r"[!-~]*", "the OAuth access token alone, without 'Bearer'"),
        "OAuth access token with ads:read, to read spend from Pinterest.",
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
        "Pixel calls a second from one address; the calls of a minute may come at once.",
    )
    collector_total_rate: int = _variable(
        "COLLECTOR_TOTAL_RATE",
        "1000",
        whole_number(1, 100_000),
        "Pixel calls a second from all addresses; the calls of 5 seconds may come at once.",
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
    attribution_model: Literal[
        "first_touch",
        "last_touch",
        "last_non_direct",
        "linear",
        "position_based",
        "time_decay",
        "view_through",
    ] = _variable(
        "ATTRIBUTION_MODEL",
        "last_touch",
        one_of(
            "first_touch",
            "last_touch",
            "last_non_direct",
            "linear",
            "position_based",
            "time_decay",
            "view_through",
        ),
        "first_touch, last_touch, last_non_direct, linear, position_based, time_decay, "
        "view_through.",
    )
    purchase_on: Literal["create", "paid"] = _variable(
        "PURCHASE_ON",
        "create",
        one_of("create", "paid"),
        "An order is a purchase once it is placed (create) or once it is paid (paid).",
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
        "Touches and delivered payloads older than this many days are purged.",
    )
    free_space_floor_mb: int = _variable(
        "FREE_SPACE_FLOOR_MB",
        "200",
        whole_number(0, 1_000_000),
        "With fewer megabytes of free disk for SQLite, webhooks are answered 503; 0: never.",
    )
    trusted_proxies: int = _variable(
        "TRUSTED_PROXIES",
        "0",
        whole_number(0, 10),
        "Number of reverse proxies in front, whose X-Forwarded-For is trusted.",
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
        "false: only receive and report here; run `flask deliver --watch` elsewhere.",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] = _variable(
        "LOG_LEVEL",
        "INFO",
        one_of("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"),
        "DEBUG, INFO, WARNING, ERROR or CRITICAL.",
    )

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> Self:
        """Read every variable; names that are not in the table are ignored.

        Raises:
            ConfigurationError: all that is wrong, not only the first.
        """
        values: dict[str, Any] = {}
        problems: list[str] = []
        for declared in fields(cls):
            variable = declared.metadata["variable"]
            try:
                values[declared.name] = variable.read(env)
            except RefusedValue as refused:
                problems.append(f"{variable.name}: {refused}")
        problems += _shared_keys(values)
        if problems:
            raise ConfigurationError(tuple(problems))
        return cls(**values)

    @property
    def is_report_only(self) -> bool:
        """Whether Pinterest cannot be reached for want of a token or an account."""
        return not (self.pinterest_access_token and self.pinterest_ad_account_id)

    @property
    def sends_to_pinterest(self) -> bool:
        """Whether purchases go to Pinterest at all."""
        return not self.is_report_only and self.pinterest_send != "off"

    @property
    def sends_to_track_ai(self) -> bool:
        """Whether Track AI is a destination."""
        return bool(self.track_ai_endpoint)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed, but rarely meant. No line repeats a secret."""
        token, account = self.pinterest_access_token, self.pinterest_ad_account_id
        longest_hours = max(self.click_window_days * 24, self.view_window_hours)
        found = {
            "SHOPIFY_WEBHOOK_SECRET: shorter than any that Shopify makes": any(
                len(secret) < GOOD_KEY for secret in self.shopify_webhook_secrets
            ),
            "API_TOKEN: short enough to be guessed": any(
                len(token) < GOOD_KEY for token in self.api_tokens
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
            "PINTEREST_TEST_MODE: on, so Pinterest counts no event": self.pinterest_test_mode,
            "RETENTION_DAYS: shorter than an attribution window, so touches are purged early": (
                self.retention_days * 24 < longest_hours
            ),
        }
        return tuple(text for text, applies in found.items() if applies)


VARIABLES: tuple[Variable[Any], ...] = tuple(f.metadata["variable"] for f in fields(Settings))


def load_env(
    path: str | os.PathLike[str] = ".env", environ: Mapping[str, str] = os.environ
) -> dict[str, str]:
    """The environment over the file's lines; a missing file has none.

    Raises:
        ConfigurationError: the file is there, but cannot be read as text.
    """
    try:
        # Nothing is interpolated: a secret may hold "${".
        lines = dotenv_values(path, interpolate=False, encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        problem = f"{os.fspath(path)}: cannot be read; accepted: UTF-8 text of NAME=value lines"
        raise ConfigurationError((problem,)) from None
    return {name: value for name, value in lines.items() if value is not None} | dict(environ)


def _shared_keys(values: Mapping[str, Any]) -> Iterator[str]:
    """One key, one purpose: who may read reports must not be able to sign orders, and what every
    visitor can read opens nothing else."""
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
