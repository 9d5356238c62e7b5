"""Text from URLs and note attributes: decoded, limited in length, without e-mail addresses."""

import re
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

_URL_LIMIT = 4096
_VALUE_LIMIT = 1024
_MOST_ENCODINGS = 3
_ENCODED_EQUALS = re.compile(r"%(?:25)*3[dD]")
# Control characters, lone surrogates, and the invisible marks that reorder or break a line.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
_ENCODED_AT = re.compile(r"%(?:25)*40")
_ENCODED_DOT = re.compile(r"%(?:25)*2[eE]")
# A domain behind the sign, whose name may have been cut off. A profile (`/@mugs/a.html`) is none.
_EMAIL = re.compile(r"@[^\s@/?&=]*\.[^\s@/?&=]")
_UNIX = re.compile(r"([0-9]{10})(?:[0-9]{3})?(?:\.[0-9]*)?")
# Needs no encoding in a URL. A slash needs none in a query either (RFC 3986, 3.4).
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?=//)")
_HOST = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})+")
# Hosts of pages that all shops share: statuses of orders, customer accounts, Shop.
_SHARED_HOST = re.compile(r"(?:.+\.)?(?:shopify\.com|shop\.app)")
# Behind these parts of a path stand tokens that open a person's order, cart, account or gift card,
# and a part of so many hex digits is one itself.
_PRIVATE = re.compile(
    r"/(?:account|cart|checkouts?|customer_(?:authentication|identity)|gift_cards?|invoices"
    r"|order_payment|orders)(?=/)"
    r"|(?=/[0-9a-f]{24})|(?=/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-)",
    re.IGNORECASE,
)


def query_pairs(url: str) -> list[tuple[str, str]]:
    """Returns the names and values in the query of a URL, in its order, decoded.

    Names are in lower case; a name may be there several times, but never without a value.
    Reads the URLs that browsers and templates produce: relative or absolute, raw spaces and
    emoji, broken percent-encoding, `&amp;`, a second `?` before utm_ or epik. Values have at most
    1,024 characters, none of them a control character. Never raises.
    """
    if len(url) > _URL_LIMIT:
        # The parameter at the limit is cut, and a part of a value is another value.
        url = url[:_URL_LIMIT].rpartition("&")[0]
    query = printable(url.partition("#")[0].partition("?")[2]).replace("+", " ")
    if "=" not in query and _ENCODED_EQUALS.search(query):
        # Some redirects encode the query as a whole.
        query = printable(unquote(query))
    if "?" in query:
        query = query.replace("?utm_", "&utm_").replace("?epik=", "&epik=")
    pairs: list[tuple[str, str]] = []
    for pair in query.split("&"):
        name, _, value = pair.removeprefix("amp;").partition("=")
        if "%" in pair:
            name, value = unquote(name), printable(_decoded(value))
        if value:
            pairs.append((name.strip().lower(), value[:_VALUE_LIMIT]))
    return pairs


def _decoded(value: str) -> str:
    """Returns a value decoded as often as it was encoded, at most three times."""
    for _ in range(_MOST_ENCODINGS):
        if "%" not in value:
            break
        value = unquote(value)
    return value


def bare_name(name: str) -> str:
    """Returns the name of a note attribute in lower case, without leading underscores."""
    return name.lstrip("_").lower()


def printable(text: str) -> str:
    """Returns the text without control characters and invisible marks."""
    return text if text.isprintable() else _UNPRINTABLE.sub("", text)


def quoted(text: str) -> str:
    """Returns the text percent-encoded for a query."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def has_at_sign(text: str) -> bool:
    """Returns True if the text holds an @, also an encoded one."""
    return "@" in text or ("%" in text and _ENCODED_AT.search(text) is not None)


def has_email(text: str) -> bool:
    """Returns True if the text holds an e-mail address, also with an encoded @ or dot."""
    if not has_at_sign(text):
        return False
    return _EMAIL.search(_ENCODED_DOT.sub(".", _ENCODED_AT.sub("@", text))) is not None


def parse_timestamp(value: str) -> int | None:
    """Returns seconds UTC from ISO 8601 (no zone means UTC), Unix seconds or milliseconds."""
    seconds = seconds_in(value.strip())
    return max(0, seconds) or None if seconds is not None else None


def seconds_in(text: str) -> int | None:
    """As `parse_timestamp`, also for instants before 1970, which a wrong clock may tell."""
    if unix := _UNIX.fullmatch(text):
        return int(unix[1])
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return int(moment.timestamp())
    except (ValueError, OverflowError):
        return None


def _authority_and_path(url: str) -> tuple[str, str]:
    """Returns the authority and the path of an absolute or relative URL."""
    place = url.partition("?")[0].partition("#")[0]
    scheme = _SCHEME.match(place)
    if scheme:
        place = place[scheme.end() :]
    if not place.startswith("//"):
        return "", place
    authority, slash, path = place[2:].partition("/")
    if not scheme and not _HOST.fullmatch(_host_in(authority)):
        # The path of an address with one slash too many.
        return "", place
    return authority, slash + path


def _host_in(authority: str) -> str:
    return authority.rpartition("@")[2].partition(":")[0].rstrip(".").lower()


def host_of(url: str) -> str:
    """Returns the lower-case host of a URL, also of one without a scheme; "" if it has none."""
    if not url:
        return ""
    authority, path = _authority_and_path(url.strip())
    host_part = authority or path.partition("/")[0]
    host = _host_in(host_part)
    return host if len(host) <= 253 and _HOST.fullmatch(host) else ""


def shop_origin_of(url: str) -> str:
    """Returns scheme and host of a page of a shop; "" for a URL without a host, or with one that
    all shops share."""
    return shop_page_of(url)[0]


def shop_page_of(url: str, of_relative: str = "") -> tuple[str, str]:
    """Returns what `shop_origin_of` does of a page, `of_relative` for a URL without a host, and the
    path of the page, as it is in the URL."""
    authority, path = _authority_and_path(url)
    if not authority:
        return of_relative, path
    scheme = "https" if url.startswith("//") else url.partition(":")[0].lower()
    return _origin_of(scheme, authority), path


# A page of a shop is mostly one of few shops'.
@lru_cache(maxsize=256)
def _origin_of(scheme: str, authority: str) -> str:
    host = host_of(f"//{authority}")
    if not host.isascii() or not host or _SHARED_HOST.fullmatch(host):
        return ""
    if scheme not in ("http", "https"):
        return ""
    return f"{scheme}://{host}"


def reported_path(path: str) -> str:
    """Returns the path of a page as it may be sent: without private tokens, "/" if it may name a
    person."""
    path = without_private_tokens(printable(path))
    if has_at_sign(path):
        return "/"
    path = "/" + path.lstrip("/")
    return path if _PLAIN.fullmatch(path) else quote(path, safe="/%!$&'()*+,;=:~")


def without_private_tokens(path: str) -> str:
    """Returns the path up to a token that opens a person's order, cart, account or gift card."""
    if "%" in path and _PRIVATE.search(plain := _decoded(path)):
        path = plain
    private = _PRIVATE.search(path)
    return path[: private.end()] if private else path
