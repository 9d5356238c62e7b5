"""Pinterest's Conversions API: encodes conversions as its events, and reads its responses."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import msgspec

from tracking.clients.http import DEADLINE_SECONDS, HttpClient, HttpResponse, is_loopback, safe_url
from tracking.clients.outcome import (
    ACCEPTED,
    Accepted,
    Answered,
    BatchRefused,
    EventResult,
    Outcome,
    Refused,
    TryLater,
)
from tracking.clients.responses import (
    decoded,
    is_refusal,
    pause_or_retry,
    redacted,
    refusal_of,
    sanitized,
)
from tracking.destinations import pinterest_schema
from tracking.destinations.base import DestinationSettings, Unencodable
from tracking.domain.conversion import Content, Conversion, Evidence
from tracking.domain.identity import Identity
from tracking.domain.normalisers import FIELDS as PERSON

BASE = "https://api.pinterest.com/v5"

_TOKEN = re.compile(r"[!-~]+")
_ACCOUNT_ID = re.compile(r"[0-9]{1,18}")
_HOST = "pinterest.com"


# What is not looked into is copied as it stands.
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])


class _Status(msgspec.Struct):
    """Result of one event. A text without content is missing, null or empty, as seen live."""

    status: Literal["processed", "failed"]
    error_message: str | None = None
    warning_message: str | None = None


class _Statuses(msgspec.Struct):
    events: list[_Status]


class _StatusDetails(msgspec.Struct):
    """Body of a 422, which nests the statuses, as seen live."""

    details: _Statuses


class _ErrorBody(msgspec.Struct):
    message: str
    code: int | str | None = None


class Pinterest:
    """An ad account that receives conversions. In test mode Pinterest records none of them."""

    name = "pinterest"

    def __init__(
        self,
        token: str,
        account_id: str,
        base: str = BASE,
        test_mode: bool = False,
        deadline: float = DEADLINE_SECONDS,
    ) -> None:
        """Sets up calls that take at most `deadline` seconds each; nothing is called yet.

        Raises:
            ValueError: a setting is invalid. The message names it, but does not quote the token.
        """
        if not _TOKEN.fullmatch(token):
            raise ValueError("PINTEREST_ACCESS_TOKEN: must be printable ASCII without spaces")
        if not _ACCOUNT_ID.fullmatch(account_id):
            raise ValueError("PINTEREST_AD_ACCOUNT_ID: must be 1 to 18 digits")
        self._token = token.encode()
        self._url = f"{_base_url(base)}/ad_accounts/{account_id}/events"
        self._repr = f"<Pinterest {account_id}{', test mode' if test_mode else ''}>"
        # Pinterest processes the first 20 events of a test call, and accepts ten such calls a
        # second: 60 a minute stay below that in any burst.
        self.max_batch = 20 if test_mode else 1000
        self.calls_per_minute = 60 if test_mode else 5000
        if test_mode:
            self._url += "?test=true"
        self._http = HttpClient(deadline)

    def __repr__(self) -> str:
        return self._repr

    def encode(self, conversion: Conversion) -> bytes:
        """Encodes a conversion as an event of Pinterest's published form.

        Raises:
            Unencodable: the event would break that form.
        """
        return encode(conversion)

    def send(self, events: Sequence[bytes]) -> Outcome:
        """Sends events in one call. Every failure is an outcome."""
        response = self.post(events)
        return response if isinstance(response, TryLater) else outcome_of(response, len(events))

    def post(self, events: Sequence[bytes]) -> HttpResponse | TryLater:
        """Sends events in one call; returns the response without the token, TryLater for none."""
        response = self._http.call(
            "POST",
            self._url,
            headers={
                "Authorization": f"Bearer {self._token.decode()}",
                "Content-Type": "application/json",
            },
            body=b'{"data":[' + b",".join(events) + b"]}",
        )
        return response if isinstance(response, TryLater) else self._without_token(response)

    def amend(
        self,
        event: bytes,
        evidence: Evidence,
        limited: bool,
        value: str = "",
        gone: Sequence[Content] = (),
    ) -> bytes:
        """Adds the evidence that an event has not, and limited use of data if `limited`.

        A `value` replaces the event's.
        """
        return amend(event, evidence, limited, value, gone)

    def rename(self, event: bytes, event_id: str) -> bytes:
        """Gives an event another event id."""
        return rename(event, event_id)

    def strip(self, event: bytes) -> bytes:
        """Removes IP address and user agent from an event."""
        return strip(event)

    def evidence_of(self, event: bytes) -> Evidence:
        """The evidence of buyer and visit in an event."""
        return evidence_of(event)

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        self._http.close()

    def _without_token(self, response: HttpResponse) -> HttpResponse:
        body = redacted(response.body, (self._token,), b"(token)")
        return replace(response, body=body)


def from_settings(settings: DestinationSettings) -> Pinterest | None:
    """The configured account; None without token or id."""
    if not (settings.pinterest_access_token and settings.pinterest_ad_account_id):
        return None
    return Pinterest(
        settings.pinterest_access_token,
        settings.pinterest_ad_account_id,
        settings.pinterest_api_base,
        settings.pinterest_test_mode,
    )


def encode(conversion: Conversion) -> bytes:
    """Encodes a conversion as an event of Pinterest's published form.

    Raises:
        Unencodable: the event would break that form; the message names each field at fault.
    """
    event = event_of(conversion)
    if not pinterest_schema.is_valid(event):
        problems = map(str, pinterest_schema.problems_of(event))
        raise Unencodable(sanitized("; ".join(problems)))
    try:
        return msgspec.json.encode(event)
    except UnicodeEncodeError:
        raise Unencodable("/: holds half of a surrogate pair") from None


def strip(event: bytes) -> bytes:
    """Removes IP address and user agent from an event of Pinterest's form."""
    tree: dict[str, Any] = _FIELDS.decode(event)
    user_data = tree["user_data"] = _FIELDS.decode(tree["user_data"])
    user_data.pop("client_ip_address", None)
    user_data.pop("client_user_agent", None)
    if "app_info" in tree:
        tree["app_info"] = _FIELDS.decode(tree["app_info"])
        tree["app_info"].pop("user_agent", None)
    return msgspec.json.encode(tree)


