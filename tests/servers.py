"""The service as its operator runs it: gunicorn, its workers, and what they log."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.actors import SECRET, bearer
from webhooks.signature import sign

ROOT = Path(__file__).parent.parent
# On a machine that is busy with other things a start takes its time.
PATIENCE = 120.0
_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None)


def end_with_parent() -> None:
    """Have this process asked to stop as soon as the thread that began it is gone, however it
    went: nothing may outlive a test run that was killed."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Server:
    """gunicorn with the configuration that ships, in a folder of its own, on a free port, unless
    it is to take the port of another.

    `app` is what it serves, `under` a command that runs it, such as a tracer, and `root` the folder
    of the code. The thread that starts it must live for as long as it is needed.
    """

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str],
        app: str = "app:create_app()",
        under: Sequence[str] = (),
        root: Path = ROOT,
        port: int = 0,
    ) -> None:
        self._app = app
        self._under = under
        self._root = root
        self._reserved = None if port else _reserve_port()
        self.port = port if self._reserved is None else self._reserved.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        # Of this machine only what programs are found by, so that nobody's settings get in.
        known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(root), "PORT": str(self.port)}
        self._env = {**known, **env}
        self.folder = folder
        self._log = folder / f"gunicorn-{self.port}{'-second' if port else ''}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> str:
        """What it wrote so far, to either stream."""
        return self._log.read_text("utf-8", "replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        """The id of the arbiter, which started the serving processes."""
        return self._running.pid

    @property
    def workers(self) -> list[int]:
        """The ids of the serving processes."""
        pid = self.pid
        return [int(n) for n in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def launch(self) -> None:
        """Start it, and do not wait for it."""
        config = ["-c", str(self._root / "gunicorn.conf.py"), "-b", f"127.0.0.1:{self.port}"]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self._under, sys.executable, "-m", "gunicorn", *config, self._app],
                cwd=self.folder,
                env=self._env,
                stdout=log,
                stderr=log,
                # A group of its own, so that all of it can be killed at one blow.
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    def start(self) -> None:
        """Start it and wait until it serves."""
        self.launch()
        self.wait_until(lambda: self._is_ready)

    def stop(self) -> int:
        """Ask it to finish what is under way and to go; its exit status."""
        self._running.terminate()
        return self.exit_status()

    def exit_status(self, timeout: float = PATIENCE) -> int:
        """Wait until it has gone by itself."""
        return self._running.wait(timeout)

    def kill(self) -> None:
        """Kill the arbiter and all workers at once, as the kernel does when memory is short."""
        os.killpg(self._running.pid, signal.SIGKILL)
        self._running.wait(10)

    def kill_one_worker(self) -> None:
        """Kill a worker and wait until the arbiter has put another in its place."""
        before = self.workers
        os.kill(before[0], signal.SIGKILL)
        self.wait_until(lambda: len(self.workers) == len(before) and before[0] not in self.workers)

    def end(self) -> None:
        """Leave nothing behind, whatever state it is in."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        if self._reserved is not None:
            self._reserved.close()

    def sends(self, topic: str, raw: bytes) -> requests.Response:
        """Post a signed webhook over a connection of its own, as Shopify does."""
        headers = {
            "X-Shopify-Hmac-Sha256": sign(raw, SECRET.encode()),
            "Content-Type": "application/json",
        }
        return requests.post(f"{self.url}/webhooks/{topic}", raw, headers=headers, timeout=PATIENCE)

    def takes(self, topic: str, raw: bytes) -> None:
        """Post a webhook as Shopify does: where the machine is too busy to take it, once more.

        Raises:
            AssertionError: it is answered with anything but 200 and 503, or never taken.
        """
        deadline = time.monotonic() + PATIENCE
        while (answer := self.sends(topic, raw)).status_code != 200:
            assert answer.status_code == 503, answer.text
            assert time.monotonic() < deadline, answer.text

    def reads(self, path: str) -> Any:
        """Get a report as the owner, as JSON."""
        response = requests.get(f"{self.url}{path}", headers=bearer(), timeout=PATIENCE)
        assert response.status_code == 200, response.text
        return response.json()

    def status(self, path: str) -> int:
        """Get a path without a token; its status."""
        return requests.get(f"{self.url}{path}", timeout=PATIENCE).status_code

    def wait_until(self, holds: Callable[[], bool], timeout: float = PATIENCE) -> None:
        """Wait for a condition.

        Raises:
            AssertionError: it did not come true, or the server is gone; with the log.
        """
        deadline = time.monotonic() + timeout
        while not holds():
            assert self._running.poll() is None, f"gunicorn is gone:\n{self.log}"
            assert time.monotonic() < deadline, f"not within {timeout} s:\n{self.log}"
            time.sleep(0.02)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "not started"
        return self._process

    @property
    def _is_ready(self) -> bool:
        try:
            return requests.get(f"{self.url}/ready", timeout=5).status_code == 200
        except requests.RequestException:
            return False


@contextmanager
def serving(folder: Path, env: Mapping[str, str]) -> Iterator[Server]:
    """A server that is ready, and is gone in the end."""
    server = Server(folder, env)
    try:
        server.start()
        yield server
    finally:
        server.end()


def environment(url: str) -> dict[str, str]:
    """The environment of a command that uses this database."""
    return {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "SHOPIFY_WEBHOOK_SECRET": "a-secret-of-the-tests-only",
        "PINTEREST_ACCESS_TOKEN": "pina_test_token",
        "PINTEREST_AD_ACCOUNT_ID": "1",
        "DATABASE_URL": url,
    }


def flask_command(*words: str) -> list[str]:
    """A command of the service, as words for a process."""
    return [sys.executable, "-m", "flask", "--app", "app", *words]


def _reserve_port() -> socket.socket:
    """Takes a free port for a server that may bind it as well, and again after a stop: meanwhile
    nobody else is given it."""
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved
