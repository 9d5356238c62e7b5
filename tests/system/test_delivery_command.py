"""The command that delivers, in a process of its own."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.actors import SECRET, Shop, instant, order
from tests.conftest import BuildService
from tests.servers import PATIENCE, ROOT
from tests.standins.pinterest import FakePinterest
from tracking.service import Service


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service on SQLite that sends every order to the stand-in."""
    return build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")


def test_deliver_watch_delivers_until_it_is_told_to_stop(
    shop: Shop, sqlite_url: str, pinterest: FakePinterest
) -> None:
    # The process that delivers goes by the real time.
    pinterest.clock = time.time
    now = instant(time.time())
    shop.sends("orders/create", order(created_at=now, processed_at=now))
    env = {
        "PATH": os.environ["PATH"],
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "DATABASE_URL": sqlite_url,
        "PINTEREST_ACCESS_TOKEN": pinterest.token,
        "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
        "PINTEREST_API_BASE": pinterest.url,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "flask", "--app", "app", "deliver", "--watch"]
    with subprocess.Popen(
        command, env=env, cwd=Path(sqlite_url.removeprefix("sqlite:///")).parent,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as watching:  # fmt: skip
        try:
            pinterest.wait_until(lambda server: bool(server.accepted), timeout=PATIENCE)
        finally:
            watching.send_signal(signal.SIGTERM)
            said, logged = watching.communicate(timeout=PATIENCE)

    assert watching.returncode == 0
    assert said.splitlines() == ["delivering to pinterest until SIGTERM or Ctrl-C", "stopped"]
    assert "pinterest took 1 of 1 events" in logged
    assert "alembic" not in logged
