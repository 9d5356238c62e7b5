"""The bytes of a request as they were sent, and never more of them than fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def raw_body(environ: WSGIEnvironment, most: int) -> bytes:
    """The body, whatever the headers promise: whole, plain, and at most `most` bytes.

    Raises:
        HTTPException: it is larger, compressed, shorter than promised, or its length is no number.
    """
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        # Inflating what a stranger sent is how 100 kB become 100 MB; nobody we expect compresses.
        raise UnsupportedMediaType("Content-Encoding is not accepted.")
    promised = _promised(environ)
    if promised is not None and promised > most:
        raise RequestEntityTooLarge(f"The body has at most {most} bytes.")
    if promised is None and not environ.get("wsgi.input_terminated"):
        return b""
    body: bytes = environ["wsgi.input"].read(most + 1 if promised is None else promised)
    if len(body) > most:
        raise RequestEntityTooLarge(f"The body has at most {most} bytes.")
    if promised is not None and len(body) < promised:
        raise BadRequest("The body is shorter than its Content-Length.")
    return body


def _promised(environ: WSGIEnvironment) -> int | None:
    """The Content-Length, None where the body comes in chunks."""
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return None
    length = environ.get("CONTENT_LENGTH", "")
    if length and not (length.isascii() and length.isdigit() and len(length) < 20):
        raise BadRequest("The Content-Length is not a number.")
    return int(length) if length else None
