"""Machines, the shop that calls them all the time, and what may be expected of them together."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import requests

from tests.actors import API_TOKEN, SECRET
from tests.faults.load import Answer, post, waited_in_vain, webhook
from tests.machines.balancer import Balancer
from tests.servers import PATIENCE, ROOT, Server, end_with_parent
from tests.standins.pinterest import FakePinterest

CALLS_PER_MINUTE = 120
# Of a minute's calls so many may come at once, and the rest evenly (tracking.domain.rate_limit).
BURST = 0.1
# Longer than a busy machine keeps a call from being settled, or another would send its events, too.
LEASE_SECONDS = 30
_APP = "tests.machines.host:create_app"


class Deliverer:
    """A machine that serves nobody: `flask deliver --watch`."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
        self._process: subprocess.Popen[bytes] | None = None

    def launch(self) -> None:
        """Start it, and do not wait for it."""
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flask", "--app", _APP, "deliver", "--watch"],
                cwd=self._folder,
                env=self._env,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )

    @property
    def delivers(self) -> bool:
        """Whether it said so."""
        return "delivering to pinterest" in (self._folder / "log").read_text()

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)


class Shop:
    """Shopify, which posts new orders all the time, each until it is acknowledged.

    Where it `is_timed`, nobody else is busy on the machine.
    """

    def __init__(self, port: int, callers: int, per_second: float, is_timed: bool = False) -> None:
        self.port = port
        self.is_timed = is_timed
        self.answers: list[Answer] = []
        self.acknowledged: set[int] = set()
        self._numbers = itertools.count(1)
        self._pause = callers / per_second
        self._enough = threading.Event()
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Let each caller bring its last order in."""
        self._enough.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads), "an order is never taken"

    def failed_since(self, instant: float) -> list[Answer]:
        """The answers to what was posted since, other than 200. On a machine that others keep busy,
        too, those are none who waited for their turn in vain: they come again, and are taken."""
        failed = [each for each in self.answers if each.at >= instant and not each.is_good]
        return [] if not self.is_timed and waited_in_vain(failed) else failed

    def goes_on(self, orders: int) -> None:
        """Wait until so many more orders are acknowledged."""
        enough = len(self.acknowledged) + orders
        until(lambda: len(self.acknowledged) >= enough)

    def _call(self) -> None:
        while not self._enough.wait(self._pause):
            number = next(self._numbers)
            told = webhook(number, "orders/create", time.time())
            while number not in self.acknowledged:
                answer = post(self.port, told)
                self.answers.append(answer)
                if answer.is_good:
                    self.acknowledged.add(number)


class Estate:
    """So many machines that serve and deliver, and some that only deliver, over one database."""

    def __init__(
        self,
        folder: Path,
        database_url: str,
        pinterest: FakePinterest,
        serving: int,
        delivering: int,
    ) -> None:
        self.pinterest = pinterest
        env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "API_TOKEN": API_TOKEN,
            "DATABASE_URL": database_url,
            "PINTEREST_ACCESS_TOKEN": pinterest.token,
            "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
            "PINTEREST_API_BASE": pinterest.url,
            "PINTEREST_SEND": "all",
            "WEB_CONCURRENCY": "1",
            "CALLS_PER_MINUTE": str(CALLS_PER_MINUTE),
            "LEASE_SECONDS": str(LEASE_SECONDS),
        }
        folders = [folder / f"machine-{n}" for n in range(serving + delivering)]
        for each in folders:
            each.mkdir()
        self.servers = [Server(each, env, f"{_APP}()") for each in folders[:serving]]
        self.deliverers = [Deliverer(each, env) for each in folders[serving:]]
        self.all: tuple[Server | Deliverer, ...] = (*self.servers, *self.deliverers)
        self.balancer = Balancer([server.port for server in self.servers])

    def start(self) -> None:
        """Start all of them at once, and wait until they serve and deliver."""
        for each in self.all:
            each.launch()
        for server in self.servers:
            server.wait_until(partial(is_ready, server))
        until(lambda: all(each.delivers for each in self.deliverers))

    def restart_one_by_one(self) -> None:
        """As a release is rolled out: out of the balancer, stop, start, back in."""
        for server in self.servers:
            self.balancer.take_out(server.port)
            assert server.stop() == 0, server.log
            server.start()
            self.balancer.put_in(server.port)

    def end(self) -> None:
        """Leave nothing behind."""
        self.balancer.end()
        for each in self.all:
            each.end()

    def until_delivered(self, numbers: set[int]) -> None:
        """Wait until Pinterest has the event of each order."""
        events = {f"checkout-{number}" for number in numbers}
        until(lambda: events <= set(self.pinterest.accepted))

    def sent_twice(self) -> list[str]:
        """The events that Pinterest took more than once."""
        return [event for event, times in self.pinterest.accepted.items() if times > 1]

    def keeps_the_limit(self) -> bool:
        """Whether no stretch of time saw more calls than the account may make, all machines
        together. As it begins, each may have one call on its way, however long that takes."""
        seconds = (1, 2, 5, 10, 20, 60)
        spread = CALLS_PER_MINUTE * (1 - BURST) / 60
        under_way = len(self.all)
        most = {n: CALLS_PER_MINUTE * BURST + spread * n + under_way for n in seconds}
        return all(self.pinterest.busiest(n) <= most[n] for n in seconds)


@contextmanager
def estate(folder: Path, database_url: str, serving: int, delivering: int) -> Iterator[Estate]:
    """Machines that are up, and are gone in the end."""
    with FakePinterest() as pinterest:
        machines = Estate(folder, database_url, pinterest, serving, delivering)
        try:
            machines.start()
            yield machines
        finally:
            machines.end()


def is_ready(server: Server) -> bool:
    try:
        return requests.get(f"{server.url}/ready", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def until(holds: Callable[[], bool]) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)
