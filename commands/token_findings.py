"""The finding of doctor on Pinterest's token, which Pinterest itself is asked about."""

from collections.abc import Iterator

from commands.findings import Finding
from config import Settings
from tracking.clients.outcome import Answered, BatchRefused, Paused, Refused, TryLater
from tracking.destinations.pinterest_test_call import try_token

_ADVICE = {
    401: "make a new token in Pinterest's Ads Manager, Conversions, Conversions API",
    403: "is PINTEREST_AD_ACCOUNT_ID the account that the token was made in?",
    404: "is PINTEREST_AD_ACCOUNT_ID the number of your ad account?",
}


def token_findings(settings: Settings, now: int) -> Iterator[Finding]:
    """Asks Pinterest with an event that it does not count, and waits a few seconds at most."""
    if not settings.pinterest_access_token:
        text = "none: make one in Pinterest's Ads Manager, Conversions, Conversions API"
        yield Finding("note", "token", text)
    elif settings.sends_to_pinterest:
        yield _answered(settings, now)


def _answered(settings: Settings, now: int) -> Finding:
    account = f"ad account {settings.pinterest_ad_account_id}"
    status, outcome = try_token(settings, now)
    match outcome:
        case Answered((Refused(reason),)) | BatchRefused(reason):
            text = f"accepted for {account}, but Pinterest refused a made-up event: {reason}"
            return Finding("note", "token", text)
        case Answered():
            text = f"Pinterest accepts it for {account}, asked with an event that it does not count"
            return Finding("ok", "token", text)
        case Paused(reason, is_credentials=True):
            text = f"Pinterest does not accept it for {account} ({reason}); {_ADVICE[status]}"
            return Finding("FAIL", "token", text)
        case Paused(reason):
            return Finding("note", "token", f"Pinterest takes no more calls now ({reason})")
        case TryLater(reason):
            text = f"not known: Pinterest does not answer at {settings.pinterest_api_base}"
            return Finding("FAIL", "token", f"{text} ({reason})")
