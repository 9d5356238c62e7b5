"""What the processes asked of the kernel, in its order: was it on disk before it was answered?"""

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.servers import PATIENCE, end_with_parent

_CALLS = "recvfrom,sendto,sendmsg,pwrite64,fsync,fdatasync"
# 123 fdatasync(9</folder/tracking.db-wal>) = 0, or the halves of a call that was interrupted.
_LINE = re.compile(r"^\s*(\d+)\s+(<\.\.\. )?(\w+)(?:\(| resumed>)(.*)$")
_UNFINISHED = "<unfinished ...>"
_SENDS = frozenset({"sendto", "sendmsg"})
_SOCKET = re.compile(r"socket:\[\d+\]")
_GOOD = '"HTTP/1.1 200'


class NoTracer(Exception):
    """strace is not installed here, or may not trace."""


@dataclass(frozen=True, slots=True)
class _Step:
    """One call: its name, what it was given, and what it was answered."""

    name: str
    said: str

    @property
    def connection(self) -> str:
        """The socket it was asked of, which is another one for each caller."""
        found = _SOCKET.search(self.said)
        return found[0] if found else ""


@contextmanager
def traced(log: Path, processes: Callable[[], Sequence[int]]) -> Iterator[None]:
    """Note in `log` what these processes, and those they begin, ask of the kernel.

    Raises:
        NoTracer: it cannot be done on this machine.
    """
    tracer = _begin(log, processes())
    # Of a process that began while the others were attached nothing would be noted.
    while not all(_is_traced(pid, tracer.pid) for pid in processes()):
        _end(tracer)
        tracer = _begin(log, processes())
    try:
        yield
    finally:
        _end(tracer)


def _begin(log: Path, watched: Sequence[int]) -> subprocess.Popen[str]:
    strace = shutil.which("strace")
    if strace is None:
        raise NoTracer("strace is not installed")
    attached = [option for pid in watched for option in ("-p", str(pid))]
    tracer = subprocess.Popen(
        [strace, "-f", "-y", "-s", "40", "-e", f"trace={_CALLS}", "-o", str(log), *attached],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=end_with_parent,
    )
    try:
        _wait_for(tracer, watched)
    except BaseException:
        _end(tracer)
        raise
    return tracer


def _end(tracer: subprocess.Popen[str]) -> None:
    # It lets go of whom it traces.
    tracer.send_signal(signal.SIGINT)
    tracer.communicate(timeout=PATIENCE)


def _wait_for(tracer: subprocess.Popen[str], watched: Sequence[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not all(_is_traced(pid, tracer.pid) for pid in watched):
        if tracer.poll() is not None:
            assert tracer.stderr is not None
            raise NoTracer(tracer.stderr.read())
        assert time.monotonic() < deadline, "nobody is traced"
        time.sleep(0.02)


def _is_traced(pid: int, by: int) -> bool:
    """Whether all threads of a process are traced, or it has ended meanwhile."""
    told = (status.read_text() for status in Path(f"/proc/{pid}/task").glob("*/status"))
    try:
        return all(f"\nTracerPid:\t{by}\n" in each for each in told)
    except (FileNotFoundError, ProcessLookupError):
        return False


def answered_too_soon(trace: str, log_of_store: str) -> tuple[int, int]:
    """How many webhooks were answered with 200; and how many of them although nothing had been
    written to the store's log (a file whose path holds `log_of_store`) and flushed since they
    were read. They must have come one after the other."""
    answered = too_soon = 0
    asked_on = ""
    is_written = is_flushed = False
    for step in _steps(trace.splitlines()):
        if step.name == "recvfrom" and '"POST /webhooks/' in step.said:
            asked_on, is_written, is_flushed = step.connection, False, False
        elif step.name == "pwrite64" and log_of_store in step.said:
            is_written = True
        elif step.name in ("fsync", "fdatasync") and log_of_store in step.said:
            is_flushed |= is_written and step.said.endswith("= 0")
        elif asked_on == step.connection and step.name in _SENDS and _GOOD in step.said:
            answered += 1
            too_soon += not is_flushed
            asked_on = ""
    return answered, too_soon


def _steps(lines: Iterable[str]) -> Iterator[_Step]:
    """The calls in the order in which they count: what is sent as it is begun, everything else
    once it is over."""
    begun: dict[tuple[str, str], str] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        pid, goes_on, name, said = found.groups()
        if said.endswith(_UNFINISHED):
            begun[pid, name] = said.removesuffix(_UNFINISHED)
            if name in _SENDS:
                yield _Step(name, said)
        elif goes_on:
            if name not in _SENDS:
                yield _Step(name, begun.pop((pid, name), "") + said)
        else:
            yield _Step(name, said)
