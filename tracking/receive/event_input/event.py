"""An event that a caller hands in, checked whole and made ready to be sent.

Every fault is named with a JSON pointer into what was given, and none quotes a value.
"""

from collections.abc import Mapping
from decimal import Decimal
from hashlib import sha256
from typing import Any

import msgspec

from tracking.destinations.pinterest_schema import problems_of
from tracking.domain.consent import Consent
from tracking.domain.conversion import (
    EVENT_NAMES,
    MAX_EVENT_AGE,
    Conversion,
    Policy,
    Stage,
    event_id_of,
    is_limited,
)
from tracking.domain.identity import FIELDS as PERSON
from tracking.domain.identity import Digest, Identity, digest, hashed
from tracking.domain.session import Session, session_from
from tracking.domain.validation import FieldError, ValidationError
from tracking.domain.web_text import query_of
from tracking.receive.event_input import fields
from tracking.receive.event_input.columns import Columns, Located, Reading, Values, pointer_to

MOST_AHEAD = 300
MOST_PRODUCTS = 1000
MOST_DIGESTS = 50

_STAGES: Mapping[str, Stage] = {name: stage for stage, name in EVENT_NAMES.items()}
ORDERS_OWN = event_id_of("")
_LIMITED = "LDP"
_BOTH_CASES = frozenset({"st", "country"})
_NAMED_BY = ("em", "hashed_maids", "client_ip_address", "client_user_agent")
# What an event that lacks them is given so that the rest of it can be checked.
_FOR_THE_REST = {"event_id": "none", "event_name": "custom", "action_source": "web"}


class InboundEvent(msgspec.Struct, frozen=True, gc=False):
    """A finished event. `event` is Pinterest's form, `conversion` what we note of it, `value`
    its minor units of the conversion's currency.

    `left_out` are the JSON pointers to values that could not be used. Only an event of a `stage`
    may count in the funnel.
    """

    event: Mapping[str, Any]
    conversion: Conversion
    consent: Consent
    session: Session
    stage: Stage | None
    value: int
    left_out: tuple[str, ...]

    @property
    def is_orders_own(self) -> bool:
        """Whether it is the one event that the order itself has, whoever tells of it."""
        return self.conversion.event_id.startswith(ORDERS_OWN)


def inbound_event_of(
    body: bytes, policy: Policy, received_at: int, *, needs_time: bool = False
) -> InboundEvent:
    """The event of a body: `{"event_data": {…}}`, or the event alone.

    Raises:
        ValidationError: the body is not JSON, or the event has faults; all of them are named.
    """
    try:
        tree = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ValidationError(FieldError("", "not JSON text in UTF-8")) from None
    if not isinstance(tree, dict) or "event_data" not in tree:
        return event_from(tree, policy, received_at, needs_time=needs_time)
    others = [pointer_to("", name) for name in tree if name != "event_data"]
    if others:
        raise ValidationError(*(FieldError(other, "stands beside event_data") for other in others))
    told = tree["event_data"]
    return event_from(told, policy, received_at, "/event_data", needs_time=needs_time)


def event_from(
    told: object, policy: Policy, received_at: int, where: str = "", *, needs_time: bool = False
) -> InboundEvent:
    """The event of an object or a row, received at an instant (seconds UTC).

    `where` is the JSON pointer to it, which the pointers of faults begin with. An event that
    tells no time happened when it was received, unless it `needs_time`.

    Raises:
        ValidationError: it has faults; all of them are named.
    """
    if not isinstance(told, Mapping):
        raise ValidationError(FieldError(where, "not an object"))
    reading = Reading(where)
    columns = Columns.of(told, reading)
    event = reading.fields(columns.told, fields.EVENT)
    user = reading.fields(columns.told, fields.USER)
    custom = reading.fields(columns.told, fields.CUSTOM)
    _clean_objects(event, columns, reading)
    stamp = event.pop("event_time", None)
    if needs_time and "event_time" not in columns.told:
        reading.fault(f"{where}/event_time", "missing")
    _check(event, custom, stamp, columns, reading, received_at)
    consent, limited = consent_of(event, custom, policy)
    value = custom.get("value")
    _finish_custom(custom, columns, reading)
    identity = _person(columns.told, reading, limited=limited)
    if reading.errors:
        # It is refused, but everything that is wrong with it is to be named.
        event |= _FOR_THE_REST | event
    complete(event, user, custom, identity, stamp, received_at)
    for problem in problems_of(event):
        if problem.pointer != "/user_data":
            reading.fault(where + problem.pointer, problem.message)
        else:
            _name_nobody(problem.message, columns, reading)
    reading.refuse()
    return finished(
        event, identity, consent, value, limited=limited, left_out=tuple(reading.left_out)
    )


