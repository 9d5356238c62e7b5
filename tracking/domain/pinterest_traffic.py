"""The sources and media of a link that make a visit Pinterest's traffic."""

import re
from collections.abc import Iterable

from tracking.domain.web_text import host_of

# Separators and case do not count: "Paid Social", "paid-social" and "paid_social" are one medium.
_SEPARATORS = re.compile(r"[\s_.+|/-]+")
# What people add to the source's name.
_SOURCE = re.compile(
    r"pin|pinterest(?:ads?|paid|organic|social|paidsocial|cpc|ppc|promoted|pins?|app)*"
)
# Paid and social media, and none at all; not e-mail, affiliates or any other way.
MEDIA = frozenset(
    {
        *("", "cpc", "ppc", "cpm", "cpv", "cpa", "cpe"),
        *("paid", "paidad", "paidads", "paidmedia", "ad", "ads", "promoted", "sponsored"),
        *("social", "socialmedia", "socialpaid", "paidsocial", "socialad", "socialads"),
        *("organicsocial", "socialorganic", "promotedpin", "promotedpins"),
    }
)
# Country sites are subdomains (in.pinterest.com) or domains (pinterest.de, .co.uk, .com.au).
# The last one is the Android app, whose referrer is android-app://com.pinterest/.
_HOST = re.compile(
    r"(?:[a-z0-9-]+\.)*pinterest\.(?:com|[a-z]{2}|com?\.[a-z]{2})"
    r"|(?:www\.)?pin\.it"
    r"|com\.pinterest(?:\.twa)?"
)


def is_pinterest_host(host: str) -> bool:
    """Returns True if a lower-case host, or the package of an Android app, is Pinterest's."""
    return _HOST.fullmatch(host) is not None


def is_pinterest_source(source: str) -> bool:
    """Returns True if a utm_source names Pinterest: `pinterest`, `Pinterest_Paid`, a host."""
    text = source.strip().lower()
    return _SOURCE.fullmatch(_SEPARATORS.sub("", text)) is not None or is_pinterest_host(
        host_of(text)
    )


def media_with(more: Iterable[str]) -> frozenset[str]:
    """Returns the table of media, extended by a shop's own values of utm_medium."""
    return MEDIA | {_bare(medium) for medium in more}


def is_pinterest_medium(medium: str, media: frozenset[str] = MEDIA) -> bool:
    """Returns True if a utm_medium is in a table of media."""
    return _bare(medium) in media


def _bare(medium: str) -> str:
    return _SEPARATORS.sub("", medium.strip().lower())
