"""Text from URLs and note attributes, decoded, bounded and free of addresses."""

import re
from datetime import UTC, datetime
from urllib.parse import quote, unquote

_URL_LIMIT = 4096
_VALUE_LIMIT = 1024
# Control characters, lone surrogates, and the invisible marks that reorder or break a line.
_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b\u2028-\u202e\u2060\u2066-\u2069\ufeff\ud800-\udfff]"
)
ENCODED_AT = re.compile(r"%(?:25)*40")
EMAIL = re.compile(r"@[^\s@]*\.[^\s@]")
_UNIX = re.compile(r"([0-9]{10})(?:[0-9]{3})?(?:\.[0-9]*)?")
# Stands in an address as it is. A slash may stand in a query too (RFC 3986, 3.4).
_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:(?=//)")
_HOST = re.compile(r"[\w-]{1,63}(?:\.[\w-]{1,63})+")


def query_of(url: str) -> dict[str, str]:
    """Returns the query of an address, decoded: lower-case names, each with its first value.

    Reads what browsers and templates make of an address: relative or absolute, raw spaces and
    emoji, broken percent-encoding, `&amp;`, a second `?` before utm_ or epik. Values have at most
    1,024 characters, none of them a control character. Never raises.
    """
    if len(url) > _URL_LIMIT:
        # What is left of the parameter at the limit is not what was meant.
        url = url[:_URL_LIMIT].rpartition("&")[0]
    query = printable(url.partition("#")[0].partition("?")[2]).replace("+", " ")
    if "?" in query:
        query = query.replace("?utm_", "&utm_").replace("?epik=", "&epik=")
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.removeprefix("amp;").partition("=")
        if "%" in pair:
            name, value = unquote(name), printable(unquote(value))
        if value:
            found.setdefault(name.strip().lower(), value[:_VALUE_LIMIT])
    return found


def bare_name(name: str) -> str:
    """Returns the name of a note attribute in lower case, without leading underscores."""
    return name.lstrip("_").lower()


def printable(text: str) -> str:
    """Returns the text without control characters and invisible marks."""
    return text if text.isprintable() else _UNPRINTABLE.sub("", text)


def quoted(text: str) -> str:
    """Returns the text percent-encoded for a query."""
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def has_address(text: str) -> bool:
    """Returns True if the text holds an @, also an encoded one."""
    return "@" in text or ("%" in text and ENCODED_AT.search(text) is not None)


def instant_of_stamp(value: str) -> int | None:
    """Seconds UTC of ISO 8601 (no zone means UTC), Unix seconds or Unix milliseconds."""
    text = value.strip()
    if unix := _UNIX.fullmatch(text):
        return int(unix[1]) or None
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return max(0, int(moment.timestamp())) or None
    except (ValueError, OverflowError):
        return None


def _parts_of(address: str) -> tuple[str, str]:
    """The authority and the path of an address, be it absolute or relative."""
    place = address.partition("?")[0].partition("#")[0]
    if scheme := _SCHEME.match(place):
        place = place[scheme.end() :]
    if not place.startswith("//"):
        return "", place
    authority, slash, path = place[2:].partition("/")
    return authority, slash + path


def host_of(address: str) -> str:
    """The lower-case host of an address, also of one without a scheme; "" if it has none."""
    if not address:
        return ""
    authority, path = _parts_of(address.strip())
    named = authority or path.partition("/")[0]
    host = named.rpartition("@")[2].partition(":")[0].rstrip(".").lower()
    return host if len(host) <= 253 and _HOST.fullmatch(host) else ""


def path_of_url(address: str) -> str:
    """Returns the path of an address as it may be sent: "/" where it may name a person."""
    path = printable(_parts_of(address)[1])
    if has_address(path):
        return "/"
    path = "/" + path.lstrip("/")
    return path if _PLAIN.fullmatch(path) else quote(path, safe="/%!$&'()*+,;=:~")
