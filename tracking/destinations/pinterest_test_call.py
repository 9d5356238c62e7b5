"""Test calls to Pinterest with `?test=true`: it checks the events and records nothing."""

from collections.abc import Sequence
from contextlib import closing

from tracking.clients.http import HttpResponse
from tracking.clients.outcome import Outcome, TryLater
from tracking.destinations.base import DestinationSettings
from tracking.destinations.pinterest import Pinterest

# Of a test call Pinterest processes the first twenty events.
MAX_TESTED = 20
# The caller waits for the response.
_DEADLINE = 10.0


def send_test_event(settings: DestinationSettings, event: bytes) -> HttpResponse | TryLater:
    """Sends one event; returns Pinterest's response without the token, TryLater if none came.

    Raises:
        ValueError: the settings name no account, or an invalid one.
    """
    with closing(_test_account(settings)) as account:
        return account.post([event])


def send_test_events(settings: DestinationSettings, events: Sequence[bytes]) -> Outcome:
    """Sends up to MAX_TESTED events in one call; returns one result for each.

    Raises:
        ValueError: the settings name no account, or an invalid one.
    """
    with closing(_test_account(settings)) as account:
        return account.send(events)


def _test_account(settings: DestinationSettings) -> Pinterest:
    return Pinterest(
        settings.pinterest_access_token,
        settings.pinterest_ad_account_id,
        settings.pinterest_api_base,
        test_mode=True,
        deadline=_DEADLINE,
    )
