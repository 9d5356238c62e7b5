"""Problem details after RFC 9457, the form of every error response of this service."""

from collections.abc import Mapping, Sequence

import msgspec
from werkzeug.exceptions import ServiceUnavailable

from server import request_ids

CONTENT_TYPE = "application/problem+json"


def problem_body(
    status: int,
    title: str,
    detail: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    request_id: str = "",
) -> bytes:
    """Returns the problem as JSON, with the id of its request, which also stands in the log."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    more = {
        "errors": list(errors),
        "request_id": request_id or request_ids.current() or request_ids.new(),
    }
    return msgspec.json.encode({**body, **more})


class NotConfigured(ServiceUnavailable):
    """The endpoint is closed until a setting opens it; the description names the setting."""

    @property
    def name(self) -> str:
        """Returns the title of the problem."""
        return "Not configured"
