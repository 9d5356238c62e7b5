"""A refusal in the form that RFC 9457 gives problems, whoever refuses."""

import uuid
from collections.abc import Mapping, Sequence

import msgspec
from werkzeug.exceptions import ServiceUnavailable

CONTENT_TYPE = "application/problem+json"


def problem_body(
    status: int,
    title: str,
    detail: str = "",
    errors: Sequence[Mapping[str, str]] = (),
    request_id: str = "",
) -> bytes:
    """The problem as JSON, with an id to find it by in the log."""
    body = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    more = {"errors": list(errors), "request_id": request_id or uuid.uuid4().hex}
    return msgspec.json.encode({**body, **more})


class NotConfigured(ServiceUnavailable):
    """The endpoint is closed until a setting opens it; the description names which."""

    @property
    def name(self) -> str:
        """The title of the problem."""
        return "Not configured"
