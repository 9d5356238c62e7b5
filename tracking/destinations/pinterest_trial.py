"""One event shown to Pinterest with `?test=true`: it checks the event and records nothing."""

from contextlib import closing

from tracking.destinations.base import DestinationSettings
from tracking.destinations.outgoing import HttpAnswer
from tracking.destinations.pinterest import Pinterest
from tracking.outcome import TryLater

# Somebody waits for the answer.
_DEADLINE = 10.0


def tried(settings: DestinationSettings, event: bytes) -> HttpAnswer | TryLater:
    """Pinterest's own answer to a finished event, without the token; TryLater if none came.

    Raises:
        ValueError: the settings name no account, or one that cannot be right.
    """
    trial = Pinterest(
        settings.pinterest_access_token,
        settings.pinterest_ad_account_id,
        settings.pinterest_api_base,
        test_mode=True,
        deadline=_DEADLINE,
    )
    with closing(trial):
        return trial.ask([event])
