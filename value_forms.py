"""The forms of the values of variables: a parser for each, which refuses any other form."""

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeVar
from zoneinfo import ZoneInfo

T = TypeVar("T")
Network = IPv4Network | IPv6Network

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
# Guides and examples print these where the secret goes; here without case and punctuation.
_PLACEHOLDERS = frozenset(
    {
        *("changeme", "changethis", "replaceme", "placeholder", "password", "secret"),
        *("yoursecret", "yourwebhooksecret", "yourshopifywebhooksecret", "shopifywebhooksecret"),
    }
)
_YOURS = ("your_", "your-", "your ", "<your")
# A token that is compared at any time, however many wrong ones came before.
_SHORTEST_TOKEN = 16
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


class BadValue(Exception):
    """A value that its variable does not accept, and a description of the accepted ones."""

    def __init__(self, wrong: str, accepted: str) -> None:
        super().__init__(f"{wrong}; accepted: {accepted}")


def boolean(value: str) -> bool:
    """Returns the truth value of a word such as yes, off or 1."""
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise BadValue("neither yes nor no", ", ".join(_BOOLEANS))
    return found


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Returns a parser of decimal numbers from `low` to `high`, both included."""

    def parse(value: str) -> int:
        # int() alone would also take "1_000" and digits of other scripts.
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise BadValue("not a number of this range", f"a whole number from {low} to {high}")
        return int(value)

    return parse


def listening_address(value: str) -> str:
    """Returns the IP address of this machine, or of all its networks, to listen on."""
    try:
        return str(ip_address("127.0.0.1" if value.lower() == "localhost" else value))
    except ValueError:
        raise BadValue(
            "not an address to listen on", "127.0.0.1, 0.0.0.0, or another IP address"
        ) from None


def networks(value: str) -> tuple[Network, ...]:
    """Returns networks of addresses, none of which holds every address."""
    parts = _comma_separated(value)
    try:
        found = tuple(map(ip_network, parts))
    except ValueError:
        found = ()
    if len(found) < len(parts) or (value and not parts) or any(n.prefixlen == 0 for n in found):
        raise BadValue("not a list of networks", "10.0.0.5 or 10.0.0.0/24, separated by commas")
    return found


def one_of(*choices: T) -> Callable[[str], T]:
    """Returns a parser that accepts the choices in any case."""
    by_name = {str(choice).lower(): choice for choice in choices}

    def parse(value: str) -> T:
        if value.lower() not in by_name:
            raise BadValue("not one of the choices", ", ".join(map(str, choices)))
        return by_name[value.lower()]

    return parse


def matching(pattern: str, accepted: str) -> Callable[[str], str]:
    """Returns a parser that accepts a text of the pattern; `accepted` describes it in words."""

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise BadValue("not of the right form", accepted)
        return value

    return parse


def _comma_separated(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def words(value: str) -> frozenset[str]:
    """Returns the words of a list; none is an empty one."""
    parts = _comma_separated(value)
    if (value and not parts) or any(re.search("[;|=&]", part) for part in parts):
        raise BadValue("not a list of words", "words separated by commas")
    return frozenset(parts)


def alert_addresses(value: str) -> tuple[str, ...]:
    """Returns the addresses that alerts are sent to; none sends them nowhere."""
    # An address may have commas of its own.
    parts = [part.strip(", ") for part in re.split(r"[\s,]+(?=[a-zA-Z][a-zA-Z0-9]*://)", value)]
    if value and not all(re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]*://[!-~]+", part) for part in parts):
        raise BadValue(
            "not addresses of apprise", "slack://…, mailtos://…, json://…; several by comma"
        )
    return tuple(filter(None, parts))


def webhook_secrets(value: str) -> tuple[bytes, ...]:
    """Returns the signing secrets, at least one of them."""
    accepted = "the signing secret Shopify shows"
    parts = _comma_separated(value)
    if not parts:
        raise BadValue("missing", f"{accepted}; several separated by commas")
    if any(map(_is_placeholder, parts)):
        raise BadValue("still a placeholder", accepted)
    return tuple(part.encode() for part in parts)


def _is_placeholder(text: str) -> bool:
    letters = re.sub(r"[^a-z0-9]", "", text.lower())
    return letters in _PLACEHOLDERS or text.lower().startswith(_YOURS)


def bearer_tokens(value: str) -> tuple[bytes, ...]:
    """Returns the tokens of the API; none closes it."""
    parts = _comma_separated(value)
    for part in parts:
        # A client sends its token in a header, behind "Bearer " and one space.
        if not re.fullmatch(r"[!-~]+", part):
            raise BadValue(
                "a token has spaces or letters beyond ASCII",
                "random ASCII characters without spaces; several separated by commas",
            )
        if _is_placeholder(part) or len(part) < _SHORTEST_TOKEN:
            raise BadValue(
                f"still a placeholder, or shorter than {_SHORTEST_TOKEN} characters",
                "a random token, such as openssl rand -hex 32 makes",
            )
    return tuple(part.encode() for part in parts)


def shop_names(value: str) -> frozenset[str]:
    """Returns the myshopify.com names of the shops; none accepts every shop."""
    accepted = "my-shop.myshopify.com; several separated by commas"
    shops = [_shop_name(part) for part in _comma_separated(value)]
    # A value of commas alone would otherwise accept every shop.
    if (value and not shops) or not all(_SHOP.fullmatch(shop) for shop in shops):
        raise BadValue("not the myshopify.com name of a shop", accepted)
    return frozenset(shops)


def _shop_name(part: str) -> str:
    # Lower case of ASCII only: a letter such as the Kelvin sign would become an ASCII letter.
    name = part.lower() if part.isascii() else part
    return name.removeprefix("https://").removeprefix("http://").removesuffix("/")


def pinterest_address(value: str) -> str:
    """Returns the base address of Pinterest's API, without a slash at its end."""
    url = _url(value)
    is_pinterest = url is not None and (
        url["scheme"] == "https"
        and url["host"] == "api.pinterest.com"
        and url["port"] in (None, "443")
    )
    if not is_pinterest and not _is_local(url):
        raise BadValue(
            "not Pinterest's address",
            "https://api.pinterest.com/v5, or http on a loopback address for tests",
        )
    return value.removesuffix("/")


