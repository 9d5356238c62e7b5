"""The connections that nobody has accepted when a listener is closed."""

import errno
import select
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from server.last_connections import accept_last

PATIENCE = 10.0


class SlowListener(socket.socket):
    """A listener of which others connect while it is seen that nobody waits any more."""

    meanwhile: Callable[[], None] = staticmethod(lambda: None)

    def accept(self) -> tuple[socket.socket, object]:
        """Accept who waits; call `meanwhile` if nobody does, before that is known."""
        try:
            return super().accept()
        except BlockingIOError:
            self.meanwhile()
            raise


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6])
def listener(request: pytest.FixtureRequest) -> Iterator[SlowListener]:
    with SlowListener(request.param) as listener:
        listener.bind(("127.0.0.1" if request.param == socket.AF_INET else "::1", 0))
        listener.listen(64)
        listener.setblocking(False)
        yield listener


@pytest.fixture
def callers() -> Iterator[ExitStack]:
    with ExitStack() as callers:
        yield callers


def called(listener: SlowListener, callers: ExitStack) -> socket.socket:
    """A caller who has begun to connect."""
    caller = callers.enter_context(socket.socket(listener.family))
    caller.setblocking(False)
    caller.connect_ex(listener.getsockname()[:2])
    return caller


def outcome(caller: socket.socket) -> int:
    """The error of a caller's connection, 0 if it stands."""
    assert select.select([], [caller], [], PATIENCE)[1]
    return caller.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)


def test_who_is_connected_is_accepted(listener: SlowListener, callers: ExitStack) -> None:
    connected = [called(listener, callers) for _ in range(3)]

    accepted = accept_last(listener)

    assert [raw.getpeername() for raw, _ in accepted] == [each.getsockname() for each in connected]
    for raw, _ in accepted:
        raw.close()


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone keeps callers out of a listener")
def test_who_connects_while_it_is_closed_is_refused_and_never_cut(
    listener: SlowListener, callers: ExitStack
) -> None:
    late: list[socket.socket] = []

    def connect_late() -> None:
        late.append(called(listener, callers))

    listener.meanwhile = connect_late
    accepted = accept_last(listener)

    assert accepted == []
    assert [outcome(caller) for caller in late] == [errno.ECONNREFUSED]


def test_whoever_keeps_the_listener_is_called_as_before(
    listener: SlowListener, callers: ExitStack
) -> None:
    with listener.dup() as kept:
        accept_last(listener)
        caller = callers.enter_context(socket.create_connection(kept.getsockname()[:2]))
        raw, _ = kept.accept()

        assert raw.getpeername() == caller.getsockname()
        raw.close()


def test_who_was_let_in_by_another_process_that_left_is_accepted(
    listener: SlowListener, callers: ExitStack
) -> None:
    let_in: list[socket.socket] = []

    def leave_elsewhere() -> None:
        if let_in:
            return
        accept_last(listener.dup())
        let_in.append(called(listener, callers))

    listener.meanwhile = leave_elsewhere
    accepted = accept_last(listener)

    assert [raw.getpeername() for raw, _ in accepted] == [let_in[0].getsockname()]
    accepted[0][0].close()


class Aborted(BaseException):
    """What a signal raises in a process that is to end at once."""


def test_a_process_that_is_aborted_meanwhile_keeps_nobody_out(
    listener: SlowListener, callers: ExitStack
) -> None:
    def abort() -> None:
        raise Aborted

    listener.meanwhile = abort
    with listener.dup() as kept:
        with pytest.raises(Aborted):
            accept_last(listener)

        caller = callers.enter_context(
            socket.create_connection(kept.getsockname()[:2], timeout=PATIENCE)
        )
        raw, _ = kept.accept()
        assert raw.getpeername() == caller.getsockname()
        raw.close()
