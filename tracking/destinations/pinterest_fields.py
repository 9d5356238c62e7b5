"""Reads which of the fields that Pinterest scores an event has, as it is sent."""

from itertools import compress

import msgspec

from tracking.clients.responses import decoded
from tracking.domain.match_quality import BITS

_NO_CONTENTS = msgspec.Raw(b"[]")


class _SentContent(msgspec.Struct, gc=False):
    id: str | None = None


class _SentCustomData(msgspec.Struct, frozen=True, gc=False):
    order_id: str | None = None
    value: str | None = None
    content_ids: list[str] | None = None
    contents: msgspec.Raw = _NO_CONTENTS


class _SentUserData(msgspec.Struct, gc=False):
    click_id: str | None = None
    em: list[str] | None = None
    external_id: list[str] | None = None
    hashed_maids: list[str] | None = None
    client_ip_address: str | None = None
    client_user_agent: str | None = None


class SentFields(msgspec.Struct, gc=False):
    """The part of an event that is counted."""

    event_name: str
    action_source: str
    event_id: str
    user_data: _SentUserData
    custom_data: _SentCustomData = _SentCustomData()
    event_source_url: str | None = None

    @property
    def order_id(self) -> str:
        """The order that the event names, "" if it names none."""
        return self.custom_data.order_id or ""

    @property
    def bits(self) -> int:
        """The fields that the event has: the sum of their bits, in the order of BITS."""
        person, custom = self.user_data, self.custom_data
        found = (
            person.click_id,
            person.em,
            person.external_id,
            person.hashed_maids,
            person.client_ip_address,
            person.client_user_agent,
            self.event_id,
            custom.order_id,
            custom.value,
            custom.content_ids or _names_product(custom.contents),
            self.event_source_url,
        )
        return sum(compress(BITS, found))


def fields_of(event: bytes) -> SentFields | None:
    """Returns what an event of Pinterest's form has; None if it has another form."""
    return decoded(event, SentFields)


def _names_product(contents: msgspec.Raw) -> bool:
    found = decoded(bytes(contents), list[_SentContent]) or ()
    return any(content.id for content in found)
