"""Pinterest's deletion requests: asks it to delete what it knows of a person's events."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from tracking.clients.http import HttpClient, safe_url
from tracking.clients.outcome import TryLater

_DEADLINE_SECONDS = 10.0
_CODE = re.compile(r"-?[0-9]{1,6}")


@dataclass(frozen=True, slots=True)
class DeletionAnswer:
    """Pinterest's answer to a deletion request: `refusal` is "" if it took the request.

    Of a refusal that `is_final` the same request would be refused again. It is told by its numbers
    alone, as Pinterest's words may quote the e-mail.
    """

    refusal: str = ""
    is_final: bool = False


class _DeletionError(msgspec.Struct):
    code: int | str | None = None


class PinterestDeletions:
    """The deletion requests of one ad account, which Pinterest carries out within 30 days."""

    def __init__(self, token: str, account_id: str, base: str) -> None:
        """Sets up calls of at most ten seconds each; nothing is called yet.

        Raises:
            ValueError: the address is not one that may be called.
        """
        safe_url(base, "PINTEREST_API_BASE")
        self._token = token
        self._url = f"{base.rstrip('/')}/ad_accounts/{account_id}/conversion_deletion_requests"
        self._http = HttpClient(_DEADLINE_SECONDS)

    def __repr__(self) -> str:
        return "<PinterestDeletions>"

    def ask(self, emails: Sequence[str], click_ids: Sequence[str]) -> DeletionAnswer:
        """Asks once to delete the events of these e-mails (in clear text) and click ids."""
        targets = {"user_emails": [*emails], "epiks": [*click_ids]}
        response = self._http.call(
            "POST",
            self._url,
            headers={
                "Authorization": f"Bearer {self._token}",
                "Content-Type": "application/json",
            },
            body=msgspec.json.encode({"deletion_targets": targets}),
        )
        if isinstance(response, TryLater):
            return DeletionAnswer("no complete answer")
        if 200 <= response.status < 300:
            return DeletionAnswer()
        is_final = 400 <= response.status < 500 and response.status not in (408, 425, 429)
        return DeletionAnswer(f"{response.status}{_code_in(response.body)}", is_final)

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        self._http.close()


def _code_in(body: bytes) -> str:
    """Returns the number of Pinterest's error; "" if it tells none."""
    try:
        code = msgspec.json.decode(body, type=_DeletionError).code
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    text = "" if code is None else str(code)
    return f" (code {text})" if _CODE.fullmatch(text) else ""
