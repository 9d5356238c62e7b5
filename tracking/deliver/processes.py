"""Processes by machine, id and start, so that what a dead one has claimed is taken over at once.

A process id is used again, so the start tells which process is meant. Two containers of one host
name count as two machines: neither can see whether a process of the other lives.
"""

import os
import secrets
from functools import cache
from hashlib import sha256
from pathlib import Path

_SEPARATOR = "/"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
# The field of /proc/<pid>/stat that follows the name in brackets, counted from there.
_STARTED = 19


def this_process() -> str:
    """Returns the owner of what this process claims: host, machine, process id and start."""
    return owner_of(os.getpid(), started_at(os.getpid()))


def owner_of(pid: int, started: str) -> str:
    """Returns a process of this machine as an owner."""
    return _SEPARATOR.join((os.uname().nodename, _machine(), str(pid), started))


def is_gone(owner: str) -> bool:
    """Returns True if a process of this machine does not run any more; False if that cannot be
    known here."""
    host, machine, pid, started = (*owner.split(_SEPARATOR), "", "", "")[:4]
    if (host, machine) != (os.uname().nodename, _machine()) or not pid.isdigit():
        return False
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        pass
    now_started = started_at(int(pid))
    return bool(started and now_started) and now_started != started


def started_at(pid: int) -> str:
    """Returns when a process was started, in ticks since the machine was; "" if unknown."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    fields = stat.rpartition(")")[2].split()
    return fields[_STARTED] if len(fields) > _STARTED else ""


@cache
def _machine() -> str:
    """Returns what the processes have in common that see one another's process ids."""
    try:
        boot, namespace = _BOOT_ID.read_text(), str(_NAMESPACE.readlink())
    except OSError:
        # Nobody else is taken for a process of this machine.
        boot, namespace = secrets.token_hex(8), ""
    return sha256(f"{boot}{namespace}".encode()).hexdigest()[:12]
