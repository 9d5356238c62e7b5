"""Answers that the worker itself gives to what is not a usable request."""

from http import HTTPStatus

from gunicorn.http.errors import (
    ConfigurationProblem,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)

from server.problems import CONTENT_TYPE, problem_body
from server.security_headers import HEADERS


def refusal(status: int, detail: str) -> bytes:
    """Returns a whole answer, after which the connection is closed."""
    body = problem_body(status, HTTPStatus(status).phrase, detail)
    head = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        f"Content-Type: {CONTENT_TYPE}",
        f"Content-Length: {len(body)}",
        *(f"{name}: {value}" for name, value in HEADERS),
    ]
    return "\r\n".join([*head, "", ""]).encode() + body


def status_of(error: BaseException) -> int:
    """Returns the status that answers an error of gunicorn's parser or of the application."""
    match error:
        case LimitRequestLine():
            return 414
        case LimitRequestHeaders():
            return 431
        case ParseException() if not isinstance(error, ConfigurationProblem):
            # An unknown transfer coding too: the client chose it.
            return 400
        case _:
            return 500
