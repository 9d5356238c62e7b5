"""Events shown to Pinterest with `?test=true`: it checks them and records nothing."""

from collections.abc import Sequence
from contextlib import closing

from tracking.clients.http import HttpResponse
from tracking.clients.outcome import Outcome, TryLater
from tracking.destinations.base import DestinationSettings
from tracking.destinations.pinterest import Pinterest

# Of a test call Pinterest processes the first twenty events.
MOST_TRIED = 20
# Somebody waits for the answer.
_DEADLINE = 10.0


def tried(settings: DestinationSettings, event: bytes) -> HttpResponse | TryLater:
    """Pinterest's own answer to a finished event, without the token; TryLater if none came.

    Raises:
        ValueError: the settings name no account, or one that cannot be right.
    """
    with closing(_trial(settings)) as trial:
        return trial.ask([event])


def tried_together(settings: DestinationSettings, events: Sequence[bytes]) -> Outcome:
    """What Pinterest says of each of up to MOST_TRIED finished events, in one call.

    Raises:
        ValueError: the settings name no account, or one that cannot be right.
    """
    with closing(_trial(settings)) as trial:
        return trial.send(events)


def _trial(settings: DestinationSettings) -> Pinterest:
    return Pinterest(
        settings.pinterest_access_token,
        settings.pinterest_ad_account_id,
        settings.pinterest_api_base,
        test_mode=True,
        deadline=_DEADLINE,
    )
