"""The bytes of a request that have arrived, and whether they are enough, too few or too many.

The end of a request is found here only to know how long to wait. gunicorn's own parser decides
whether it is a request, and which: it gets these bytes and can ask for no more.
"""

import re
from enum import Enum, auto

MAX_HEAD = 64 * 1024
# The largest body that any of our endpoints accepts; those with a lower limit check it themselves.
MAX_BODY = 2 * 1024 * 1024
# All the size lines of chunks together: reading them costs the main loop time.
_MAX_FRAMING = 256 * 1024
# The longest size line of a chunk that the parser accepts.
_MAX_SIZE_LINE = 8190

_HEAD_END = b"\r\n\r\n"
_BARE_LINE_FEED = re.compile(rb"(?<!\r)\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})[ \t]*\r\n", re.IGNORECASE)
_TRANSFER_ENCODING = re.compile(rb"\r\ntransfer-encoding:", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue[ \t]*\r\n", re.IGNORECASE)


class Stage(Enum):
    """The state of a request that is arriving."""

    HEAD = auto()
    BODY = auto()
    # The parser can accept or refuse the request with what has arrived.
    WHOLE = auto()
    HEAD_TOO_LARGE = auto()
    BODY_TOO_LARGE = auto()


class RequestBuffer:
    """The bytes of one request, and perhaps of the next ones behind it."""

    __slots__ = (
        "_body_end",
        "_body_size",
        "_framing_size",
        "_position",
        "data",
        "expects_continue",
        "stage",
    )

    def __init__(self) -> None:
        self.data: bytes | bytearray = b""
        self.stage = Stage.HEAD
        # The client sends the body only after 100 Continue.
        self.expects_continue = False
        # The head is searched up to here; later the next chunk begins here.
        self._position = 0
        # None for a body in chunks, whose end is not known before its last chunk.
        self._body_end: int | None = None
        self._body_size = 0
        self._framing_size = 0

    @property
    def has_length(self) -> bool:
        """True if the head told how long the body is, which then is not in chunks."""
        return self._body_end is not None

    def add(self, more: bytes) -> Stage:
        """Adds the next bytes and returns the stage that the request has reached."""
        if not self.data:
            # Nearly every request arrives in one piece, which is then not copied.
            self.data = more
        elif isinstance(self.data, bytearray):
            self.data += more
        else:
            self.data = bytearray(self.data) + more
        if self.stage is Stage.HEAD:
            self.stage = self._after_head()
        if self.stage is Stage.BODY:
            self.stage = self._after_body()
        return self.stage

    def _after_head(self) -> Stage:
        end = self.data.find(_HEAD_END, max(0, self._position - len(_HEAD_END)))
        if end > MAX_HEAD or (end < 0 and len(self.data) > MAX_HEAD):
            return Stage.HEAD_TOO_LARGE
        if end < 0:
            if _BARE_LINE_FEED.search(self.data, max(0, self._position - 1)):
                return Stage.WHOLE
            self._position = len(self.data)
            return Stage.HEAD
        head = bytes(self.data[: end + 2])
        self._position = end + len(_HEAD_END)
        self.expects_continue = _EXPECTS.search(head) is not None
        if _TRANSFER_ENCODING.search(head):
            return Stage.BODY
        length = _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if size > MAX_BODY:
            return Stage.BODY_TOO_LARGE
        self._body_end = self._position + size
        return Stage.BODY

    def _after_body(self) -> Stage:
        if self._body_end is not None:
            return Stage.WHOLE if len(self.data) >= self._body_end else Stage.BODY
        while self._position < len(self.data):
            line_end = self.data.find(b"\r\n", self._position, self._position + _MAX_SIZE_LINE)
            if line_end < 0:
                is_too_long = len(self.data) - self._position > _MAX_SIZE_LINE
                return Stage.WHOLE if is_too_long else self._unless_too_large()
            size = _size_of(bytes(self.data[self._position : line_end]))
            if size is None:
                return Stage.WHOLE
            if size == 0:
                return self._after_trailers(line_end)
            self._body_size += size
            self._framing_size += line_end - self._position + 4
            if self._body_size > MAX_BODY or self._framing_size > _MAX_FRAMING:
                return Stage.BODY_TOO_LARGE
            # The size line, the chunk and its line end.
            self._position = line_end + 2 + size + 2
        return self._unless_too_large()

    def _after_trailers(self, line_end: int) -> Stage:
        # The search includes this line end: without trailers an empty line follows at once.
        if self.data.find(_HEAD_END, line_end) >= 0:
            return Stage.WHOLE
        return self._unless_too_large()

    def _unless_too_large(self) -> Stage:
        limit = MAX_HEAD + MAX_BODY + _MAX_FRAMING
        return Stage.BODY_TOO_LARGE if len(self.data) > limit else Stage.BODY


def _size_of(line: bytes) -> int | None:
    """Returns the size in a chunk's size line, or None for a line that the parser refuses."""
    digits = line.partition(b";")[0].rstrip(b" \t")
    return int(digits, 16) if re.fullmatch(rb"[0-9A-Fa-f]{1,16}", digits) else None