def page_origins(value: str) -> frozenset[str]:
    """Returns the origins of pages; none accepts every page."""
    parts = _comma_separated(value)
    # A value of commas alone would otherwise accept every page.
    if value and not parts:
        raise BadValue("names no origin", _ACCEPTED_ORIGIN)
    return frozenset(page_origin(part) for part in parts)


def page_origin(value: str) -> str:
    """Returns an origin as browsers write it: lower case, no default port, no path."""
    if not value:
        return ""
    # Lower case of ASCII only, as for shops.
    url = _url(value.lower() if value.isascii() else value)
    if url is None or url["path"] or not (url["scheme"] == "https" or _is_local(url)):
        raise BadValue("not the origin of a page", _ACCEPTED_ORIGIN)
    usual = _PORTS[url["scheme"]]
    port = int(url["port"] or usual)
    return f"{url['scheme']}://{url['host']}" + ("" if port == usual else f":{port}")


def event_address(value: str) -> str:
    """Returns the https address that receives events; the empty text is none."""
    url = _url(value)
    if value and not (url is not None and url["scheme"] == "https") and not _is_local(url):
        raise BadValue(
            "not an address events may be sent to",
            "https://HOST/PATH without user, query and fragment, or http on a loopback address",
        )
    return value


def _url(value: str) -> re.Match[str] | None:
    url = _URL.fullmatch(value)
    return url if url and 0 < int(url["port"] or 1) < 65_536 else None


def _is_local(url: re.Match[str] | None) -> bool:
    """True for http on this machine, where the network cannot read along."""
    if url is None or url["scheme"] != "http":
        return False
    try:
        return IPv4Address(url["host"]).is_loopback
    except ValueError:
        return url["host"] in ("localhost", "[::1]")


def database_address(value: str) -> str:
    """Returns the database's URL as SQLAlchemy expects it."""
    if _SQLITE_FILE.fullmatch(value):
        return value
    found = _POSTGRES.fullmatch(value)
    if found is None:
        raise BadValue(
            "not a database this service can keep orders in",
            "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
        )
    return f"postgresql+psycopg://{found[1]}"


def time_zone(value: str) -> ZoneInfo:
    """Returns the time zone of an IANA name."""
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise BadValue("not a time zone known here", "an IANA name such as Europe/Berlin") from None