def complete(
    event: dict[str, Any],
    user: Mapping[str, Any],
    custom: Mapping[str, Any],
    identity: Identity,
    stamp: int | None,
    received_at: int,
) -> None:
    """Put the parts of an event into it, its time and, if it has none, an event id."""
    event["event_time"] = received_at if stamp is None else min(stamp, received_at)
    event["user_data"] = {**identity.user_data(), **user}
    if custom:
        event["custom_data"] = custom
    if "event_id" not in event:
        event["event_id"] = _derived_id(event, stamp)


def finished(
    event: Mapping[str, Any],
    identity: Identity,
    consent: Consent,
    value: Decimal | None,
    *,
    limited: bool,
    left_out: tuple[str, ...],
) -> InboundEvent:
    """A complete event of the published form, with what we note of it."""
    conversion = _conversion(event, identity, limited=limited)
    return InboundEvent(
        event=event,
        conversion=conversion,
        consent=consent,
        session=_session(conversion),
        stage=_stage(event),
        value=fields.minor_units(value, conversion.currency),
        left_out=left_out,
    )


def _check(
    event: Mapping[str, Any],
    custom: dict[str, Any],
    stamp: int | None,
    columns: Columns,
    reading: Reading,
    received_at: int,
) -> None:
    for name in ("event_name", "action_source"):
        if name not in columns.told:
            reading.fault(f"{reading.where}/{name}", "missing")
    if stamp is not None and stamp < received_at - MAX_EVENT_AGE:
        reading.fault(_place(columns, "event_time"), "older than the seven days Pinterest accepts")
    if stamp is not None and stamp > received_at + MOST_AHEAD:
        reading.fault(
            _place(columns, "event_time"), f"more than {MOST_AHEAD} seconds in the future"
        )
    event_id = event.get("event_id", "")
    if event_id.startswith(ORDERS_OWN):
        fault = fault_of_own_id(event, custom, event_id.removeprefix(ORDERS_OWN))
        if fault:
            reading.fault(_place(columns, "event_id"), fault)


def _place(columns: Columns, name: str) -> str:
    return columns.told[name][0].pointer


def fault_of_own_id(event: Mapping[str, Any], custom: dict[str, Any], order_id: str) -> str:
    """What is wrong with an event id of an order's own, "" for nothing: it is that of the order's
    checkout, which then names the order."""
    if event.get("event_name") != EVENT_NAMES["purchase"]:
        return f"{ORDERS_OWN} begins the event ids of checkouts only"
    if not 1 <= len(order_id) <= fields.ORDER_ID_LIMIT:
        return f"{ORDERS_OWN} is followed by an order id of 1 to {fields.ORDER_ID_LIMIT} characters"
    if custom.setdefault("order_id", order_id) != order_id:
        return "names another order than order_id"
    return ""


def consent_of(
    event: dict[str, Any], custom: dict[str, Any], policy: Policy
) -> tuple[Consent, bool]:
    """What the event says of consent, and whether the use of its data is limited, which it then
    says in both of Pinterest's fields."""
    if "opt_out" not in event and "opt_out_type" not in custom:
        consent = Consent()
        if not is_limited(consent, policy):
            return consent, False
    asked = _LIMITED in custom.get("opt_out_type", "").upper().replace(" ", "").split(",")
    said = event.get("opt_out", True if asked else None)
    consent = Consent(
        marketing=True if said is False else None, sale_of_data=False if said else None
    )
    limited = asked or is_limited(consent, policy)
    if limited:
        event.setdefault("opt_out", True)
        custom.setdefault("opt_out_type", _LIMITED)
    return consent, limited


def _clean_objects(event: dict[str, Any], columns: Columns, reading: Reading) -> None:
    """Hold the texts in app_info and device_info to what holds for those outside."""
    for name in fields.OBJECTS:
        if name in event:
            told = [
                Located(f"{_place(columns, name)}/{key}", one) for key, one in event[name].items()
            ]
            read = {key: _plain(one, reading) for key, one in zip(event[name], told, strict=True)}
            event[name] = {key: one for key, one in read.items() if one is not None}


def _plain(told: Located, reading: Reading) -> Any:
    if isinstance(told.value, list):
        several = (Located(f"{told.pointer}/{n}", one) for n, one in enumerate(told.value))
        return [found for one in several if (found := _plain(one, reading)) is not None]
    return reading.value(told, fields.plain) if isinstance(told.value, str) else told.value


def _name_nobody(message: str, columns: Columns, reading: Reading) -> None:
    """Say that an event is nobody's, and what was told of a person in vain."""
    named = [one.pointer for name in _NAMED_BY for one in columns.told.get(name, ())]
    if any(fault.field in named for fault in reading.errors):
        return
    for pointer in named:
        if pointer in reading.left_out:
            reading.fault(pointer, "cannot be used")
    reading.fault(f"{reading.where}/user_data", message)


