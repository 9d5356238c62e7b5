"""The harness itself: what it starts ends with it, and it reads a trace as it was written."""

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.faults.clock import PushedClock
from tests.faults.finding import Finding
from tests.faults.load import Answer, Webhook
from tests.faults.tracing import answered_too_soon
from tests.faults.world import World
from tests.servers import ROOT

_BEGINS_ANOTHER = """
import subprocess, sys
from tests.servers import end_with_parent
child = subprocess.Popen(["sleep", "600"], preexec_fn=end_with_parent)
print(child.pid, flush=True)
sys.stdin.read()
"""
WAL = "/folder/tracking.db-wal"
READ = '7 recvfrom(5<socket:[1]>, "POST /webhooks/orders/create HTTP"..., 65536, 0) = 900'
WRITTEN = f'8 pwrite64(9<{WAL}>, "\\r\\0"..., 4096, 0) = 4096'
FLUSHED = f"8 fdatasync(9<{WAL}>) = 0"
ANSWERED = '8 sendto(5<socket:[1]>, "HTTP/1.1 200 OK\\r\\n"..., 300, 0, NULL, 0) = 300'


def test_what_a_killed_test_run_started_ends_with_it() -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", _BEGINS_ANOTHER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with run:
        assert run.stdout is not None
        child = int(run.stdout.readline())
        assert Path(f"/proc/{child}").exists()
        run.send_signal(signal.SIGKILL)
        # The child holds the other end, so this ends with it.
        assert run.stdout.read() == ""


def test_an_answer_after_its_flush_is_in_time() -> None:
    trace = "\n".join([READ, WRITTEN, FLUSHED, ANSWERED] * 2)
    assert answered_too_soon(trace, "tracking.db-wal>") == (2, 0)


@pytest.mark.parametrize(
    "steps",
    [
        [READ, ANSWERED],
        [READ, WRITTEN, ANSWERED, FLUSHED],
        [READ, FLUSHED, WRITTEN, ANSWERED],
        [WRITTEN, READ, FLUSHED, ANSWERED],
        [READ, WRITTEN, FLUSHED.replace("= 0", "= -1 EIO"), ANSWERED],
        [READ, WRITTEN, FLUSHED.replace("-wal", ""), ANSWERED],
    ],
)
def test_an_answer_ahead_of_its_flush_is_too_soon(steps: list[str]) -> None:
    assert answered_too_soon("\n".join(steps), "tracking.db-wal>") == (1, 1)


def test_a_flush_that_had_not_ended_when_the_answer_was_begun_is_too_late() -> None:
    begun = f"8 fdatasync(9<{WAL}> <unfinished ...>"
    ended = "8 <... fdatasync resumed>) = 0"
    assert answered_too_soon("\n".join([READ, WRITTEN, begun, ended, ANSWERED]), WAL) == (1, 0)
    assert answered_too_soon("\n".join([READ, WRITTEN, begun, ANSWERED, ended]), WAL) == (1, 1)


def test_an_answer_to_somebody_else_is_not_taken_for_the_webhooks() -> None:
    of_another = ANSWERED.replace("socket:[1]", "socket:[2]")
    trace = "\n".join([READ, of_another, WRITTEN, FLUSHED, ANSWERED])
    assert answered_too_soon(trace, "tracking.db-wal>") == (1, 0)


def test_a_pushed_clock_is_the_same_for_whoever_reads_its_file(tmp_path: Path) -> None:
    mine, theirs = PushedClock(tmp_path / "clock"), PushedClock(tmp_path / "clock")
    before = theirs()
    mine.tick(3600)
    assert 3600 <= theirs() - before < 3660
    mine.close()
    theirs.close()


class Hearsay(World):
    """A world without a service, which answers what comes again with one status."""

    def __init__(self, then: int) -> None:
        self.is_timed = False
        self.answers = []
        self.then = then

    def posts(self, told: Sequence[Webhook], **how: Any) -> list[Answer]:
        """Answer as it was made to."""
        return [Answer(one, self.then, 0.0, 0.1) for one in told]


def broken_by(*answers: tuple[int, float], then: int = 200) -> list[str]:
    """What these answers break, each a status and its seconds, and later another status."""
    heard = [
        Answer(Webhook(n, "orders/create", b""), status, 0.0, seconds)
        for n, (status, seconds) in enumerate(answers)
    ]
    found = Finding()
    Hearsay(then).judge_load(found, heard)
    return found.broken


def test_on_a_busy_machine_who_waited_in_vain_is_taken_when_it_comes_again() -> None:
    assert not broken_by((200, 0.1), (503, 2.5), (503, 0.1))
    assert broken_by((200, 0.1), (503, 2.5), then=503)
    assert broken_by((200, 0.1), (503, 0.1))
    assert broken_by((503, 2.5), (500, 2.5))
