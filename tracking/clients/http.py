"""One call over HTTP that goes nowhere but where it was sent and is sure to end."""

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

MAX_RESPONSE = 1024 * 1024
CONNECT_SECONDS = 5.0
DEADLINE_SECONDS = 30.0

# Printable ASCII, but no backslash, query, fragment or user: readers of addresses disagree on them.
_ADDRESS = re.compile(r"[^\\?#@\x00-\x20\x7f-\U0010ffff]+")
_HEADERS = {
    "User-Agent": "pinterest-conversions-for-shopify",
    # An answer in clear cannot unfold to more than it weighs.
    "Accept-Encoding": "identity",
}


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What came back: the status, the headers by name in any case, at most 1 MiB of body."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def safe_url(url: str, name: str) -> SplitResult:
    """The parts of an address that may be called: https, or http to this machine itself.

    Raises:
        ValueError: anything else; the message begins with the setting's `name`.
    """
    if not _ADDRESS.fullmatch(url):
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
    """Whether the host is this machine by name or by address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class HttpClient:
    """Calls without a session: nothing follows a redirect, heeds a proxy variable or a netrc,
    keeps a cookie or leaves TLS unverified.

    A call ends after `deadline` seconds in all, however slowly the answer drips. Looking up the
    name comes before that, connecting may take five seconds for each of its addresses.
    """

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self._deadline = deadline
        self._adapter = _Adapter()

    def call(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None = None
    ) -> HttpResponse | TryLater:
        """The answer, whatever its status; TryLater if there is none that can be trusted."""
        with _Deadline(self._deadline) as deadline:
            try:
                answer = self._exchange(method, url, headers, body)
            except (requests.RequestException, HTTPError, OSError) as error:
                answer = TryLater(_trouble(error))
        if deadline.is_over:
            return TryLater(f"no complete answer within {self._deadline:g} s")
        return answer

    def close(self) -> None:
        """Close the connections kept open for later calls."""
        self._adapter.close()

    def _exchange(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> HttpResponse | TryLater:
        request = requests.Request(method, url, {**_HEADERS, **headers}, data=body).prepare()
        # Longer than the deadline, which is to end the call and give the reason.
        timeout = (CONNECT_SECONDS, self._deadline + 1)
        with self._adapter.send(request, stream=True, timeout=timeout, verify=True) as response:
            content: bytes = response.raw.read(MAX_RESPONSE + 1, decode_content=False)
            if len(content) > MAX_RESPONSE:
                return TryLater(f"HTTP {response.status_code} with more than 1 MiB of answer")
            return HttpResponse(response.status_code, response.headers, content)


def _trouble(error: BaseException) -> str:
    """The root of the trouble. Only the system's own text: others may quote a header."""
    while inner := error.__cause__ or error.__context__:
        error = inner
    said = error.strerror if isinstance(error, OSError) else None
    return f"no answer: {type(error).__name__}" + (f": {said}" if said else "")


class _Deadline:
    """Cuts the connection of this thread's call when its time is up.

    The timeouts of a socket start anew with every byte, so an answer of one byte a second would
    outlive them.
    """

    _running = threading.local()

    def __init__(self, seconds: float) -> None:
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._socket: socket.socket | None = None
        self.is_over = False

    def __enter__(self) -> Self:
        self._running.deadline = self
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        del self._running.deadline

    @classmethod
    def watch(cls, connection: socket.socket | None) -> None:
        """Say which connection this thread's call runs over."""
        deadline: _Deadline | None = getattr(cls._running, "deadline", None)
        if deadline is not None and connection is not None:
            deadline._socket = connection
            if deadline.is_over:
                deadline._cut()

    def _cut(self) -> None:
        self.is_over = True
        if self._socket is not None:
            try:
                # Not close(), which would leave the reading thread asleep, and not TLS's own
                # shutdown, which would take the session away under the reader's hands.
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
