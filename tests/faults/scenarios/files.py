"""The files of the database are moved, replaced or deleted while the service has them open."""

import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from tests.faults.finding import Finding
from tests.faults.load import Answer, acknowledged, meanwhile
from tests.faults.world import World


def _replace(path: Path) -> None:
    shutil.copy(path, _away(path))
    _away(path).rename(path)


def _delete(*ends: str) -> Callable[[Path], None]:
    def delete(path: Path) -> None:
        for end in ends:
            Path(f"{path}{end}").unlink()

    return delete


ACTS: Mapping[str, Callable[[Path], object]] = {
    "moved": lambda path: path.rename(_away(path)),
    "replaced": _replace,
    "deleted": _delete(""),
    "all deleted": _delete("", "-wal", "-shm", ".lock", ".in-use"),
    "log deleted": _delete("-wal"),
    "log and index deleted": _delete("-wal", "-shm"),
}


def there_and_back(world: World, orders: int = 40, rate: float = 60.0) -> Finding:
    """The database is moved away under load, and put back while the service runs."""
    found = Finding()
    path = _path_of(world)
    numbers = world.numbers(orders)
    said = world.server.log.count("nothing is taken in")
    ready: list[int] = []

    def disturb(done: threading.Event) -> None:
        done.wait(0.2)
        path.rename(_away(path))
        done.wait(0.3)
        ready.append(world.server.status("/ready"))
        _away(path).rename(path)

    told = world.placed(numbers)
    heard = meanwhile(lambda: world.posts(told, callers=4, per_second=rate), disturb)
    world.drain()
    said = world.server.log.count("nothing is taken in") - said
    found.tells(f"{sum(a.status == 503 for a in heard)} refused")
    found.expects("each order is acknowledged in the end", acknowledged(heard) == set(numbers))
    found.expects(f"not ready meanwhile: {ready}", ready == [503])
    found.expects(f"told once by each process: {said}", 1 <= said <= len(world.server.workers))
    world.judge(found, numbers)
    return found


def gone(world: World, how: str, orders: int = 300, rate: float = 100.0) -> Finding:
    """The same without a way back: everything is killed, and starts with what is there."""
    found = Finding()
    path = _path_of(world)
    numbers = world.numbers(orders)
    begun: list[float] = []

    def disturb(done: threading.Event) -> None:
        done.wait(orders / rate / 3)
        ACTS[how](path)
        begun.append(time.monotonic())

    told = world.placed(numbers)
    heard = meanwhile(lambda: world.posts(told, callers=8, per_second=rate, again=False), disturb)
    world.server.kill()
    world.store.close()
    if not path.exists():
        # Beside a log without its database no new one is begun.
        for end in ("-wal", "-shm"):
            Path(f"{path}{end}").unlink(missing_ok=True)
    world.server.start()

    after = [answer for answer in heard if answer.at >= begun[0]]
    # Where only the log is gone, what was acknowledged before is there as well.
    kept = heard if "log" in how else after
    _judge_kept(world, found, kept)
    found.tells(f"{len(acknowledged(after))} of {len(after)} acknowledged afterwards")
    world.posts([answer.webhook for answer in kept if not answer.is_good])
    world.drain()
    found.heard(answer.seconds for answer in heard)
    world.judge(found, {answer.webhook.number for answer in kept})
    return found


def _judge_kept(world: World, found: Finding, heard: list[Answer]) -> None:
    stored = {int(row["id"]) for row in world.rows("orders")}
    lost = acknowledged(heard) - stored
    found.expects(
        f"what was acknowledged is there after the restart: {len(lost)} are not", not lost
    )


def _path_of(world: World) -> Path:
    # The tests have it open too, and would keep it from being begun anew.
    world.store.close()
    return Path(world.url.removeprefix("sqlite:///"))


def _away(path: Path) -> Path:
    return path.with_name("away.db")
