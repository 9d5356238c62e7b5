"""PgBouncer as Debian ships it, in transaction mode, before a PostgreSQL of our own."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import psycopg

from tests.faults.postgres import Cluster, NoPostgres
from tests.servers import PATIENCE, end_with_parent
from tracking.store.migrations import migrate

# Fewer than connect, so that each session serves one client after the other.
SESSIONS = 3
_PORT = 6432


class PooledCluster(Cluster):
    """A server of which only the tests know the way around the pooler."""

    def __init__(self) -> None:
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin:/usr/bin")
        if program is None:
            raise NoPostgres("no pgbouncer on this machine")
        super().__init__()
        self._program = program
        self._pooler: subprocess.Popen[bytes] | None = None

    def url(self, name: str) -> str:
        """The address of a database behind the pooler."""
        return f"postgresql+psycopg:///{name}?host={self.folder}&port={_PORT}&user=test"

    def new_database(self) -> str:
        """The address of a database in the current schema, to which the pooler brought it."""
        url = self.empty_database()
        migrate(url)
        return url

    def start(self) -> None:
        """Start the server, and the pooler unless it runs already."""
        super().start()
        if self._pooler is None:
            self._start_pooler()

    def remove(self) -> None:
        """Leave nothing behind."""
        if self._pooler is not None:
            self._pooler.send_signal(signal.SIGKILL)
            self._pooler.wait(PATIENCE)
        super().remove()

    def _start_pooler(self) -> None:
        (self.folder / "users").write_text('"test" ""\n')
        settings = self.folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={self.folder}\n[pgbouncer]\npool_mode = transaction\n"
            f"unix_socket_dir = {self.folder}\nlisten_port = {_PORT}\nlisten_addr =\n"
            f"auth_type = trust\nauth_file = {self.folder}/users\n"
            f"default_pool_size = {SESSIONS}\nmax_client_conn = 200\n"
        )
        with (self.folder / "pooler-log").open("ab") as log:
            self._pooler = subprocess.Popen(
                [self._program, settings],
                cwd=self.folder,
                stdout=log,
                stderr=log,
                preexec_fn=end_with_parent,
                **self._as,
            )
        deadline = time.monotonic() + PATIENCE
        while not self._is_reached():
            assert time.monotonic() < deadline, Path(self.folder, "pooler-log").read_text()
            time.sleep(0.02)

    def _is_reached(self) -> bool:
        try:
            psycopg.connect(self.url("postgres").replace("+psycopg", "", 1)).close()
        except psycopg.OperationalError:
            return False
        return True
