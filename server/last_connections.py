"""The connections that nobody has accepted yet when a listener is closed: the kernel cuts them."""

import contextlib
import ctypes
import socket
import struct
import sys
from typing import Any

Accepted = tuple[socket.socket, Any]

# A filter for a socket's packets, in classic BPF: from byte 13 of a TCP header, whatever has the
# flag ACK passes. What has not is the first packet of a connection.
_LOAD_BYTE, _JUMP_IF_SET, _RETURN = 0x30, 0x45, 0x06
_FLAGS, _ACK = 13, 0x10
_STEPS = (
    (_LOAD_BYTE, 0, 0, _FLAGS),
    (_JUMP_IF_SET, 0, 1, _ACK),
    (_RETURN, 0, 0, 0xFFFF),
    (_RETURN, 0, 0, 0),
)
_CODE = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _STEPS))
_FILTER = struct.pack("HP", len(_STEPS), ctypes.addressof(_CODE))
# Linux's, which Python does not name.
_ATTACH_FILTER, _DETACH_FILTER = 26, 27


def accept_last(listener: socket.socket) -> list[Accepted]:
    """Accepts all who are connected to a listener that does not block, and closes it.

    Who comes in between hears nothing on Linux, and tries again a second later: to see that nobody
    waits takes a while, since other threads of the process run first. Elsewhere they may be cut.
    """
    accepted: list[Accepted] = []
    while True:
        keeps_out = keep_out(listener)
        try:
            with contextlib.suppress(OSError):
                while True:
                    accepted.append(listener.accept())
        finally:
            # Whatever happens, since others may keep the listener.
            is_lifted = let_in(listener)
        # Another process may have lifted the filter, and somebody may have come since.
        if not keeps_out or is_lifted:
            break
    listener.close()
    return accepted


def keep_out(listener: socket.socket) -> bool:
    """Keeps new connections out of a listener, for all processes that have it, until one of them
    calls `let_in`; returns False where that cannot be done."""
    return _filters(listener, _ATTACH_FILTER, _FILTER)


def let_in(listener: socket.socket) -> bool:
    """Lets new connections into a listener again; returns False if nobody had kept them out."""
    return _filters(listener, _DETACH_FILTER, 0)


def _filters(listener: socket.socket, change: int, value: int | bytes) -> bool:
    if sys.platform != "linux":
        return False
    try:
        listener.setsockopt(socket.SOL_SOCKET, change, value)
    except OSError:
        return False
    return True
