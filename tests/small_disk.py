"""A small disk for one process tree, which can be filled up and made larger while it runs."""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest


def _can_mount() -> bool:
    try:
        done = subprocess.run(["unshare", "-rm", "true"], capture_output=True, timeout=20)
    except OSError:
        return False
    return done.returncode == 0


needs_mounts = pytest.mark.skipif(
    not _can_mount(), reason="this machine lets nobody have mounts of their own (unshare -rm)"
)


def on_a_disk_of(megabytes: int, folder: Path) -> Sequence[str]:
    """The command under which a program finds a disk of that size at the folder."""
    mount = f'mount -t tmpfs -o size={megabytes}m tmpfs "$0" && exec "$@"'
    return ("unshare", "-rm", "sh", "-c", mount, str(folder))


def grow(pid: int, folder: Path, megabytes: int) -> None:
    """Give the disk of a process that size."""
    into = ("nsenter", "-t", str(pid), "-U", "-m", "--preserve-credentials")
    options = f"remount,size={megabytes}m"
    subprocess.run([*into, "mount", "-o", options, "tmpfs", str(folder)], check=True, timeout=20)


def seen_by(pid: int, path: Path) -> Path:
    """The path as that process sees it, for everybody else."""
    return Path(f"/proc/{pid}/root{path}")
