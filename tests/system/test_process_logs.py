"""The output of processes that fail or crash, which must hold no person and no secret."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from tests.canaries import (
    API_TOKEN,
    DEVICE,
    EMAIL,
    PASSWORD,
    PERSON,
    PINTEREST_TOKEN,
    SECRET,
    SECRETS,
    canary,
    found,
)
from tests.servers import PATIENCE, ROOT, Server, serving
from tests.standins.pinterest import FakePinterest
from webhooks.signature import sign


def started(folder: Path, database: str) -> subprocess.Popen[str]:
    """The service on its way up, with secrets to keep."""
    env = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "DATABASE_URL": database,
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "PINTEREST_ACCESS_TOKEN": PINTEREST_TOKEN,
        "PINTEREST_AD_ACCOUNT_ID": "1",
    }
    start = [sys.executable, "-X", "dev", "-c", "from app import create_app; create_app()"]
    return subprocess.Popen(
        start, cwd=folder, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def test_a_start_that_fails_tells_no_secret(tmp_path: Path) -> None:
    with started(tmp_path, "sqlite:////proc/none/tracking.db") as process:
        told, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    assert "cannot be opened: [Errno 2] No such file or directory" in told
    assert "Traceback" not in told
    assert found(SECRETS, told) == []


def test_a_start_that_waits_for_its_database_tells_no_secret(tmp_path: Path) -> None:
    url = f"postgresql+psycopg://ada:{PASSWORD}@127.0.0.1:1/none"
    with started(tmp_path, url) as process:
        assert process.stdout is not None
        told = next(line for line in process.stdout if "the start waits" in line)
        process.kill()
        told += process.stdout.read()
    assert found([*SECRETS, PASSWORD], told) == []


def test_processes_that_crash_tell_of_nobody(
    tmp_path: Path, canary_pinterest: FakePinterest
) -> None:
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{tmp_path}/tracking.db",
        "PINTEREST_ACCESS_TOKEN": PINTEREST_TOKEN,
        "PINTEREST_AD_ACCOUNT_ID": canary_pinterest.account_id,
        "PINTEREST_API_BASE": canary_pinterest.url,
        "PINTEREST_SEND": "all",
        "LOG_LEVEL": "DEBUG",
        "PYTHONFAULTHANDLER": "1",
        "WEB_CONCURRENCY": "1",
    }
    with serving(tmp_path, env) as server:
        for body in (canary(1), canary(2, line_items=EMAIL)):
            tells(server, body)
        os.kill(server.workers[0], signal.SIGSEGV)
        server.wait_until(lambda: "Fatal Python error: Segmentation fault" in server.log)
        # From now on every statement fails.
        with closing(sqlite3.connect(tmp_path / "tracking.db")) as raw:
            raw.execute("DROP TABLE receipts")
        server.wait_until(lambda: tells(server, canary(3)) == 503)

    assert found([*PERSON, *SECRETS, *DEVICE], server.log) == []


def tells(server: Server, body: dict[str, Any]) -> int:
    """How a running service answers an order that is signed with the canary of a secret; 0: not."""
    raw = json.dumps(body).encode()
    headers = {"X-Shopify-Hmac-Sha256": sign(raw, SECRET.encode())}
    try:
        url = f"{server.url}/webhooks/orders/create"
        return requests.post(url, raw, headers=headers, timeout=PATIENCE).status_code
    except requests.ConnectionError:
        return 0
