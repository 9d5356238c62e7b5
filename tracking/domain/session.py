"""The session behind an order or an event, and the merging of several reports of one session."""

from typing import Any

import msgspec

from tracking.domain.pinterest_traffic import (
    MEDIA,
    is_pinterest_host,
    is_pinterest_medium,
    is_pinterest_source,
)

NOTES = "note_attributes"
LANDING = "landing_site"
REFERRING = "referring_site"
PIXEL = "pixel"
JOURNEY = "customer_journey"
_WEAKEST_FIRST = (JOURNEY, PIXEL, REFERRING, LANDING, NOTES)

_DIRECT_SOURCES = frozenset({"", "direct", "(direct)"})

# The value of each field, and its origin.
SessionFields = dict[str, tuple[Any, str]]


class Session(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The session behind an order or an event; "" where a field is not known.

    `referrer` is a lower-case host, or the package of an Android app. `is_click_cut` means that a
    click id was seen which may be shortened: evidence of a click that must not be sent as one.
    `unfilled` are the parameters, separated by spaces, in which a link or a note had the variable
    of a template that nobody filled in. `stamped_at` is the time of the visit, in seconds UTC.
    `origins` are the origins of the fields (NOTES, LANDING, REFERRING, PIXEL or JOURNEY), sorted by
    field. `older` are the fields that only an older state of the order had, with the version of
    that state.
    """

    source: str = ""
    medium: str = ""
    campaign: str = ""
    campaign_id: str = ""
    pin_id: str = ""
    ad_id: str = ""
    term: str = ""
    content: str = ""
    click_id: str = ""
    visitor: str = ""
    referrer: str = ""
    store_id: str = ""
    pixel_id: str = ""
    is_click_cut: bool = False
    unfilled: str = ""
    stamped_at: int | None = None
    origins: tuple[tuple[str, str], ...] = ()
    older: tuple[tuple[str, str], ...] = ()

    def is_from_pinterest(self, media: frozenset[str] = MEDIA) -> bool:
        """Returns True if Pinterest brought the visitor: by a click, as the source with one of
        these `media`, or as referrer."""
        return (
            bool(self.click_id)
            or self.is_click_cut
            or (is_pinterest_source(self.source) and is_pinterest_medium(self.medium, media))
            or is_pinterest_host(self.referrer)
        )

    @property
    def is_direct(self) -> bool:
        """True if nothing brought the visitor: no campaign, no click, no other site."""
        return self.source.lower() in _DIRECT_SOURCES and not (
            self.medium or self.campaign or self.click_id or self.is_click_cut or self.referrer
        )


def merge_states(newest: Session, version: str, other: Session, its_version: str) -> Session:
    """Merges the sessions of two states of an order, in either order of arrival.

    Each field is from the strongest place that has it, and of one place from the newer state. An
    app that writes note attributes replaces all of them, so a newer state may lack what it was.
    `version` is that of the newest state.
    """
    ranked = _ranked_fields(newest, version)
    for field, candidate in _ranked_fields(other, its_version).items():
        if field not in ranked or ranked[field][:2] < candidate[:2]:
            ranked[field] = candidate
    fields: SessionFields = {
        field: (value, origin) for field, (_, _, value, origin) in ranked.items()
    }
    origins = [origin for _, origin in fields.values()]
    if origins.count(JOURNEY) == 1 and fields.get("stamped_at", ("", ""))[1] == JOURNEY:
        # The time of a visit describes only the visit that the other fields are from.
        del fields["stamped_at"]
    session = session_from_fields(fields)
    versions = {field: ranked[field][1] for field in sorted(fields)}
    older = tuple((field, state) for field, state in versions.items() if state not in ("", version))
    return msgspec.structs.replace(session, older=older) if older else session


def _ranked_fields(session: Session, version: str) -> dict[str, tuple[int, str, Any, str]]:
    """Returns the rank of each field: its place, and the state of the order that it is from.

    What the pixel stored belongs to no state.
    """
    versions = dict(session.older)
    return {
        field: (
            _WEAKEST_FIRST.index(origin),
            "" if origin == PIXEL else versions.get(field, version),
            getattr(session, field),
            origin,
        )
        for field, origin in session.origins
    }


def fill_from_pixel(session: Session, stored: Session) -> Session:
    """Returns an order's session, completed by the session that the pixel `stored`.

    The pixel stored it under the order's checkout or cart token. Its fields replace those that the
    pixel had stored before, and those of Shopify's customer journey.
    """
    session = _without_pixel(session, stored)
    weaker = {field for field, origin in session.origins if origin in (JOURNEY, PIXEL)}
    missing = {
        name: getattr(stored, name)
        for name in _FIELDS
        if getattr(stored, name) and (name in weaker or not getattr(session, name))
    }
    if session.click_id:
        missing.pop("is_click_cut", None)
    if not missing:
        return session
    origins = {**dict(session.origins), **dict.fromkeys(missing, PIXEL)}
    if "click_id" in missing:
        missing["is_click_cut"] = False
        origins.pop("is_click_cut", None)
    older = tuple((field, version) for field, version in session.older if field not in missing)
    return msgspec.structs.replace(
        session, **missing, origins=tuple(sorted(origins.items())), older=older
    )


def _without_pixel(session: Session, stored: Session) -> Session:
    """Returns a session without the fields that the pixel had stored, and does not any more."""
    gone = {
        field for field, origin in session.origins if origin == PIXEL and not getattr(stored, field)
    }
    if not gone:
        return session
    unset = {field: getattr(_EMPTY, field) for field in gone}
    origins = tuple((field, origin) for field, origin in session.origins if field not in gone)
    return msgspec.structs.replace(session, **unset, origins=origins)


def session_from_fields(fields: SessionFields) -> Session:
    """Returns the session of some fields, each with its origin."""
    if "click_id" in fields:
        fields.pop("is_click_cut", None)
    values: dict[str, Any] = {}
    origins = []
    for field in sorted(fields):
        values[field], origin = fields[field]
        origins.append((field, origin))
    return Session(**values, origins=tuple(origins))


_EMPTY = Session()
# The fields of the visit itself; the others describe these fields.
_FIELDS = tuple(f for f in Session.__struct_fields__ if f not in ("origins", "older"))
