"""Nobody's name rests anywhere: canaries go in, and are looked for wherever something comes out."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

from app import assemble
from tests.actors import NOW, Clock, Shop, bearer, deliver, instant, refund
from tests.canaries import (
    API_TOKEN,
    BROWSER,
    DEVICE,
    EMAIL,
    IP,
    PERSON,
    SECRET,
    SECRETS,
    canary,
    found,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, rows
from tracking.service import Service
from tracking.store import backup, quarantine


class Ear:
    """Hears everything the service says over HTTP."""

    def __init__(self, shop: Shop) -> None:
        self.shop = shop
        self.heard: list[str] = []

    def sends(self, topic: str, body: dict[str, Any] | bytes, **more: Any) -> None:
        answer = self.shop.sends(topic, body, **{"secret": SECRET, **more})
        self.heard.append(f"{answer.headers}{answer.get_data(as_text=True)}")

    def reads(self, *paths: str) -> None:
        for path in paths:
            answer = self.shop.client.get(path, headers=bearer(API_TOKEN))
            self.heard.append(f"{answer.headers}{answer.get_data(as_text=True)}")


@pytest.fixture
def watched(
    build_service: BuildService, database_url: str, canary_pinterest: FakePinterest
) -> Service:
    """A service on each database, whose secrets are canaries too."""
    return build_service(
        database_url,
        pinterest=canary_pinterest,
        SHOPIFY_WEBHOOK_SECRET=SECRET,
        API_TOKEN=API_TOKEN,
        PINTEREST_SEND="all",
    )


@pytest.fixture
def ear(watched: Service) -> Ear:
    return Ear(Shop(assemble(watched).test_client()))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """All that is logged, however detailed."""
    with caplog.at_level(logging.DEBUG):
        yield caplog


def kept(service: Service) -> str:
    """Every column of every row as text."""
    return repr(everything(service.store))


def live_through(ear: Ear, service: Service, pinterest: FakePinterest) -> None:
    """Orders of every fate: sent, refused by Pinterest, held back, never sent, and waiting."""
    pinterest.mode = "partial"
    pinterest.poisoned = frozenset({"checkout-2"})
    ear.sends("orders/create", canary(1))
    ear.sends("orders/create", canary(2))
    deliver(service)
    ear.sends("orders/create", canary(3))
    ear.sends("orders/cancelled", canary(3, cancelled_at=instant(NOW), updated_at=instant(NOW + 9)))
    refusal = [{"name": "__pin_consent", "value": "marketing=no"}]
    ear.sends("orders/create", canary(4, note_attributes=refusal))
    ear.sends("orders/create", canary(5, test=True))
    ear.sends("refunds/create", refund(order_id=1, note=f"for {EMAIL}"))
    ear.sends("orders/create", canary(6))


REPORTS = (
    *(f"/orders/{number}/journey" for number in range(1, 8)),
    *("/events", "/events?format=csv", "/roi-analysis", "/conversion-funnel", "/spend", "/ready"),
    *("/roi-analysis?start_date=canary.bird@example.com", "/orders/canary.bird/journey?x=1"),
)


def test_no_person_and_no_secret_rests_in_the_database(
    ear: Ear, watched: Service, canary_pinterest: FakePinterest
) -> None:
    live_through(ear, watched, canary_pinterest)

    states = {row["event_id"]: row["state"] for row in rows(watched.store, "outbox")}
    assert states == {
        "checkout-1": "sent",
        "checkout-2": "dead",
        "checkout-3": "withdrawn",
        "checkout-6": "waiting",
    }
    assert found([*PERSON, *SECRETS], kept(watched)) == []


def test_address_and_browser_rest_only_with_the_event_that_waits(
    ear: Ear, watched: Service, canary_pinterest: FakePinterest
) -> None:
    live_through(ear, watched, canary_pinterest)

    assert [
        (table, row["event_id"])
        for table, some in everything(watched.store).items()
        for row in some
        if found(DEVICE, repr(row))
    ] == [("outbox", "checkout-6")]

    deliver(watched)
    assert found(DEVICE, kept(watched)) == []


def test_no_person_and_no_secret_is_logged_or_answered(
    ear: Ear,
    watched: Service,
    canary_pinterest: FakePinterest,
    log: pytest.LogCaptureFixture,
    clock: Clock,
) -> None:
    live_through(ear, watched, canary_pinterest)
    for mode in ("down", "echo", "unauthorized", "garbage", "ok"):
        canary_pinterest.mode = mode
        clock.tick(hours=1)
        deliver(watched)
    ear.sends("orders/create", canary(7), secret="another")
    ear.sends("orders/create", b'{"email": "canary.bird@example.com"')
    ear.sends("orders/create", canary(8, line_items=EMAIL))
    ear.reads(*REPORTS)

    assert "pinterest" in log.text
    assert len(ear.heard) > len(REPORTS)
    assert found([*PERSON, *SECRETS, *DEVICE], log.text, *ear.heard) == []


def test_a_token_that_pinterest_quotes_is_not_kept(
    ear: Ear, watched: Service, canary_pinterest: FakePinterest
) -> None:
    canary_pinterest.mode = "echo"
    ear.sends("orders/create", canary(1))

    deliver(watched)

    assert found(SECRETS, kept(watched)) == []


def files_of(url: str) -> str:
    """The bytes of the database and of everything that lies beside it."""
    path = Path(url.removeprefix("sqlite:///"))
    return "".join(p.read_bytes().decode("latin-1") for p in path.parent.glob(f"{path.name}*"))


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_person_rests_in_any_file_of_the_database(
    ear: Ear, watched: Service, canary_pinterest: FakePinterest, database_url: str
) -> None:
    live_through(ear, watched, canary_pinterest)

    assert "checkout-6" in files_of(database_url)
    assert found([*PERSON, *SECRETS], files_of(database_url)) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_no_person_rests_in_a_backup_or_in_what_a_restore_sets_aside(
    ear: Ear,
    watched: Service,
    canary_pinterest: FakePinterest,
    database_url: str,
    tmp_path: Path,
) -> None:
    live_through(ear, watched, canary_pinterest)
    database, copy = Path(database_url.removeprefix("sqlite:///")), tmp_path / "copy.db"

    backup.copy(database, copy)
    watched.store.close()
    backup.restore(copy, database, tmp_path / "tracking.db.before")

    assert "checkout-6" in files_of(f"sqlite:///{copy}")
    assert found([*PERSON, *SECRETS], files_of(f"sqlite:///{copy}"), files_of(database_url)) == []


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_what_was_erased_is_gone_from_the_files_too(
    ear: Ear, watched: Service, database_url: str
) -> None:
    for number in range(1, 30):
        ear.sends("orders/create", canary(number))
    ear.sends("orders/create", canary(30, line_items=None))
    assert found([IP, EMAIL], files_of(database_url)) == [IP, EMAIL]

    deliver(watched)
    release_all(watched)
    checkpoint(database_url)

    assert found([IP, BROWSER, *PERSON], files_of(database_url)) == []


def checkpoint(url: str) -> None:
    """Move the log into the file, as SQLite does by itself once the log is long enough."""
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()


def release_all(service: Service) -> None:
    with service.store.read() as conn:
        bodies = quarantine.bodies(conn)
    for body in bodies:
        service.store.commit(partial(quarantine.release, id=body.id, now=NOW))


def test_a_body_nobody_understood_is_the_one_exception_until_it_is_released(
    ear: Ear, watched: Service
) -> None:
    ear.sends("orders/create", canary(1, line_items=None))
    ear.sends("refunds/create", canary(2, line_items=None, refund_line_items=7))

    tables = [t for t, some in everything(watched.store).items() if found([EMAIL, IP], repr(some))]
    assert tables == ["quarantine"]
    reasons = [row["reason"] for row in rows(watched.store, "quarantine")]
    assert found([*PERSON, *DEVICE], *reasons) == []

    release_all(watched)
    assert found([*PERSON, *DEVICE], kept(watched)) == []


def test_what_fails_unforeseen_says_neither_where_nor_about_whom(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> str:
        raise RuntimeError(f"no such column: {EMAIL}")

    app.add_url_rule("/fails", "fails", fail)
    answer = app.test_client().get("/fails", headers=bearer())

    assert answer.status_code == 500
    told = answer.get_data(as_text=True)
    assert answer.get_json()["request_id"] in caplog.text
    for trace in (EMAIL, "Traceback", "RuntimeError", ".py", "column"):
        assert trace not in told
    assert EMAIL not in caplog.text


def test_a_store_that_fails_is_not_quoted(
    build_service: BuildService, postgres_url: str, sqlite_url: str, tmp_path: Path
) -> None:
    missing = postgres_url.replace("search_path%3D", "search_path%3Dnowhere_")
    for url in (f"sqlite:///{tmp_path}/gone/tracking.db", missing):
        client = assemble(build_service(url)).test_client()
        for path in (
            "/roi-analysis",
            "/conversion-funnel",
            "/events",
            "/orders/1/journey",
            "/ready",
        ):
            answer = client.get(path, headers=bearer())
            told = answer.get_data(as_text=True)
            assert answer.status_code == 503, path
            for trace in ("Traceback", "SELECT", "relation", "sqlite", str(tmp_path), ".py"):
                assert trace not in told, path


def test_the_waiting_event_holds_digests_and_no_clear_text(ear: Ear, watched: Service) -> None:
    ear.sends("orders/create", canary(1))

    (waiting,) = rows(watched.store, "outbox")
    event = json.loads(bytes(waiting["payload"]))
    assert {"em", "ph", "fn", "ln", "ct", "st", "zp", "country", "external_id"} <= set(
        event["user_data"]
    )
    assert found(PERSON, json.dumps(event)) == []
