"""The addresses that alerts are sent to, by apprise: Slack, mail, Teams, a webhook and others.

An address holds secrets: its kind and its place in ALERT_URLS are all that is said of it.
"""

import hashlib
import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from apprise import Apprise, AppriseResult

# Below these levels they log addresses, with tokens in them, and what is sent to them.
_TALKATIVE = ("apprise", "oauthlib", "requests_oauthlib", "urllib3")
_STATUS = re.compile(r"\berror[=:] ?([1-5][0-9]{2})\b")


@dataclass(frozen=True, slots=True)
class AlertAddress:
    """One address, by its place in ALERT_URLS."""

    number: int
    url: str = field(repr=False)

    @property
    def label(self) -> str:
        """Its place and its kind, which may be said of it."""
        return f"address {self.number} ({self.url.partition('://')[0].lower()})"

    @property
    def digest(self) -> str:
        """A name for it in the store, which reveals nothing of it."""
        return hashlib.sha256(self.url.encode()).hexdigest()[:12]

    def send(self, title: str, body: str, severity: Literal["info", "success", "warning"]) -> str:
        """Sends a text, and waits some seconds at most; returns why it did not go, or ""."""
        try:
            channel = _channel(self.url)
            if channel is None:
                return "apprise knows no such address"
            return _failure_of(channel.notify(body, title, severity, body_format="text"))
        except Exception as error:
            # Apprise has a plugin for each of a hundred services. The text of its error may be of
            # the address.
            return type(error).__name__


def addresses_of(urls: Iterable[str]) -> tuple[AlertAddress, ...]:
    """Returns the addresses of ALERT_URLS."""
    return tuple(AlertAddress(number, url) for number, url in enumerate(urls, 1))


def _channel(url: str) -> "Apprise | None":
    """Returns the way to an address; None if it is none."""
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
    # What it warns of, too, may name a person: the recipient of a mail.
    logging.getLogger("apprise").propagate = False
    # Only here, since it takes half a second and 40 MB.
    from apprise import Apprise, AppriseAsset

    channel = Apprise(asset=AppriseAsset(app_id="Pinterest conversions", async_mode=False))
    return channel if channel.add(url) else None


def _failure_of(result: "AppriseResult") -> str:
    if result:
        return ""
    statuses = (_STATUS.search(entry.message) for entry in result.logs())
    status = next((found[1] for found in statuses if found), "")
    return f"refused with status {status}" if status else "it did not answer, or refused"
