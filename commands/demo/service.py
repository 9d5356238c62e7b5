"""The demo's service: a real gunicorn beside a local stand-in for Pinterest."""

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import requests

from commands.demo.month import Month, zone_at
from commands.demo.past import Past, PlayedClock
from commands.demo.pinterest_world import ADS_TOKEN, AdvertisingStandIn
from commands.demo.shop import BROWSER, PIXEL_KEY, Body
from config import VARIABLES, ConfigurationError, Settings
from tracking.receive.pinterest.sync import SyncBusy
from tracking.service import Service, open_service
from tracking.store import conversions
from webhooks.signature import sign

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
_POLL = 0.05


class DemoError(Exception):
    """The demo cannot run, or the service failed; the message says why."""


@dataclass(frozen=True, slots=True)
class DemoService:
    """A client of the running service: Shopify, the pixel and the shop's owner in one."""

    address: str
    secret: str
    token: str
    pinterest: AdvertisingStandIn
    http: requests.Session
    env: Mapping[str, str]

    def post_webhook(self, topic: str, body: Body | bytes, key: str = "") -> str:
        """Posts a signed webhook; returns the status in the answer."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        signature = sign(raw, (key or self.secret).encode())
        answer = self.http.post(
            f"{self.address}/webhooks/{topic}",
            data=raw,
            headers={"Content-Type": "application/json", "X-Shopify-Hmac-Sha256": signature},
            timeout=PATIENCE,
        )
        return str(answer.json()["status"])

    def get_report(self, path: str, **parameters: str) -> Any:
        """Returns a report, requested with the API token."""
        answer = self.http.get(
            f"{self.address}{path}", params=parameters, headers=self._bearer, timeout=PATIENCE
        )
        answer.raise_for_status()
        return answer.json()

    def wait_for_delivery(self) -> None:
        """Waits until no event is waiting for delivery.

        Raises:
            DemoError: an event was still waiting after a minute.
        """
        deadline = time.monotonic() + PATIENCE
        while self.get_report("/events", state="waiting", limit="1")["events"]:
            if time.monotonic() > deadline:
                raise DemoError(f"events still wait after {PATIENCE:.0f} s")
            time.sleep(_POLL)

    def post_pixel_call(self, call: Body, address: str) -> int:
        """Posts a call of the pixel from a browser at this address; returns its accepted events."""
        answer = self.http.post(
            f"{self.address}/collect",
            data=json.dumps(call),
            headers={
                "Content-Type": "text/plain",
                "User-Agent": BROWSER,
                "X-Forwarded-For": address,
            },
            timeout=PATIENCE,
        )
        answer.raise_for_status()
        return int(answer.json()["accepted"])

    def sync_pinterest(self) -> None:
        """Reads Pinterest's figures at once, as `flask sync-pinterest` does.

        Raises:
            DemoError: the service was reading them for a minute.
        """
        deadline = time.monotonic() + PATIENCE
        with _opened(self.env, time.time) as service:
            while service.pinterest_sync is not None and time.monotonic() < deadline:
                with suppress(SyncBusy):
                    service.pinterest_sync.sync_all()
                    return
                time.sleep(_POLL)
        raise DemoError("Pinterest's figures were not read")

    @property
    def _bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}


@contextmanager
def run_service(port: int | None, database_url: str | None) -> Iterator[DemoService]:
    """Runs the service and the stand-in in a temporary folder, and removes both at the end.

    Raises:
        DemoError: the port is taken, or the database cannot be used or is not empty.
    """
    clock = PlayedClock()
    with (
        tempfile.TemporaryDirectory(prefix="demo-") as folder,
        AdvertisingStandIn(clock) as pinterest,
        requests.Session() as http,
    ):
        # A proxy of the environment must not see calls to this machine's own addresses.
        http.trust_env = False
        env = {
            "SHOPIFY_WEBHOOK_SECRET": secrets.token_hex(16),
            "API_TOKEN": secrets.token_hex(16),
            "DATABASE_URL": database_url or f"sqlite:///{folder}/demo.db",
            "PINTEREST_ACCESS_TOKEN": pinterest.token,
            "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
            "PINTEREST_ADS_TOKEN": ADS_TOKEN,
            "PINTEREST_API_BASE": pinterest.url,
            "PINTEREST_SEND": "attributed",
            "COLLECTOR_KEY": PIXEL_KEY,
            "SHOP_TIMEZONE": zone_at(clock()).key,
            "TRUSTED_PROXIES": "1",
            "PORT": str(_free_port(port)),
        }
        address = f"http://127.0.0.1:{env['PORT']}"
        _play_past(env, pinterest, clock)
        with _gunicorn(env, Path(folder), address, http):
            yield DemoService(
                address, env["SHOPIFY_WEBHOOK_SECRET"], env["API_TOKEN"], pinterest, http, env
            )


def _free_port(wanted: int | None) -> int:
    # Bound without SO_REUSEPORT: the service would otherwise share a port that is in use.
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", wanted or 0))
        except OSError as error:
            raise DemoError(f"port {wanted}: {error.strerror}") from error
        port: int = probe.getsockname()[1]
        return port


def _play_past(env: Mapping[str, str], pinterest: AdvertisingStandIn, clock: PlayedClock) -> None:
    """Migrates the database and plays the month before the day; raises DemoError if the database
    cannot be used or holds events."""
    with _opened(env, clock) as service:
        with service.store.read() as conn:
            if conversions.last_recorded(conn) is not None:
                raise DemoError("the database holds events already; the demo wants an empty one")
        zone = ZoneInfo(env["SHOP_TIMEZONE"])
        today = datetime.fromtimestamp(clock(), zone).date()
        month = Month(today, zone)
        pinterest.advertises(today)
        pinterest.knows(month.contacts, month.tagged)
        pinterest.refused = month.refused
        Past(service, pinterest, clock).play(month)


@contextmanager
def _opened(env: Mapping[str, str], clock: Callable[[], float]) -> Iterator[Service]:
    """Opens the service in this process; raises DemoError if the database cannot be used."""
    try:
        service = open_service(Settings.from_env(env), clock)
    except ConfigurationError as error:
        raise DemoError("; ".join(error.problems)) from error
    except Exception as error:
        # The driver of the configured database may raise any class.
        reason = str(error).partition("\n")[0]
        raise DemoError(f"the database cannot be used: {reason}") from error
    with ExitStack() as closed:
        closed.enter_context(closing(service.store))
        for destination in service.destinations.values():
            closed.enter_context(closing(destination))
        yield service


@contextmanager
def _gunicorn(
    env: Mapping[str, str], folder: Path, address: str, http: requests.Session
) -> Iterator[None]:
    """Runs the service under gunicorn, on a loopback address only."""
    log = folder / "gunicorn.log"
    command = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "gunicorn.conf.py")]
    with log.open("wb") as out:
        server = subprocess.Popen(  # noqa: S603 - no argument comes from outside
            [*command, "--bind", address.removeprefix("http://"), "app:create_app()"],
            env={**_clean_environment(), **env},
            # In a folder without a .env file, and in a group that Ctrl-C does not reach: this
            # process handles Ctrl-C.
            cwd=folder,
            process_group=0,
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        _wait_for(server, address, http, log)
        yield
    finally:
        server.terminate()
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _clean_environment() -> dict[str, str]:
    """Returns this process's environment with the code's path and without its settings."""
    ours = {name for v in VARIABLES for name in (v.name, f"{v.name}_FILE")} | {"GUNICORN_CMD_ARGS"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    path = os.pathsep.join(filter(None, (str(ROOT), kept.get("PYTHONPATH"))))
    return {**kept, "PYTHONPATH": path}


def _wait_for(
    server: subprocess.Popen[bytes], address: str, http: requests.Session, log: Path
) -> None:
    deadline = time.monotonic() + PATIENCE
    while server.poll() is None and time.monotonic() < deadline:
        with suppress(requests.ConnectionError):
            if http.get(f"{address}/health", timeout=PATIENCE).ok:
                return
        time.sleep(_POLL)
    last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
    raise DemoError(f"the service did not start: {''.join(last)}")
