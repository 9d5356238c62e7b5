"""Inbound events: checks a whole event and builds the form that is sent.

Every error has a JSON pointer into the input, and none quotes a value.
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
    is_limited,
    shop_page,
)
from tracking.domain.identity import Digest, Identity, digest, hashed
from tracking.domain.normalisers import FIELDS as PERSON
from tracking.domain.session import Session
from tracking.domain.session_reader import session_from
from tracking.domain.validation import FieldError, ValidationError
from tracking.domain.web_text import query_pairs
from tracking.receive.event_input import fields
from tracking.receive.event_input.columns import Columns, FieldReader, Located, Values
from tracking.receive.event_input.fields import ORDER_EVENT_PREFIX

MAX_AHEAD = 300
MAX_PRODUCTS = 1000
MAX_DIGESTS = 50

_STAGES: Mapping[str, Stage] = {name: stage for stage, name in EVENT_NAMES.items()}
_BOTH_CASES = frozenset({"st", "country"})
_IDENTITY_FIELDS = ("em", "hashed_maids", "client_ip_address", "client_user_agent")
_NO_SESSION = Session()
# Values for missing required fields, so that the other fields can be checked.
_PLACEHOLDERS = {"event_id": "none", "event_name": "custom", "action_source": "web"}


class InboundEvent(msgspec.Struct, frozen=True, gc=False):
    """An accepted event. `event` is in Pinterest's form, `conversion` holds the fields that we
    store, `value` is in minor units of the conversion's currency.

    `left_out` are the JSON pointers to values that could not be used. Only an event with a
    `stage` may count in the funnel. `is_value_summed` says that the value is the sum of the items.
    """

    event: Mapping[str, Any]
    conversion: Conversion
    consent: Consent
    session: Session
    stage: Stage | None
    value: int
    left_out: tuple[str, ...]
    is_value_summed: bool = False

    @property
    def is_order_event(self) -> bool:
        """Returns whether its event id is that of an order's purchase event."""
        return self.conversion.event_id.startswith(ORDER_EVENT_PREFIX)


def event_from(
    tree: object, policy: Policy, received_at: int, pointer: str = "", *, needs_time: bool = False
) -> InboundEvent:
    """The event of an object or a row, received at an instant (seconds UTC).

    `pointer` is the JSON pointer to it, with which the pointers of errors begin. An event without
    a time gets the time it was received; with `needs_time` it is rejected.

    Raises:
        ValidationError: the event has errors; all of them are listed.
    """
    if not isinstance(tree, Mapping):
        raise ValidationError(FieldError(pointer, "not an object"))
    reader = FieldReader(pointer)
    columns = Columns.of(tree, reader)
    event = reader.fields(columns.values, fields.EVENT)
    user = reader.fields(columns.values, fields.USER)
    custom = reader.fields(columns.values, fields.CUSTOM)
    _parse_objects(event, columns, reader)
    event_time = event.pop("event_time", None)
    if needs_time and "event_time" not in columns.values:
        reader.add_error(f"{pointer}/event_time", "missing")
    _check(event, custom, event_time, columns, reader, received_at)
    consent, limited = consent_of(event, custom, policy)
    value = custom.get("value")
    _add_products(custom, columns, reader)
    is_value_summed = add_summed_value(custom)
    if is_value_summed:
        value = Decimal(custom["value"])
    identity = _identity_of(columns.values, reader, limited=limited)
    if reader.errors:
        # The event is rejected, but the remaining checks should list their errors, too.
        event |= _PLACEHOLDERS | event
    person: dict[str, Any] = identity.user_data()
    complete(event, person | user, custom, event_time, received_at, policy)
    for problem in problems_of(event):
        if problem.pointer != "/user_data":
            reader.add_error(pointer + problem.pointer, problem.message)
        else:
            _add_identity_errors(problem.message, columns, reader)
    reader.raise_errors()
    return build_event(
        event,
        identity,
        consent,
        fields.minor_units(value, custom.get("currency", "")),
        limited=limited,
        left_out=tuple(reader.left_out),
        is_value_summed=is_value_summed,
    )


def add_summed_value(custom: dict[str, Any]) -> bool:
    """Adds the sum of its items to an order without a value; returns False if it adds none."""
    if "value" in custom or "order_id" not in custom or "contents" not in custom:
        return False
    summed = fields.sum_of_items(custom["contents"], custom.get("currency", ""))
    if summed is None:
        return False
    custom["value"] = summed
    return True


