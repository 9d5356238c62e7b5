"""The running service, its database, its Pinterest, and a time that can be pushed on."""

import itertools
import os
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.actors import API_TOKEN, SECRET
from tests.faults.clock import PushedClock
from tests.faults.finding import Finding, percentile
from tests.faults.load import Answer, Webhook, post_all, waited_in_vain, webhook
from tests.faults.postgres import Cluster
from tests.servers import PATIENCE, ROOT, Server
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.deliver.deliverer import LEASE_SECONDS
from tracking.deliver.retry import GIVE_UP_AFTER, LOCKED_OUT
from tracking.store import Store, dead_letter_queue, open_store, outbox
from tracking.store.migrations import migrate

CLOCKED = "tests.faults.start_up.clocked:create_app()"
# What must stand in no log and in no answer.
CANARIES = ("canary-", "@example.com", "203.0.113.7", "Macintosh", "-555-", SECRET, API_TOKEN)
# Seconds that Shopify waits for an answer.
SHOPIFY_WAITS = 5.0
_DAY = 86_400


class World:
    """One service on a database of its own, `sqlite` or `postgresql`, ready to be disturbed.

    Where it `is_timed`, figures in seconds are promises too: on a machine that does other things
    at the same time they say nothing.
    """

    def __init__(
        self,
        folder: Path,
        store: str,
        cluster: Cluster | None,
        app: str = CLOCKED,
        is_timed: bool = False,
        **env: str,
    ) -> None:
        self.folder, self.kind, self.cluster = folder, store, cluster
        self.is_timed = is_timed
        self.clock = PushedClock(folder / "clock")
        self.pinterest = FakePinterest(clock=self.clock)
        self.pinterest.start()
        if store == "sqlite":
            self.url = f"sqlite:///{folder}/tracking.db"
            migrate(self.url)
        else:
            assert cluster is not None, "there is no PostgreSQL"
            self.url = cluster.new_database()
        self.store: Store = open_store(self.url)
        self.answers: list[Answer] = []
        self._numbers = itertools.count(10_001)
        self.env = {
            "SHOPIFY_WEBHOOK_SECRET": SECRET,
            "API_TOKEN": API_TOKEN,
            "DATABASE_URL": self.url,
            "PINTEREST_ACCESS_TOKEN": self.pinterest.token,
            "PINTEREST_AD_ACCOUNT_ID": self.pinterest.account_id,
            "PINTEREST_API_BASE": self.pinterest.url,
            "FAULTS_CLOCK": str(folder / "clock"),
        }
        self._app, self._more = app, env
        self.server = Server(folder, self.env | env, app)
        self._logs: list[Server] = [self.server]

    def __enter__(self) -> Self:
        self.server.start()
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self.server, *self._logs):
            each.end()
        self.store.close()
        self.pinterest.stop()
        self.clock.close()

    def server_on(self, url: str, **more: str) -> Server:
        """Another server with the same settings and some more, on this database or another."""
        env = self.env | self._more | {"DATABASE_URL": url} | more
        other = Server(self.folder, env, self._app)
        self._logs.append(other)
        return other

    def numbers(self, count: int) -> list[int]:
        """Orders that were never heard of."""
        return list(itertools.islice(self._numbers, count))

    def placed(self, numbers: Iterable[int], topic: str = "orders/create") -> list[Webhook]:
        """The first webhook of each of these orders, placed now."""
        return [webhook(number, topic, self.clock()) for number in numbers]

    def posts(self, told: Sequence[Webhook], **how: Any) -> list[Answer]:
        """Post webhooks and keep what was answered."""
        heard = post_all(self.server.port, told, **how)
        self.answers += heard
        return heard

    def runs(self, *command: str) -> str:
        """Run a command of the service at the pushed time; what it said."""
        app = self._app.partition(":")[0]
        known = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "flask", "--app", app, *command],
            cwd=self.folder,
            env=known | self.env,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return done.stdout + done.stderr

    def replayed(self) -> int:
        """Put the dead letters back in line, as `flask replay` does; how many."""
        now = int(self.clock())
        return self.store.commit(
            lambda conn: dead_letter_queue.replay(conn, now, now - GIVE_UP_AFTER)
        )

    def calm(self) -> None:
        """Bring everything back to where a fault can begin: Pinterest answers, nothing waits."""
        self.pinterest.mode = "ok"
        self.pinterest.poisoned = frozenset()
        self.drain()
        self.pinterest.forget()

    def drain(self, within: float = PATIENCE) -> None:
        """Let everything be sent that waits. What a killed deliverer had claimed, or a paused
        account held up, is waited for by the clock."""
        self.clock.tick(max(LEASE_SECONDS, LOCKED_OUT) + 1)
        self.until(lambda: self.waiting() == 0, within)

    def waiting(self) -> int:
        """How many events wait to be sent."""
        with self.store.read() as conn:
            return int(outbox.waiting(conn).events)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Every row of a table of the store."""
        return rows(self.store, table)

    def events_of(self, numbers: Iterable[int]) -> list[dict[str, Any]]:
        """The outbox's rows of these orders."""
        wanted = {f"checkout-{number}" for number in numbers}
        return [row for row in self.rows("outbox") if row["event_id"] in wanted]

    def until(self, holds: Callable[[], bool], within: float = PATIENCE) -> None:
        """Wait for a condition.

        Raises:
            AssertionError: it did not come true, or the server is gone; with the log.
        """
        self.server.wait_until(holds, within)

    def until_called(self, times: int = 1) -> None:
        """Wait until Pinterest was called so often."""
        self.until(lambda: len(self.pinterest.calls) >= times)

    def revenue(self) -> tuple[int, str]:
        """How many orders the reports count, and their gross revenue."""
        day = time.gmtime(self.clock() - 20 * _DAY), time.gmtime(self.clock() + 20 * _DAY)
        since, until = (time.strftime("%Y-%m-%d", each) for each in day)
        told = self.server.reads(f"/roi-analysis?start_date={since}&end_date={until}&scope=all")
        return told["orders"], told["gross_revenue"]

    def judge(self, found: Finding, told: Iterable[int]) -> None:
        """Count what was lost and what was counted twice of the orders that were acknowledged,
        and look for what nobody may see. Everything must have been sent by now."""
        numbers = set(told)
        stored = {int(row["id"]) for row in self.rows("orders")}
        ids = self.ids_by_order()
        lost = {n for n in numbers if n not in stored or not ids.get(str(n))}
        twice = {n for n in numbers if len(ids.get(str(n), ())) > 1}
        found.lost += len(lost)
        found.counted_twice += len(twice)
        found.expects(f"none lost: {sorted(lost)[:5]}", not lost)
        found.expects(f"none counted twice: {sorted(twice)[:5]}", not twice)
        sent = sum(row["state"] == "sent" for row in self.rows("outbox"))
        counted = sum(row["events"] for row in self.rows("match_days"))
        found.expects(
            f"each sent event is in the figures once: {counted} of {sent}", sent == counted
        )
        self.judge_canaries(found)

    def judge_canaries(self, found: Finding) -> None:
        """See that neither a log nor an answer names a person or a secret."""
        said = "".join(server.log for server in self._logs)
        said += "".join(answer.body.decode("utf-8", "replace") for answer in self.answers)
        for canary in (*CANARIES, self.pinterest.token):
            found.expects(f"{canary!r} is in no log and no answer", canary not in said)

    def judge_load(
        self, found: Finding, heard: Sequence[Answer], slowest: float | None = SHOPIFY_WAITS
    ) -> None:
        """See that every answer was a good one, and, where time is measured, that all came before
        Shopify gives up and 99 of 100 within `slowest` seconds; without it they may take theirs.

        Where no time is measured, the machine may be too busy for some, who are told to come again
        after they waited for their turn, and are taken then: to be refused at once is a fault there
        too.
        """
        refused = [answer for answer in heard if answer.status not in (0, 200)]
        times = [answer.seconds for answer in heard if answer.is_good]
        found.heard(times)
        is_busy = not self.is_timed and waited_in_vain(refused)
        found.expects(f"no refusal: {_statuses(refused)}", not refused or is_busy)
        if is_busy:
            found.expects("who was refused is taken later", self._are_taken(refused, heard))
        if self.is_timed and slowest is not None:
            last, most = max(times, default=0.0), percentile(times, 0.99)
            found.expects(f"all answered within 5 s: {last:.2f}", last < SHOPIFY_WAITS)
            found.expects(f"99 % answered within {slowest} s: {most:.2f}", most <= slowest)

    def _are_taken(self, refused: Sequence[Answer], heard: Sequence[Answer]) -> bool:
        """True if each that was refused has been taken since, or is when it comes again now."""
        taken = {answer.webhook for answer in (*heard, *self.answers) if answer.is_good}
        again = self.posts([*{answer.webhook for answer in refused} - taken])
        taken |= {answer.webhook for answer in again if answer.is_good}
        return all(answer.webhook in taken for answer in refused)

    def ids_by_order(self) -> Mapping[str, set[str]]:
        """Under which ids the stand-in took the purchase of each order."""
        ids: dict[str, set[str]] = defaultdict(set)
        for event_id, event in self.pinterest.events.items():
            ids[event.get("custom_data", {}).get("order_id", "")].add(event_id)
        return ids


@contextmanager
def world(folder: Path, store: str, cluster: Cluster | None, **more: Any) -> Iterator[World]:
    """A world whose service is ready, and is gone in the end."""
    folder.mkdir(parents=True, exist_ok=True)
    with World(folder, store, cluster, **more) as made:
        yield made


def _statuses(answers: Sequence[Answer]) -> str:
    return ", ".join(sorted({str(answer.status) for answer in answers})) or "none"