def _finish_custom(custom: dict[str, Any], columns: Columns, reading: Reading) -> None:
    """Put the products in, and every amount as text."""
    told = columns.told.get("content_ids", ())
    if max(len(told), len(columns.goods)) > MOST_PRODUCTS:
        where = told[MOST_PRODUCTS].pointer if len(told) > MOST_PRODUCTS else columns.goods_at
        reading.fault(where, f"more than {MOST_PRODUCTS} products")
        return
    ids = [reading.value(one, fields.content_id) for one in told]
    contents = [reading.fields(one, fields.CONTENT) for one in columns.goods]
    found = {"content_ids": list(filter(None, ids)), "contents": list(filter(None, contents))}
    custom |= {name: some for name, some in found.items() if some}
    currency = custom.get("currency", "")
    for place in (custom, *contents):
        for name in fields.AMOUNTS & place.keys():
            place[name] = fields.decimal_text(place[name], currency)


def _person(told: Values, reading: Reading, *, limited: bool) -> Identity:
    """The digests of a person. What cannot be one is left out."""
    country = next(filter(None, map(_country, told.get("country", ()))), "")
    found: dict[str, tuple[Digest, ...]] = {}
    for name in PERSON:
        values = told.get(name, ())
        if len(values) > MOST_DIGESTS:
            reading.fault(values[MOST_DIGESTS].pointer, f"more than {MOST_DIGESTS} values")
        digests: dict[Digest, None] = {}
        for one in values[:MOST_DIGESTS]:
            digests |= dict.fromkeys(_digests(name, one, country, reading, limited=limited))
        if digests:
            found[name] = tuple(digests)
    return Identity(**found)


def _country(told: Located) -> str:
    return country_of(told.value) if isinstance(told.value, str) else ""


def country_of(text: str) -> str:
    """The country (ISO 3166 alpha-2, upper case) in which phones and zips are read; "" for none."""
    return (PERSON["country"](text.strip(), "") or "").upper()


def _digests(
    name: str, told: Located, country: str, reading: Reading, *, limited: bool
) -> list[Digest]:
    text = reading.value(told, fields.of_a_person)
    found = digests_of(name, text, country, limited=limited) if text else []
    if text and not found:
        reading.left_out.append(told.pointer)
    return found


def digests_of(name: str, text: str, country: str, *, limited: bool) -> list[Digest]:
    """The digests of one value of a person's field, none if it is of no use."""
    one = hashed(name, text, country)
    if one is None:
        return []
    if not (limited and name in _BOTH_CASES):
        return [one]
    # Pinterest's page on limited use shows these in upper case, its field texts say lower.
    upper = digest((PERSON[name](text, "") or "").upper())
    return [one, upper] if upper else [one]


def _derived_id(event: Mapping[str, Any], stamp: int | None) -> str:
    """An id that the same event has again. A repeat that tells no time comes at another one, so
    an order's event goes without it."""
    order_id = event.get("custom_data", {}).get("order_id")
    if order_id:
        content = f"{order_id}|{event['event_name']}|{'' if stamp is None else stamp}".encode()
    else:
        # Without what our own policy makes of it, which may be another next time.
        told = {name: value for name, value in event.items() if name != "opt_out"}
        told["event_time"] = event["event_time"] if stamp is None else stamp
        told["user_data"] = {
            name: value[:1] if name in _BOTH_CASES else value
            for name, value in event["user_data"].items()
        }
        custom = event.get("custom_data", {})
        told["custom_data"] = {n: value for n, value in custom.items() if n != "opt_out_type"}
        content = msgspec.json.encode(told, order="sorted")
    return sha256(content).hexdigest()


def _conversion(event: Mapping[str, Any], identity: Identity, *, limited: bool) -> Conversion:
    user, custom = event["user_data"], event.get("custom_data", {})
    return Conversion(
        event_id=event["event_id"],
        event_name=event["event_name"],
        action_source=event["action_source"],
        event_time=event["event_time"],
        identity=identity,
        event_source_url=event.get("event_source_url", ""),
        opt_out=event.get("opt_out", False),
        limited=limited,
        click_id=user.get("click_id", ""),
        ip=user.get("client_ip_address", ""),
        user_agent=user.get("client_user_agent", ""),
        currency=custom.get("currency", ""),
        value=custom.get("value", ""),
        order_id=custom.get("order_id", ""),
    )


def _session(conversion: Conversion) -> Session:
    """What brought the visitor, as far as the event's page and click id tell."""
    if not (conversion.event_source_url or conversion.click_id):
        return Session()
    told = query_of(conversion.event_source_url)
    if conversion.click_id:
        told["epik"] = conversion.click_id
    return session_from(told.items())


def _stage(event: Mapping[str, Any]) -> Stage | None:
    """The stage of the funnel an event stands for. A page without a product is no product view."""
    stage = _STAGES.get(event["event_name"])
    names_products = {"content_ids", "contents"} & event.get("custom_data", {}).keys()
    return None if stage == "product_view" and not names_products else stage