def complete(
    event: dict[str, Any],
    user: Mapping[str, Any],
    custom: dict[str, Any],
    event_time: int | None,
    received_at: int,
    policy: Policy,
) -> None:
    """Adds the time, the parts of an event, what the shop's settings know and, if it has none, an
    event id, which does not depend on the settings."""
    event["event_time"] = received_at if event_time is None else min(event_time, received_at)
    event["user_data"] = user
    if custom:
        event["custom_data"] = custom
    if "event_id" not in event:
        event["event_id"] = _derived_id(event, event_time)
    if "contents" in custom and "content_ids" not in custom:
        ids = [content["id"] for content in custom["contents"] if "id" in content]
        if ids:
            custom["content_ids"] = list(dict.fromkeys(ids))
    if event.get("action_source") == "web" and (page := shop_page("", policy)):
        event.setdefault("event_source_url", page)
    if policy.partner_name:
        event.setdefault("partner_name", policy.partner_name)


def build_event(
    event: Mapping[str, Any],
    identity: Identity,
    consent: Consent,
    value: int,
    *,
    limited: bool,
    left_out: tuple[str, ...],
    is_value_summed: bool = False,
) -> InboundEvent:
    """Builds the inbound event from a complete event of the published form, and its value in minor
    units."""
    conversion = _conversion(event, identity, limited=limited)
    return InboundEvent(
        event=event,
        conversion=conversion,
        consent=consent,
        session=_session(conversion),
        stage=_stage(event),
        value=value,
        left_out=left_out,
        is_value_summed=is_value_summed,
    )


def _check(
    event: Mapping[str, Any],
    custom: dict[str, Any],
    event_time: int | None,
    columns: Columns,
    reader: FieldReader,
    received_at: int,
) -> None:
    for name in ("event_name", "action_source"):
        if name not in columns.values:
            reader.add_error(f"{reader.pointer}/{name}", "missing")
    if event_time is not None and event_time < received_at - MAX_EVENT_AGE:
        reader.add_error(
            _pointer_of(columns, "event_time"), "older than the seven days Pinterest accepts"
        )
    if event_time is not None and event_time > received_at + MAX_AHEAD:
        reader.add_error(
            _pointer_of(columns, "event_time"), f"more than {MAX_AHEAD} seconds in the future"
        )
    event_id = event.get("event_id", "")
    if event_id.startswith(ORDER_EVENT_PREFIX):
        error = order_event_id_error(event, custom, event_id.removeprefix(ORDER_EVENT_PREFIX))
        if error:
            reader.add_error(_pointer_of(columns, "event_id"), error)


def _pointer_of(columns: Columns, name: str) -> str:
    return columns.values[name][0].pointer


def order_event_id_error(event: Mapping[str, Any], custom: dict[str, Any], order_id: str) -> str:
    """Checks an event id that names an order, and sets the event's order id.

    Returns the error, "" for none: only the order's checkout event may have such an id.
    """
    if event.get("event_name") != EVENT_NAMES["purchase"]:
        return f"{ORDER_EVENT_PREFIX} begins the event ids of checkouts only"
    if not 1 <= len(order_id) <= fields.ORDER_ID_LIMIT:
        limit = fields.ORDER_ID_LIMIT
        return f"{ORDER_EVENT_PREFIX} is followed by an order id of 1 to {limit} characters"
    if custom.setdefault("order_id", order_id) != order_id:
        return "names another order than order_id"
    return ""


def consent_of(
    event: dict[str, Any], custom: dict[str, Any], policy: Policy
) -> tuple[Consent, bool]:
    """The event's consent, and whether the use of its data is limited.

    A limit is written into both of Pinterest's fields for it.
    """
    if "opt_out" not in event and "opt_out_type" not in custom:
        consent = Consent()
        if not is_limited(consent, policy):
            return consent, False
    is_requested = "opt_out_type" in custom
    opt_out = event.get("opt_out", True if is_requested else None)
    consent = Consent(
        marketing=True if opt_out is False else None, sale_of_data=False if opt_out else None
    )
    limited = is_requested or is_limited(consent, policy)
    if limited:
        event.setdefault("opt_out", True)
        custom.setdefault("opt_out_type", fields.LIMITED_USE)
    return consent, limited


def _parse_objects(event: dict[str, Any], columns: Columns, reader: FieldReader) -> None:
    """Checks the texts in app_info and device_info like those of other fields."""
    for name in fields.OBJECTS:
        if name in event:
            parsed = {
                key: _parse_object_value(
                    Located(f"{_pointer_of(columns, name)}/{key}", value), reader
                )
                for key, value in event[name].items()
            }
            event[name] = {key: value for key, value in parsed.items() if value is not None}


def _parse_object_value(located: Located, reader: FieldReader) -> Any:
    if isinstance(located.value, list):
        items = (Located(f"{located.pointer}/{n}", item) for n, item in enumerate(located.value))
        return [value for item in items if (value := _parse_object_value(item, reader)) is not None]
    if isinstance(located.value, str):
        return reader.value(located, fields.object_text)
    return located.value


def _add_identity_errors(message: str, columns: Columns, reader: FieldReader) -> None:
    """Adds the error of an event without identity, and one for each unusable identity value."""
    pointers = [
        located.pointer for name in _IDENTITY_FIELDS for located in columns.values.get(name, ())
    ]
    if any(error.field in pointers for error in reader.errors):
        return
    for pointer in pointers:
        if pointer in reader.left_out:
            reader.add_error(pointer, "cannot be used")
    reader.add_error(f"{reader.pointer}/user_data", message)