def evidence_of(event: bytes) -> Evidence:
    """The evidence of buyer and visit in an event of Pinterest's form."""
    tree = msgspec.json.decode(event)
    user_data = tree["user_data"]
    return Evidence(
        identity=_identity_in(user_data),
        click_id=user_data.get("click_id", ""),
        ip=user_data.get("client_ip_address", ""),
        user_agent=user_data.get("client_user_agent", ""),
        event_source_url=tree.get("event_source_url", ""),
        language=tree.get("language", ""),
    )


def rename(event: bytes, event_id: str) -> bytes:
    """Gives an event of Pinterest's form another event id."""
    fields = msgspec.json.decode(event, type=dict[str, msgspec.Raw])
    fields["event_id"] = msgspec.Raw(msgspec.json.encode(event_id))
    return msgspec.json.encode(fields)


def amend(
    event: bytes,
    evidence: Evidence,
    limited: bool,
    value: str = "",
    gone: Sequence[Content] = (),
) -> bytes:
    """Adds what became known after an event was encoded.

    This is the evidence of buyer and visit that the event has not, with `limited` the limited use
    of data, and the value that is left of an order, if it is given. The pieces in `gone` are taken
    off its contents; those of a negative number are put back. Of Shopify's ids of browsers the
    event keeps that of the evidence, and of the customer's type what the evidence tells, if it
    tells any.
    """
    tree = msgspec.json.decode(event)
    clients = (evidence.client, *evidence.former_clients)
    person = _identity_in(tree["user_data"]).without_browsers(clients)
    identity = person.completed_by(evidence.identity)
    known = _user_data(msgspec.structs.replace(evidence, identity=identity))
    if external_ids := known.get("external_id"):
        tree["user_data"]["external_id"] = external_ids
    else:
        tree["user_data"].pop("external_id", None)
    if evidence.customer_type is not None:
        tree["user_data"].pop("customer_type", None)
    page_url = "" if tree["action_source"] == "offline" else evidence.event_source_url
    about_visit = {"event_source_url": page_url, "language": evidence.language}
    for fields, added in ((tree["user_data"], known), (tree, _without_empty(about_visit))):
        for name, told in added.items():
            fields.setdefault(name, told)
    if limited:
        tree["opt_out"] = True
        tree.setdefault("custom_data", {})["opt_out_type"] = "LDP"
    if value:
        tree.setdefault("custom_data", {})["value"] = value
    if gone and "custom_data" in tree:
        _take_off(tree["custom_data"], gone)
    return msgspec.json.encode(tree)


def _take_off(custom_data: dict[str, Any], gone: Iterable[Content]) -> None:
    """Takes pieces off the contents of an event."""
    contents: list[dict[str, Any]] = custom_data.get("contents", [])
    for piece in gone:
        told = _content(piece)
        same = [content for content in contents if _product_in(content) == _product_in(told)]
        # Of two lines with one product the one with this price.
        same.sort(key=lambda content: content.get("item_price") != piece.price)
        left = piece.quantity
        for content in same:
            before = content.get("quantity", 0)
            content["quantity"] = max(0, before - left)
            left -= before - content["quantity"]
        if left < 0:
            contents.append({**told, "quantity": -left})
    kept = [content for content in contents if content.get("quantity")]
    pieces = max(0, custom_data.get("num_items", 0) - sum(piece.quantity for piece in gone))
    ids = [content["id"] for content in kept if "id" in content]
    custom_data.update(contents=kept, content_ids=list(dict.fromkeys(ids)), num_items=pieces)
    for name in ("contents", "content_ids", "num_items"):
        if not custom_data[name]:
            del custom_data[name]


