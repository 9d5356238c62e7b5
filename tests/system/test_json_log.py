"""The log as JSON lines, as the running service writes it."""

import json
import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import requests

from tests.canaries import API_TOKEN, DEVICE, PERSON, SECRET, SECRETS, canary, found
from tests.servers import PATIENCE, Server, serving
from webhooks.signature import sign


def answered(server: Server, topic: str, body: dict[str, Any]) -> requests.Response:
    """The answer to a webhook that is signed with the canary of a secret."""
    raw = json.dumps(body).encode()
    headers = {"X-Shopify-Hmac-Sha256": sign(raw, SECRET.encode())}
    return requests.post(f"{server.url}/webhooks/{topic}", raw, headers=headers, timeout=PATIENCE)


def test_every_line_is_json_and_those_of_a_request_have_its_id(tmp_path: Path) -> None:
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "DATABASE_URL": f"sqlite:///{tmp_path}/tracking.db",
        "LOG_FORMAT": "json",
        "LOG_LEVEL": "DEBUG",
        "WEB_CONCURRENCY": "1",
        "GUNICORN_CMD_ARGS": "--access-logfile - --access-logformat '%(r)s %(s)s'",
    }
    with serving(tmp_path, env) as server:
        assert answered(server, "orders/create", canary(1)).status_code == 200
        assert answered(server, "orders/create", canary(2, line_items="")).status_code == 200
        # From now on every statement about orders fails.
        with closing(sqlite3.connect(tmp_path / "tracking.db")) as raw:
            raw.execute("DROP TABLE receipts")
        failed = answered(server, "orders/create", canary(3))
        refused = requests.get(f"{server.url}/nothing", timeout=PATIENCE)
        os.kill(server.pid, signal.SIGTERM)
        server.exit_status()

    lines = [json.loads(line) for line in server.log.splitlines()]
    by_logger = {
        name: [x for x in lines if x["logger"] == name] for name in ("app", "gunicorn.access")
    }
    assert {"gunicorn.error", *by_logger} <= {line["logger"] for line in lines}
    accesses = {line["message"]: line.get("request_id") for line in by_logger["gunicorn.access"]}
    assert accesses["GET /nothing HTTP/1.1 404"] == refused.json()["request_id"]
    assert accesses["POST /webhooks/orders/create HTTP/1.1 503"] == failed.json()["request_id"]
    assert failed.json()["request_id"] in {line.get("request_id") for line in by_logger["app"]}
    assert all(accesses.values())
    assert found([*PERSON, *SECRETS, *DEVICE], server.log) == []
