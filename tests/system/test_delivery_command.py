"""The command that delivers, in a process of its own."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.actors import DAY, SECRET, Shop, instant, order
from tests.conftest import BuildService
from tests.machines.estate import until
from tests.servers import PATIENCE, ROOT, flask_command
from tests.standins.pinterest import FakePinterest, Mode
from tests.store_contents import rows
from tracking.service import Service
from tracking.store import quarantine


@pytest.fixture
def pinterest() -> Iterator[FakePinterest]:
    """A Pinterest whose clock is the real one, as that of the process that delivers."""
    with FakePinterest() as server:
        yield server


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service on SQLite that sends every order to the stand-in."""
    return build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")


@pytest.fixture
def env(sqlite_url: str) -> dict[str, str]:
    """The environment of a service that only reports."""
    return {
        "PATH": os.environ["PATH"],
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "DATABASE_URL": sqlite_url,
        "PYTHONPATH": str(ROOT),
    }


@pytest.fixture
def sending(env: dict[str, str], pinterest: FakePinterest) -> dict[str, str]:
    """The environment of a service that sends to the stand-in."""
    return {
        **env,
        "PINTEREST_ACCESS_TOKEN": pinterest.token,
        "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
        "PINTEREST_API_BASE": pinterest.url,
    }


@contextmanager
def watching(env: Mapping[str, str]) -> Iterator[subprocess.Popen[str]]:
    """`flask deliver --watch`, which is gone in the end."""
    command = flask_command("deliver", "--watch")
    folder = Path(env["DATABASE_URL"].removeprefix("sqlite:///")).parent
    with subprocess.Popen(
        command, env=env, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def sells(shop: Shop) -> None:
    now = instant(time.time())
    shop.sends("orders/create", order(created_at=now, processed_at=now))


def test_deliver_watch_delivers_until_it_is_told_to_stop_and_ends_its_call(
    service: Service, shop: Shop, sending: dict[str, str], pinterest: FakePinterest
) -> None:
    sells(shop)
    # The signal comes while the call is out.
    pinterest.mode = Mode("slow", seconds=0.5)
    with watching(sending) as process:
        pinterest.wait_until(lambda server: bool(server.accepted), timeout=PATIENCE)
        process.send_signal(signal.SIGTERM)
        said, logged = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    assert said.splitlines() == ["delivering to pinterest until SIGTERM or Ctrl-C", "stopped"]
    assert "pinterest took 1 of 1 events" in logged
    assert "alembic" not in logged
    assert [row["state"] for row in rows(service.store, "outbox")] == ["sent"]


def test_a_second_signal_ends_the_wait_for_a_pinterest_that_hangs(
    shop: Shop, sending: dict[str, str], pinterest: FakePinterest
) -> None:
    sells(shop)
    pinterest.mode = "hang"
    with watching(sending) as process:
        pinterest.wait_until(lambda server: bool(server.calls), timeout=PATIENCE)
        # Of one kind two that come at once are one.
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=PATIENCE)

    assert process.returncode != 0
    assert "stopped" not in said


def test_where_nothing_is_sent_deliver_watch_does_the_background_work_alone(
    service: Service, env: dict[str, str]
) -> None:
    long_ago = int(time.time()) - 400 * DAY
    service.store.commit(lambda conn: quarantine.add(conn, "old", "", "odd", b"", long_ago))
    with watching(env) as process:
        until(lambda: not rows(service.store, "quarantine"))
        process.send_signal(signal.SIGTERM)
        said, logged = process.communicate(timeout=PATIENCE)

    assert process.returncode == 0
    told = (
        "report only: figures, retention and alerts go on until SIGTERM or Ctrl-C, and nothing is"
    )
    missing = "PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID are not both set"
    assert said.splitlines() == [f"{told} sent, as {missing}", "stopped"]
    assert "ERROR" not in logged