def _add_products(custom: dict[str, Any], columns: Columns, reader: FieldReader) -> None:
    """Adds the products to the custom data, and writes every amount as text."""
    located_ids = columns.values.get("content_ids", ())
    if max(len(located_ids), len(columns.products)) > MAX_PRODUCTS:
        is_list = len(located_ids) > MAX_PRODUCTS
        pointer = located_ids[MAX_PRODUCTS].pointer if is_list else columns.products_pointer
        reader.add_error(pointer, f"more than {MAX_PRODUCTS} products")
        return
    ids = [reader.value(located, fields.content_id) for located in located_ids]
    contents = [reader.fields(product, fields.CONTENT) for product in columns.products]
    lists = {"content_ids": list(filter(None, ids)), "contents": list(filter(None, contents))}
    custom |= {name: values for name, values in lists.items() if values}
    currency = custom.get("currency", "")
    for part in (custom, *contents):
        for name in fields.AMOUNTS & part.keys():
            part[name] = fields.decimal_text(part[name], currency)


def _identity_of(values: Values, reader: FieldReader, *, limited: bool) -> Identity:
    """The digests of a person. A value that cannot be hashed is left out."""
    country = next(filter(None, map(_country, values.get("country", ()))), "")
    by_field: dict[str, tuple[Digest, ...]] = {}
    for name in PERSON:
        located = values.get(name, ())
        if len(located) > MAX_DIGESTS:
            reader.add_error(located[MAX_DIGESTS].pointer, f"more than {MAX_DIGESTS} values")
        digests: dict[Digest, None] = {}
        for value in located[:MAX_DIGESTS]:
            digests |= dict.fromkeys(_digests(name, value, country, reader, limited=limited))
        if digests:
            by_field[name] = tuple(digests)
    return Identity(**by_field)


def _country(located: Located) -> str:
    return country_of(located.value) if isinstance(located.value, str) else ""


def country_of(text: str) -> str:
    """The country (ISO 3166 alpha-2, upper case) of phones and zips; "" for none."""
    return (PERSON["country"](text.strip(), "") or "").upper()


def _digests(
    name: str, located: Located, country: str, reader: FieldReader, *, limited: bool
) -> list[Digest]:
    parse = fields.external_id_text if name == "external_id" else fields.personal_text
    text = reader.value(located, parse)
    digests = digests_of(name, text, country, limited=limited) if text else []
    if text and not digests:
        reader.left_out.append(located.pointer)
    return digests


def digests_of(name: str, text: str, country: str, *, limited: bool) -> list[Digest]:
    """The digests of a value of an identity field; none if it cannot be normalized."""
    lower = hashed(name, text, country)
    if lower is None:
        return []
    if not (limited and name in _BOTH_CASES):
        return [lower]
    # Pinterest's page on limited use has these in upper case, its field descriptions in lower case.
    upper = digest((PERSON[name](text.strip(), country) or "").upper())
    return [lower, upper] if upper else [lower]


def _derived_id(event: Mapping[str, Any], event_time: int | None) -> str:
    """Derives an event id that a repeat of the event gets again.

    A repeat without a time is received at another time, so the id of an order's event does not
    depend on the time of receipt.
    """
    order_id = event.get("custom_data", {}).get("order_id")
    if order_id:
        content = (
            f"{order_id}|{event['event_name']}|{'' if event_time is None else event_time}".encode()
        )
    else:
        # Without the fields that our own policy sets, which may differ at the repeat.
        content_fields = {name: value for name, value in event.items() if name != "opt_out"}
        content_fields["event_time"] = event["event_time"] if event_time is None else event_time
        content_fields["user_data"] = {
            name: value[:1] if name in _BOTH_CASES else value
            for name, value in event["user_data"].items()
        }
        custom = event.get("custom_data", {})
        content_fields["custom_data"] = {
            name: value for name, value in custom.items() if name != "opt_out_type"
        }
        content = msgspec.json.encode(content_fields, order="sorted")
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
    """The session of the event, from its page URL and click id."""
    if not (conversion.event_source_url or conversion.click_id):
        return _NO_SESSION
    click_id = [("epik", conversion.click_id)] if conversion.click_id else []
    return session_from(click_id + query_pairs(conversion.event_source_url))


def _stage(event: Mapping[str, Any]) -> Stage | None:
    """The funnel stage of an event. A page visit without a product is no product view."""
    stage = _STAGES.get(event["event_name"])
    custom = event.get("custom_data", {})
    contents = custom.get("contents", ())
    names_products = "content_ids" in custom or any(
        "id" in content or "item_name" in content for content in contents
    )
    return None if stage == "product_view" and not names_products else stage