def _product_in(content: Mapping[str, Any]) -> tuple[Any, ...]:
    return (content["id"],) if "id" in content else ("", content.get("item_name"))


def _identity_in(user_data: Mapping[str, Any]) -> Identity:
    return Identity(**{name: tuple(user_data[name]) for name in PERSON if name in user_data})


def event_of(conversion: Conversion) -> dict[str, Any]:
    """A conversion as a tree of Pinterest's fields, without the empty ones."""
    return {
        "event_name": conversion.event_name,
        "action_source": conversion.action_source,
        "event_time": conversion.event_time,
        "event_id": conversion.event_id,
        "user_data": _user_data(conversion),
        **_without_empty(
            {
                "event_source_url": conversion.event_source_url,
                "partner_name": conversion.partner_name,
                "language": conversion.language,
                "opt_out": conversion.opt_out,
                "custom_data": _custom_data(conversion),
            }
        ),
    }


def outcome_of(response: HttpResponse, count: int) -> Outcome:
    """The outcome of a response to a call of `count` events.

    A 200 may hold failed events, and a 422 processed ones: both are read event by event. A body
    that is not of Pinterest's form says nothing about the events.
    """
    if response.status in (200, 201):
        return _results(decoded(response.body, _Statuses), count) or pause_or_retry(
            response, f"the answer does not say what became of each of {count} events"
        )
    message = _message_of(response.body)
    if not is_refusal(response.status):
        return pause_or_retry(response, message)
    if response.status == 422:
        detailed = decoded(response.body, _StatusDetails)
        statuses = detailed.details if detailed else decoded(response.body, _Statuses)
        return _results(statuses, count) or _refusal(response, message, count)
    return refusal_of(response, message, count)


def _refusal(response: HttpResponse, message: str, count: int) -> Outcome:
    outcome = refusal_of(response, message, count)
    if count == 1 and isinstance(outcome, BatchRefused):
        return Answered((Refused(outcome.reason),))
    return outcome


def _results(statuses: _Statuses | None, count: int) -> Answered | None:
    if statuses is None or len(statuses.events) != count:
        return None
    return Answered(tuple(_result(status) for status in statuses.events))


def _result(status: _Status) -> EventResult:
    if status.status == "processed" and not status.warning_message:
        return ACCEPTED
    error, warning = sanitized(status.error_message or ""), sanitized(status.warning_message or "")
    if status.status == "processed":
        return Accepted(warning)
    return Refused(error or warning or "failed, without a reason")


def _message_of(body: bytes) -> str:
    """The message of an error body; "" if the body is not of Pinterest's form."""
    error = decoded(body, _ErrorBody)
    if error is None or not error.message:
        return ""
    return error.message if error.code is None else f"{error.message} (code {error.code})"


def _base_url(base: str) -> str:
    parts = safe_url(base, "PINTEREST_API_BASE")
    host = parts.hostname or ""
    if not (is_loopback(host) or host == _HOST or host.endswith(f".{_HOST}")):
        raise ValueError(f"PINTEREST_API_BASE: must be a host of {_HOST}, or this machine")
    return base.rstrip("/")


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    if all(fields.values()):
        return fields
    return {name: value for name, value in fields.items() if value}


def _user_data(conversion: Conversion | Evidence) -> dict[str, Any]:
    user_data: dict[str, Any] = conversion.identity.user_data()
    if conversion.client and conversion.client not in conversion.identity.external_id:
        user_data.setdefault("external_id", []).append(conversion.client)
    if conversion.click_id:
        user_data["click_id"] = conversion.click_id
    if conversion.ip:
        user_data["client_ip_address"] = conversion.ip
    if conversion.user_agent:
        user_data["client_user_agent"] = conversion.user_agent
    if conversion.customer_type:
        user_data["customer_type"] = conversion.customer_type
    return user_data


def _custom_data(conversion: Conversion) -> dict[str, Any]:
    ids = [content.id for content in conversion.contents if content.id]
    custom_data = _without_empty(
        {
            "currency": conversion.currency,
            "value": conversion.value,
            "order_id": conversion.order_id,
            "content_ids": list(dict.fromkeys(ids)),
            "contents": list(filter(None, map(_content, conversion.contents))),
            "num_items": conversion.num_items,
        }
    )
    if conversion.limited:
        custom_data["opt_out_type"] = "LDP"
    return custom_data


def _content(content: Content) -> dict[str, Any]:
    return _without_empty(
        {
            "id": content.id,
            "item_name": content.name,
            "item_brand": content.brand,
            "item_price": content.price,
            "quantity": content.quantity,
        }
    )
