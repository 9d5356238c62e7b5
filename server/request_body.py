"""The body of a request as it was sent, up to a maximum size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


def raw_body(environ: WSGIEnvironment, max_size: int) -> bytes:
    """Returns the whole body, which is not compressed and has at most `max_size` bytes.

    Raises:
        HTTPException: it is larger, compressed or shorter than its Content-Length, or the
            Content-Length is not a number.
    """
    if environ.get("HTTP_CONTENT_ENCODING", "identity").lower() != "identity":
        # 100 kB could inflate to 100 MB, and neither Shopify nor the pixel compresses.
        raise UnsupportedMediaType("Content-Encoding is not accepted.")
    length = _content_length(environ)
    if length is not None and length > max_size:
        raise RequestEntityTooLarge(f"The body has at most {max_size} bytes.")
    if length is None and not environ.get("wsgi.input_terminated"):
        return b""
    body: bytes = environ["wsgi.input"].read(max_size + 1 if length is None else length)
    if len(body) > max_size:
        raise RequestEntityTooLarge(f"The body has at most {max_size} bytes.")
    if length is not None and len(body) < length:
        raise BadRequest("The body is shorter than its Content-Length.")
    return body


def _content_length(environ: WSGIEnvironment) -> int | None:
    """Returns the Content-Length; None if it is missing or the body comes in chunks."""
    if environ.get("HTTP_TRANSFER_ENCODING"):
        return None
    length = environ.get("CONTENT_LENGTH", "")
    if length and not (length.isascii() and length.isdigit() and len(length) < 20):
        raise BadRequest("The Content-Length is not a number.")
    return int(length) if length else None
