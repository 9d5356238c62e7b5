"""Pinterest's Conversions API: a conversion in its words, and its answers in ours."""

import re
from collections.abc import Sequence
from dataclasses import replace
from socket import AF_INET, AF_INET6, inet_pton
from typing import Any, Literal

import msgspec

from tracking.clients.http import DEADLINE_SECONDS, HttpClient, HttpResponse, is_loopback, safe_url
from tracking.clients.outcome import (
    Accepted,
    Answered,
    BatchRefused,
    EventResult,
    Outcome,
    Refused,
    TryLater,
)
from tracking.clients.responses import decoded, is_refusal, pause_or_retry, refusal_of, sanitized
from tracking.destinations import pinterest_schema
from tracking.destinations.base import DestinationSettings, Unencodable
from tracking.domain.conversion import Content, Conversion

BASE = "https://api.pinterest.com/v5"

_TOKEN = re.compile(r"[!-~]+")
_ACCOUNT_ID = re.compile(r"[0-9]{1,18}")
_HOST = "pinterest.com"
# A shorter token is somebody's made-up one, and may be a part of the answer's own words.
_SECRET_LENGTH = 12


class _Status(msgspec.Struct):
    """What is said of one event. Texts are missing, null or empty alike, as seen live."""

    status: Literal["processed", "failed"]
    error_message: str | None = None
    warning_message: str | None = None


class _Statuses(msgspec.Struct):
    events: list[_Status]


class _Detailed(msgspec.Struct):
    """Where the statuses of a 422 were seen."""

    details: _Statuses


class _ErrorBody(msgspec.Struct):
    message: str
    code: int | str | None = None


class Pinterest:
    """An ad account that is told about conversions. In test mode it records none of them."""

    name = "pinterest"

    def __init__(
        self,
        token: str,
        account_id: str,
        base: str = BASE,
        test_mode: bool = False,
        deadline: float = DEADLINE_SECONDS,
    ) -> None:
        """A whole call may take `deadline` seconds. Nothing is called yet.

        Raises:
            ValueError: a setting that cannot be right. The message names it, but not the token.
        """
        if not _TOKEN.fullmatch(token):
            raise ValueError("PINTEREST_ACCESS_TOKEN: must be printable ASCII without spaces")
        if not _ACCOUNT_ID.fullmatch(account_id):
            raise ValueError("PINTEREST_AD_ACCOUNT_ID: must be 1 to 18 digits")
        self._token = token.encode()
        self._url = f"{_checked(base)}/ad_accounts/{account_id}/events"
        self._repr = f"<Pinterest {account_id}{', test mode' if test_mode else ''}>"
        # Of a test call Pinterest processes the first 20 events, and it takes ten such calls a
        # second: a minute's worth of 60 stays below that in any burst.
        self.max_batch = 20 if test_mode else 1000
        self.calls_per_minute = 60 if test_mode else 5000
        if test_mode:
            self._url += "?test=true"
        self._http = HttpClient(deadline)

    def __repr__(self) -> str:
        return self._repr

    def encode(self, conversion: Conversion) -> bytes:
        """The finished event of Pinterest's published form.

        Raises:
            Unencodable: no such event can be made of it.
        """
        return encode(conversion)

    def send(self, events: Sequence[bytes]) -> Outcome:
        """One call with these events. Whatever goes wrong is an outcome."""
        answer = self.ask(events)
        return answer if isinstance(answer, TryLater) else outcome_of(answer, len(events))

    def ask(self, events: Sequence[bytes]) -> HttpResponse | TryLater:
        """Pinterest's own answer to one call, without the token; TryLater if none came."""
        answer = self._http.call(
            "POST",
            self._url,
            headers={
                "Authorization": f"Bearer {self._token.decode()}",
                "Content-Type": "application/json",
            },
            body=b'{"data":[' + b",".join(events) + b"]}",
        )
        return answer if isinstance(answer, TryLater) else self._without_token(answer)

    def amended(self, event: bytes, click_id: str, limited: bool) -> bytes:
        """The event with a click id, if it had none, and with limited use of data if asked."""
        return amended(event, click_id, limited)

    def strip(self, event: bytes) -> bytes:
        """The event without IP address and user agent."""
        return strip(event)

    def browser_of(self, event: bytes) -> tuple[str, str]:
        """The IP address and user agent in a finished event, "" for what it lacks."""
        return browser_of(event)

    def close(self) -> None:
        """Close the connections kept open for later calls."""
        self._http.close()

    def _without_token(self, answer: HttpResponse) -> HttpResponse:
        """What is said may be kept, and somebody on the way may quote the whole request."""
        if len(self._token) < _SECRET_LENGTH:
            return answer
        return replace(answer, body=answer.body.replace(self._token, b"(token)"))


def connected(settings: DestinationSettings) -> Pinterest | None:
    """The configured account, None without token or id."""
    if not (settings.pinterest_access_token and settings.pinterest_ad_account_id):
        return None
    return Pinterest(
        settings.pinterest_access_token,
        settings.pinterest_ad_account_id,
        settings.pinterest_api_base,
        settings.pinterest_test_mode,
    )


