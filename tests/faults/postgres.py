"""A PostgreSQL of our own, which can be stopped and killed without asking anybody."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg

from tests.servers import PATIENCE, end_with_parent
from tracking.store.migrations import migrate

# PostgreSQL refuses to run as root, and Debian's package makes this user for it.
_OWNER = "postgres"
# What nobody waits for is flushed so late that by its chance no webhook is on disk in time.
FLUSHES_LATE = "wal_writer_delay=10s"


class NoPostgres(Exception):
    """There is no PostgreSQL server on this machine."""


class Cluster:
    """A server in a folder of its own, that flushes what it commits as it does by default, unless
    `settings` have it otherwise."""

    def __init__(self, *settings: str) -> None:
        self._settings = settings
        self._bin = _programs()
        self._as: dict[str, Any] = {}
        # Not below the folder of the tests: the owner could not enter it.
        self.folder = Path(tempfile.mkdtemp(prefix="faults-pg-", dir="/tmp"))
        if os.geteuid() == 0:
            shutil.chown(self.folder, _OWNER, _OWNER)
            self._as = {"user": _OWNER, "group": _OWNER, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        known = ["-U", "test", "--auth=trust", "--encoding=UTF8", "--no-locale", "--no-sync"]
        subprocess.run(
            [self._bin / "initdb", "-D", self.folder / "data", *known],
            cwd=self.folder,
            check=True,
            capture_output=True,
            **self._as,
        )

    @property
    def pid(self) -> int:
        """The process that all others of the server descend from."""
        assert self._process is not None, "not started"
        return self._process.pid

    @property
    def processes(self) -> list[int]:
        """The ids of all processes of the server."""
        return [self.pid, *_children_of(self.pid)]

    def url(self, name: str) -> str:
        """The address of a database."""
        return f"postgresql+psycopg:///{name}?host={self.folder}&user=test"

    def start(self) -> None:
        """Start it and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *(self._bin / "postgres", "-D", self.folder / "data", "-k", self.folder),
                    *("-c", "listen_addresses=", "-c", "max_connections=60"),
                    *(part for setting in self._settings for part in ("-c", setting)),
                ],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
                **self._as,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once, without a clean end; it recovers when it is started again."""
        self._end(signal.SIGQUIT)

    def kill(self) -> None:
        """Kill its first process; the others notice and follow."""
        self._end(signal.SIGKILL)

    def new_database(self) -> str:
        """The address of an empty database in the current schema."""
        if not self._databases:
            self._run("CREATE DATABASE template_for_faults")
            migrate(self.url("template_for_faults"))
        self._databases += 1
        name = f"faults_{self._databases}"
        self._run(f"CREATE DATABASE {name} TEMPLATE template_for_faults")
        return self.url(name)

    def empty_database(self) -> str:
        """The address of a database in which there is nothing yet."""
        self._databases += 1
        name = f"faults_{self._databases}"
        self._run(f"CREATE DATABASE {name}")
        return self.url(name)

    def remove(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end(self, how: signal.Signals) -> None:
        assert self._process is not None, "not started"
        children = _children_of(self.pid)
        self._process.send_signal(how)
        self._process.wait(PATIENCE)
        # A server cannot start while one of the former is still there.
        deadline = time.monotonic() + PATIENCE
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline, "a part of the server stays"
            time.sleep(0.02)

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (
            self.folder / "log"
        ).read_text()
        try:
            self._run("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, statement: str) -> None:
        address = f"postgresql:///postgres?host={self.folder}&user=test"
        with psycopg.connect(address, autocommit=True, connect_timeout=3) as connection:
            connection.execute(statement.encode())


@contextlib.contextmanager
def cluster(*settings: str) -> Iterator[Cluster]:
    """A server with these settings that runs, and is gone in the end.

    Raises:
        NoPostgres: there is none on this machine.
    """
    server = Cluster(*settings)
    try:
        server.start()
        yield server
    finally:
        server.remove()


def _programs() -> Path:
    found = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")),
        key=lambda path: int(path.parent.name),
    )
    if not found:
        raise NoPostgres("no server programs in /usr/lib/postgresql")
    if os.geteuid() == 0:
        try:
            pwd.getpwnam(_OWNER)
        except KeyError as error:
            raise NoPostgres(f"no user {_OWNER} to run it as") from error
    return found[-1]


def _children_of(pid: int) -> list[int]:
    return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
