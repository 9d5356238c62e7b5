"""HTTP calls that follow no redirect and end by a deadline."""

import ipaddress
import re
import socket
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import SplitResult, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import HTTPError

from tracking.clients.outcome import TryLater

_MEBIBYTE = 1024 * 1024
MAX_RESPONSE = _MEBIBYTE
CONNECT_SECONDS = 5.0
DEADLINE_SECONDS = 30.0

# Printable ASCII, but no backslash, query, fragment or user: URL parsers disagree on them.
_URL = re.compile(r"[^\\?#@\x00-\x20\x7f-\U0010ffff]+")
_HEADERS = {
    "User-Agent": "pinterest-conversions-for-shopify",
    # An uncompressed response cannot grow while it is decoded.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """Status, headers (by name in any case) and a body no longer than its client reads."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def safe_url(url: str, name: str) -> SplitResult:
    """The parts of a URL that may be called: https, or http to this machine itself.

    Raises:
        ValueError: any other URL; the message begins with the setting's `name`.
    """
    if not _URL.fullmatch(url):
        raise ValueError(f"{name}: only scheme, host, port and path are allowed")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not host or parts.scheme not in ("https", "http"):
        raise ValueError(f"{name}: not an address")
    if parts.scheme == "http" and not is_loopback(host):
        raise ValueError(f"{name}: must be https, or http on the loopback address")
    return parts


def is_loopback(host: str) -> bool:
    """Returns whether the host is this machine, by name or by address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HttpClient:
    """Sends requests without a session: it follows no redirect, reads no proxy variable and no
    netrc, keeps no cookie and always verifies TLS.

    A call ends after `deadline` seconds in all, however slowly the response arrives. The DNS
    lookup comes before that; connecting may take five seconds for each address of the host. Of a
    body longer than `max_response` bytes nothing is returned.
    """

    def __init__(
        self, deadline: float = DEADLINE_SECONDS, max_response: int = MAX_RESPONSE
    ) -> None:
        self._deadline = deadline
        self._max_response = max_response
        self._adapter = _Adapter()

    def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> HttpResponse | TryLater:
        """The response of any status; TryLater if there is none, or only a part of one."""
        with _Deadline(self._deadline) as deadline:
            try:
                response = self._send(method, url, headers, body)
            except (requests.RequestException, HTTPError, OSError) as error:
                response = TryLater(_reason(error))
        if deadline.has_passed:
            return TryLater(f"no complete answer within {self._deadline:g} s")
        return response

    def close(self) -> None:
        """Closes the connections kept open for later calls."""
        self._adapter.close()

    def _send(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpResponse | TryLater:
        request = requests.Request(method, url, {**_HEADERS, **headers}, data=body).prepare()
        # Longer than the deadline, which is to end the call and give the reason.
        timeout = (CONNECT_SECONDS, self._deadline + 1)
        with self._adapter.send(request, stream=True, timeout=timeout, verify=True) as response:
            content: bytes = response.raw.read(self._max_response + 1, decode_content=False)
            if len(content) > self._max_response:
                most = f"{self._max_response // _MEBIBYTE} MiB of answer"
                return TryLater(f"HTTP {response.status_code} with more than {most}")
            return HttpResponse(response.status_code, response.headers, content)


def _reason(error: BaseException) -> str:
    """The root cause of an error. Only the system's own text: others may quote a header."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    message = error.strerror if isinstance(error, OSError) else None
    return f"no answer: {type(error).__name__}" + (f": {message}" if message else "")


class _Deadline:
    """Shuts down the connection of this thread's call when its time is up.

    The timeouts of a socket start anew with every byte, so a response of one byte a second would
    never reach them.
    """

    _running = threading.local()

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._shut_down)
        self._timer.daemon = True
        self._socket: socket.socket | None = None
        self.has_passed = False

    def __enter__(self) -> Self:
        self._running.deadline = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        del self._running.deadline

    @classmethod
    def watch(cls, connection: socket.socket | None) -> None:
        """Registers the connection that this thread's call uses."""
        deadline: _Deadline | None = getattr(cls._running, "deadline", None)
        if deadline is not None and connection is not None:
            deadline._socket = connection
            if deadline.has_passed:
                deadline._shut_down()

    def _shut_down(self) -> None:
        self.has_passed = True
        if self._socket is not None:
            try:
                # Not close(), which would leave the reading thread blocked, and not TLS's own
                # shutdown, which would free the session while the reading thread uses it.
                socket.socket.shutdown(self._socket, socket.SHUT_RDWR)
            except OSError:
                return  # It is closed already.


class _Connection(HTTPConnection):
    def connect(self) -> None:
        super().connect()
        _Deadline.watch(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        _Deadline.watch(self.sock)
        super().request(*args, **kwargs)


class _TlsConnection(_Connection, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


class _Adapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}
