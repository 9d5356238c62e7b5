"""Test calls to Pinterest with `?test=true`: it checks the events and records nothing."""

import threading
from collections.abc import Sequence
from contextlib import closing

from tracking.clients.http import HttpResponse
from tracking.clients.outcome import Outcome, TryLater
from tracking.destinations.base import DestinationSettings
from tracking.destinations.pinterest import Pinterest, encode, outcome_of
from tracking.domain.conversion import Conversion
from tracking.domain.identity import Identity, digest

# Of a test call Pinterest processes the first twenty events.
MAX_TESTED = 20
# The caller waits for the response.
_DEADLINE = 10.0
_TOKEN_DEADLINE = 4.0


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


def try_token(
    settings: DestinationSettings, now: int, patience: float = _TOKEN_DEADLINE + 1
) -> tuple[int, Outcome]:
    """Sends a made-up event; returns the status and the outcome, (0, TryLater) for no response.

    It takes at most `patience` seconds, also where the name of the host is not found in time.

    Raises:
        ValueError: the settings name no account, or an invalid one.
    """
    answers: list[HttpResponse | TryLater] = []
    account, event = _test_account(settings, _TOKEN_DEADLINE), _made_up_event(now)

    def call() -> None:
        with closing(account):
            answers.append(account.post([event]))

    # The look-up of a name has no deadline of its own.
    thread = threading.Thread(target=call, name="token", daemon=True)
    thread.start()
    thread.join(patience)
    answer = answers[0] if answers else TryLater(f"no answer within {patience:g} s")
    if isinstance(answer, TryLater):
        return 0, answer
    return answer.status, outcome_of(answer, 1)


def _made_up_event(now: int) -> bytes:
    person = digest("doctor@example.com")
    return encode(
        Conversion(
            event_id=f"doctor-{now}",
            event_name="page_visit",
            action_source="web",
            event_time=now,
            identity=Identity(em=(person,) if person else ()),
            event_source_url="https://example.com/",
        )
    )


def _test_account(settings: DestinationSettings, deadline: float = _DEADLINE) -> Pinterest:
    return Pinterest(
        settings.pinterest_access_token,
        settings.pinterest_ad_account_id,
        settings.pinterest_api_base,
        test_mode=True,
        deadline=deadline,
    )