def encode(conversion: Conversion) -> bytes:
    """A conversion as an event of Pinterest's published form.

    Raises:
        Unencodable: no such event can be made of it; the message names each field at fault.
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
    """An event of Pinterest's form without IP address and user agent."""
    tree = msgspec.json.decode(event)
    tree["user_data"].pop("client_ip_address", None)
    tree["user_data"].pop("client_user_agent", None)
    tree.get("app_info", {}).pop("user_agent", None)
    return msgspec.json.encode(tree)


def browser_of(event: bytes) -> tuple[str, str]:
    """The IP address and user agent in an event of Pinterest's form, "" for what it lacks."""
    known = msgspec.json.decode(event)["user_data"]
    return known.get("client_ip_address", ""), known.get("client_user_agent", "")


def amended(event: bytes, click_id: str, limited: bool) -> bytes:
    """An event of Pinterest's form with what became known since it was made: the click it came
    from, if it had none, and that the buyer limits the use of data."""
    tree = msgspec.json.decode(event)
    if click_id:
        tree["user_data"].setdefault("click_id", click_id)
    if limited:
        tree["opt_out"] = True
        tree.setdefault("custom_data", {})["opt_out_type"] = "LDP"
    return msgspec.json.encode(tree)


def event_of(conversion: Conversion) -> dict[str, Any]:
    """A conversion in Pinterest's words, without the fields that have nothing to say."""
    return {
        "event_name": conversion.event_name,
        "action_source": conversion.action_source,
        "event_time": conversion.event_time,
        "event_id": conversion.event_id,
        "user_data": _user_data(conversion),
        **_filled(
            {
                "event_source_url": conversion.event_source_url,
                "partner_name": conversion.partner_name,
                "language": conversion.language,
                "opt_out": conversion.opt_out,
                "custom_data": _custom_data(conversion),
            }
        ),
    }


def outcome_of(answer: HttpResponse, count: int) -> Outcome:
    """What an answer to a call of `count` events means.

    A 200 is no success in itself, and a 422 may hold some: both are read event by event. What
    does not read as Pinterest's settles nothing.
    """
    if answer.status in (200, 201):
        return _results(decoded(answer.body, _Statuses), count) or pause_or_retry(
            answer, f"the answer does not say what became of each of {count} events"
        )
    said = _said(answer.body)
    if not is_refusal(answer.status):
        return pause_or_retry(answer, said)
    if answer.status == 422:
        detailed = decoded(answer.body, _Detailed)
        statuses = detailed.details if detailed else decoded(answer.body, _Statuses)
        return _results(statuses, count) or _unprocessed(answer, said, count)
    return refusal_of(answer, said, count)


def _unprocessed(answer: HttpResponse, said: str, count: int) -> Outcome:
    outcome = refusal_of(answer, said, count)
    if count == 1 and isinstance(outcome, BatchRefused):
        return Answered((Refused(outcome.reason),))
    return outcome


def _results(statuses: _Statuses | None, count: int) -> Answered | None:
    if statuses is None or len(statuses.events) != count:
        return None
    return Answered(tuple(_result(status) for status in statuses.events))


def _result(status: _Status) -> EventResult:
    error, warning = sanitized(status.error_message or ""), sanitized(status.warning_message or "")
    if status.status == "processed":
        return Accepted(warning)
    return Refused(error or warning or "failed, without a reason")


def _said(body: bytes) -> str:
    """Pinterest's words on an error; nothing if they are not in Pinterest's form."""
    error = decoded(body, _ErrorBody)
    if error is None or not error.message:
        return ""
    return error.message if error.code is None else f"{error.message} (code {error.code})"


def _checked(base: str) -> str:
    parts = safe_url(base, "PINTEREST_API_BASE")
    host = parts.hostname or ""
    if not (is_loopback(host) or host == _HOST or host.endswith(f".{_HOST}")):
        raise ValueError(f"PINTEREST_API_BASE: must be a host of {_HOST}, or this machine")
    return base.rstrip("/")


def _filled(fields: dict[str, Any]) -> dict[str, Any]:
    if all(fields.values()):
        return fields
    return {name: value for name, value in fields.items() if value}


def _user_data(conversion: Conversion) -> dict[str, Any]:
    told: dict[str, Any] = conversion.identity.user_data()
    if conversion.click_id:
        told["click_id"] = conversion.click_id
    if address := _address(conversion.ip):
        told["client_ip_address"] = address
    if conversion.user_agent:
        told["client_user_agent"] = conversion.user_agent
    return told


def _address(ip: str) -> str:
    """The buyer's address as it is, nothing if it is nobody's or none."""
    try:
        packed = inet_pton(AF_INET6 if ":" in ip else AF_INET, ip)
    except (OSError, ValueError):
        return ""
    return ip if any(packed) else ""


def _custom_data(conversion: Conversion) -> dict[str, Any]:
    ids = [content.id for content in conversion.contents if content.id]
    told = _filled(
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
        told["opt_out_type"] = "LDP"
    return told


def _content(content: Content) -> dict[str, Any]:
    return _filled(
        {
            "id": content.id,
            "item_name": content.name,
            "item_brand": content.brand,
            "item_price": content.price,
            "quantity": content.quantity,
        }
    )
