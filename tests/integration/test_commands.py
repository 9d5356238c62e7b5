"""What an operator types, and what it does and says."""

import functools
import json
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from flask import Flask
from flask.cli import cli as flask_command
from sqlalchemy import NullPool, create_engine, text

from app import assemble, create_app
from commands.registry import COMMANDS
from tests.actors import (
    API_TOKEN,
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    SECRET,
    Clock,
    Operator,
    Shop,
    Storefront,
    instant,
    order,
    pinned,
)
from tests.standins.pinterest import FakePinterest, Mode
from tests.store_contents import rows
from tracking.service import Service
from tracking.store import backup, dead_letter_queue, open_store, quarantine, retention
from tracking.store.engine import health
from tracking.store.engine.statement import Connection
from tracking.store.migrations import head

ROOT = Path(__file__).parents[2]
PATIENCE = 60
BuildService = Callable[..., Service]


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service on SQLite that sends every order to the stand-in, when it is told to."""
    return build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")


@pytest.fixture
def operator(app: Flask) -> Operator:
    return Operator(app)


def orders(*numbers: int, **changes: Any) -> Iterator[dict[str, Any]]:
    """Different orders, equal but for their ids."""
    return (order(id=number, name=f"#{number}", **changes) for number in numbers)


@pytest.fixture
def with_a_dead_letter(shop: Shop, operator: Operator, pinterest: FakePinterest) -> None:
    """A shop with two orders, 1 and 2; Pinterest did not take the first."""
    for body in orders(1, 2):
        shop.sends("orders/create", body)
    pinterest.poisoned = frozenset({"checkout-1"})
    pinterest.mode = "partial"
    operator.reads("deliver")
    pinterest.mode = "ok"


# --- deliver


def test_deliver_sends_what_is_due_and_says_how_much(
    shop: Shop, operator: Operator, pinterest: FakePinterest
) -> None:
    for body in orders(1, 2, 3):
        shop.sends("orders/create", body)

    assert operator.reads("deliver") == "pinterest: 3 tried, 0 waiting, 0 dead\n"
    assert set(pinterest.accepted) == {"checkout-1", "checkout-2", "checkout-3"}


def test_deliver_with_nothing_due_calls_nobody(
    operator: Operator, pinterest: FakePinterest
) -> None:
    assert operator.reads("deliver") == "pinterest: 0 tried, 0 waiting, 0 dead\n"
    assert pinterest.calls == []


def test_deliver_says_why_the_account_is_paused(
    shop: Shop, operator: Operator, pinterest: FakePinterest
) -> None:
    shop.sends("orders/create", order())
    pinterest.mode = "unauthorized"

    result = operator.types("deliver")

    assert result.exit_code == 1
    assert result.stdout == "pinterest: 1 tried, 1 waiting, 0 dead\n"
    until = instant(NOW + 300).replace("+00:00", "Z")
    assert f"Error: pinterest is paused until {until}: HTTP 401" in result.stderr


def test_deliver_says_that_pinterest_does_not_answer(
    shop: Shop, operator: Operator, pinterest: FakePinterest, clock: Clock
) -> None:
    shop.sends("orders/create", order())
    pinterest.mode = "down"
    for _ in range(4):
        operator.reads("deliver")
        clock.tick(hours=1)

    assert operator.is_told("deliver") == "pinterest does not answer: 5 calls failed in a row"


def test_deliver_without_an_account_says_what_is_missing(
    build_service: BuildService, sqlite_url: str
) -> None:
    operator = Operator(assemble(build_service(sqlite_url)))

    assert "set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID" in operator.is_told("deliver")


# --- dead-letters and replay


def test_no_dead_letters_are_said_to_be_none(operator: Operator) -> None:
    assert operator.reads("dead-letters") == "no dead letters\n"


@pytest.mark.usefixtures("with_a_dead_letter")
def test_dead_letters_are_listed_with_pinterests_words(operator: Operator) -> None:
    title, line = operator.reads("dead-letters").splitlines()

    assert title.split() == ["event", "to", "of", "attempts", "reason"]
    assert line.split()[:4] == ["checkout-1", "pinterest", "2026-11-20T12:00:00Z", "1"]
    assert line.endswith("Invalid event_id: checkout-1 is poisoned")


def test_a_long_list_of_dead_letters_says_that_there_are_more(
    shop: Shop, operator: Operator, pinterest: FakePinterest
) -> None:
    pinterest.poisoned = frozenset({"checkout-1", "checkout-2"})
    pinterest.mode = "partial"
    for body in orders(1, 2):
        shop.sends("orders/create", body)
    operator.reads("deliver")

    _, line, more = operator.reads("dead-letters", "--limit", "1").splitlines()

    assert line.startswith("checkout-1 ")
    assert more == "… and more: --limit 10 shows them"


@pytest.mark.usefixtures("with_a_dead_letter")
def test_a_replayed_dead_letter_is_sent(operator: Operator, pinterest: FakePinterest) -> None:
    assert operator.reads("replay") == "1 dead letter put back in line\n"

    operator.reads("deliver")
    assert set(pinterest.accepted) == {"checkout-1", "checkout-2"}
    assert operator.reads("dead-letters") == "no dead letters\n"


@pytest.mark.usefixtures("with_a_dead_letter")
def test_a_replayed_event_that_was_sent_is_not_sent_again(operator: Operator) -> None:
    told = operator.is_told("replay", "--event-id", "checkout-2")

    assert told == "checkout-2 is no dead letter: it is sent"


@pytest.mark.usefixtures("with_a_dead_letter")
def test_a_dead_letter_older_than_pinterest_takes_stays(operator: Operator, clock: Clock) -> None:
    clock.tick(days=7)

    said = operator.reads("replay").splitlines()

    assert said == [
        "0 dead letters put back in line",
        "1 left: their events are older than Pinterest takes",
    ]
    told = operator.is_told("replay", "--event-id", "checkout-1")
    assert told == "checkout-1 is older than Pinterest takes"


def test_an_unknown_event_cannot_be_replayed(operator: Operator) -> None:
    assert operator.is_told("replay", "--event-id", "x") == "no event x is known here"


# --- quarantine


def test_the_quarantine_is_listed_without_what_the_bodies_say(
    shop: Shop, operator: Operator
) -> None:
    assert operator.reads("quarantine") == "nothing in quarantine\n"
    shop.sends("orders/create", b'{"email": "ada@example.com"}')

    title, line = operator.reads("quarantine").splitlines()

    assert title.split() == ["id", "received", "topic", "bytes", "reason"]
    assert line.split()[:4] == ["1", "2026-11-20T12:00:00Z", "orders/create", "28"]
    assert line.endswith("id: not a Shopify id")
    assert "ada" not in line


def test_a_replay_of_the_quarantine_takes_in_what_is_understood_now_and_keeps_the_rest(
    shop: Shop, service: Service, operator: Operator
) -> None:
    shop.sends("orders/create", b'{"email": "ada@example.com"}')
    body = shop_body(order(id=7))
    service.tracker.quarantine.add(body, "orders/create", "failed: KeyError")
    service.tracker.quarantine.add(b"{}", "orders/of-old", "failed: KeyError")

    assert operator.reads("quarantine", "--replay") == "1 understood and released, 2 kept\n"

    assert shop.reads("/orders/7/journey")["revenue"] == "40.00"
    kept = operator.reads("quarantine")
    assert "id: not a Shopify id" in kept
    assert "orders/of-old" in kept
    assert "failed: KeyError" in kept


def test_a_released_body_is_erased(service: Service, operator: Operator) -> None:
    service.tracker.quarantine.add(shop_body(order()), "orders/create", "failed: KeyError")

    operator.reads("quarantine", "--replay")

    with service.store.read() as conn:
        conn.cursor.execute("SELECT body FROM quarantine")
        assert conn.cursor.fetchall() == [(b"",)]


def shop_body(body: dict[str, Any]) -> bytes:
    """A body as Shopify writes it."""
    return json.dumps(body).encode()


# --- purge


@pytest.fixture
def long_lived(build_service: BuildService, database_url: str, pinterest: FakePinterest) -> Service:
    """A service on each database that keeps things for forty days."""
    return build_service(
        database_url, pinterest=pinterest, PINTEREST_SEND="all", RETENTION_DAYS="40"
    )


def counts(service: Service) -> dict[str, int]:
    """The rows of the tables that purge looks at."""
    tables = ("outbox", "attempts", "receipts", "touches", "quarantine")
    found = {}
    with service.store.read() as conn:
        for name in tables:
            conn.cursor.execute(f"SELECT count(*) FROM {name}")  # noqa: S608 - a name from above
            found[name] = conn.cursor.fetchone()[0]
    return found


def test_purge_forgets_what_is_old_and_keeps_what_is_not(long_lived: Service, clock: Clock) -> None:
    app = assemble(long_lived)
    shop, operator = Shop(app.test_client()), Operator(app)
    shop.sends("orders/create", order(id=1, landing_site=pinned()))
    shop.sends("orders/create", b"old and odd")
    operator.reads("deliver")
    clock.tick(days=41)
    now = instant(clock.now)
    shop.sends("orders/create", order(id=2, created_at=now, processed_at=now))
    shop.sends("orders/create", b"new and odd")
    operator.reads("deliver")

    said = operator.reads("purge").splitlines()

    assert said == [
        "events of the storefront: 0 older than 90 days forgotten",
        "settled events: 1 older than 40 days forgotten",
        "delivery attempts: 1 older than 40 days forgotten",
        "receipts: 1 older than 40 days forgotten",
        "touches: 1 older than 40 days forgotten",
        "checkouts: 0 older than 40 days forgotten",
        "privacy requests: 0 older than 40 days forgotten",
        "quarantined bodies: 1 older than 30 days forgotten",
        "unrecordable calls of the pixel: 0 older than 7 days forgotten",
        "buyers of orders: 1 older than 40 days forgotten",
        "links: 0 older than 40 days forgotten",
        "links told by the pixel: 0 older than 40 days forgotten",
        "browsers: 0 older than 40 days forgotten",
        "consent of visitors: 0 older than 40 days forgotten",
        "visitors of events: 0 older than 40 days forgotten",
        "visitors of figures: 0 older than 40 days forgotten",
        "payloads of storefront events: 0 older than 7 days forgotten",
        "attempts that succeeded at once: 0 older than 1 day forgotten",
        "lines of orders: 1 older than 8 days forgotten",
    ]
    assert counts(long_lived) == dict.fromkeys(counts(long_lived), 1)
    story = shop.reads("/orders/2/journey")
    assert [touch["key"] for touch in story["touches"]] == ["order:2"]
    assert [delivery["state"] for delivery in story["deliveries"]] == ["sent"]


def test_the_quarantine_is_emptied_before_the_rest_grows_old(
    long_lived: Service, clock: Clock
) -> None:
    app = assemble(long_lived)
    shop, operator = Shop(app.test_client()), Operator(app)
    shop.sends("orders/create", order())
    shop.sends("orders/create", b"odd")
    operator.reads("deliver")
    clock.tick(days=31)

    operator.reads("purge")

    assert {name for name, count in counts(long_lived).items() if count == 0} == {"quarantine"}


def test_purge_leaves_the_reports_as_they_were(long_lived: Service, clock: Clock) -> None:
    app = assemble(long_lived)
    shop, operator = Shop(app.test_client()), Operator(app)
    shop.sends("orders/create", order(landing_site=pinned()))
    clock.tick(days=41)
    reports = ("/roi-analysis", "/conversion-funnel")
    before = [shop.reads(path, start_date="2026-11-01") for path in reports]

    operator.reads("purge")

    assert before[0]["campaigns"][0]["revenue"] == "40.00"
    assert [shop.reads(path, start_date="2026-11-01") for path in reports] == before


def test_purge_never_forgets_an_event_that_waits(long_lived: Service, clock: Clock) -> None:
    app = assemble(long_lived)
    Shop(app.test_client()).sends("orders/create", order())
    clock.tick(days=400)

    Operator(app).reads("purge")

    assert counts(long_lived)["outbox"] == 1


def test_purge_forgets_more_than_a_page(long_lived: Service, clock: Clock) -> None:
    many = retention.PAGE * 2 + 1

    def fill(conn: Connection) -> None:
        for number in range(many):
            quarantine.add(conn, str(number), "orders/create", "odd", b"", NOW)

    long_lived.store.commit(fill)
    clock.tick(days=31)

    said = Operator(assemble(long_lived)).reads("purge")

    assert f"quarantined bodies: {many} older than 30 days forgotten" in said
    assert counts(long_lived)["quarantine"] == 0


def test_a_dead_letter_replayed_during_a_purge_is_not_forgotten(
    long_lived: Service, clock: Clock
) -> None:
    store = long_lived.store
    Shop(assemble(long_lived).test_client()).sends("orders/create", order())
    store.commit(lambda conn: conn.cursor.execute("UPDATE outbox SET state = 'dead'"))
    with store.read() as conn:
        rows = retention.page(conn, "settled events", NOW + DAY)
    assert len(rows) == 1

    store.commit(lambda conn: dead_letter_queue.replay(conn, NOW, 0))
    store.commit(lambda conn: retention.forget(conn, "settled events", NOW + DAY, rows))

    assert counts(long_lived)["outbox"] == 1


# --- import-spend


def test_spend_is_taken_in_from_a_file(shop: Shop, operator: Operator, tmp_path: Path) -> None:
    path = tmp_path / "spend.csv"
    path.write_text("date,campaign_id,spend,currency\n2026-11-19,7,12.5,USD\n2026-11-20,7,1,USD\n")

    assert operator.reads("import-spend", str(path)) == "2 rows of spend stored\n"
    assert shop.reads("/roi-analysis")["total_spend"] == "13.50"


def test_a_wrong_file_of_spend_is_answered_with_its_faults_and_not_stored(
    shop: Shop, operator: Operator, tmp_path: Path
) -> None:
    path = tmp_path / "spend.csv"
    path.write_text("date,campaign_id,spend,currency\n2026-11-19,7,12.5,USD\n2026-11-20,7,a,USD\n")

    told = operator.is_told("import-spend", str(path))

    assert told == "line 3: spend: not an amount of zero or more, such as 12.50"
    assert shop.reads("/spend")["rows"] == []


# --- backup


def test_a_backup_holds_what_was_acknowledged_before_it(
    shop: Shop, operator: Operator, build_service: BuildService, tmp_path: Path
) -> None:
    shop.sends("orders/create", order(id=7))

    said = operator.reads("backup", str(tmp_path / "copy.db"))

    assert said.endswith(" bytes, checked\n")
    restored = build_service(f"sqlite:///{tmp_path / 'copy.db'}")
    assert Shop(assemble(restored).test_client()).reads("/orders/7/journey")["revenue"] == "40.00"


def test_a_backup_is_one_file_that_only_its_owner_can_read(
    shop: Shop, operator: Operator, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    shop.sends("orders/create", order())

    operator.reads("backup", str(folder / "copy.db"))

    assert [path.name for path in folder.iterdir()] == ["copy.db"]
    assert stat.S_IMODE((folder / "copy.db").stat().st_mode) == 0o600


def test_a_backup_overwrites_nothing(operator: Operator, tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("precious")

    said = operator.is_told("backup", str(path))

    assert said == f"{path} exists already: name a new file, with the day in its name, say"
    assert path.read_text() == "precious"


def test_a_backup_makes_no_folder(operator: Operator, tmp_path: Path) -> None:
    said = operator.is_told("backup", str(tmp_path / "backups" / "copy.db"))

    assert said == f"there is no folder {tmp_path / 'backups'}"


def test_a_backup_of_a_broken_database_fails_and_leaves_nothing(tmp_path: Path) -> None:
    source = tmp_path / "broken.db"
    with closing(sqlite3.connect(source)) as raw:
        raw.execute("CREATE TABLE t (a)")
        raw.executemany("INSERT INTO t VALUES (?)", [("x" * 500,)] * 200)
        raw.execute("CREATE INDEX i ON t (a)")
        raw.commit()
    body = bytearray(source.read_bytes())
    body[20_000:60_000] = bytes(40_000)
    source.write_bytes(body)

    with pytest.raises(backup.NoBackup):
        backup.copy(source, tmp_path / "copy.db")

    assert {path.name for path in tmp_path.iterdir()} == {"broken.db", "broken.db.in-use"}


def test_postgresql_is_backed_up_by_its_own_tool(
    build_service: BuildService, postgres_url: str, tmp_path: Path
) -> None:
    operator = Operator(assemble(build_service(postgres_url)))

    assert "pg_dump" in operator.is_told("backup", str(tmp_path / "copy.db"))


# --- doctor


def hands(result: Result) -> list[str]:
    """What needs a hand, each as one text."""
    lines = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    return [" ".join(text.split()) for mark, text in lines[1:] if mark == "FAIL"]


def test_the_doctor_does_not_count_the_events_of_all_years(
    service: Service, operator: Operator
) -> None:
    many = ((f"checkout-{n}", "pinterest", "sent" if n else "discarded") for n in range(10_005))
    service.store.commit(
        lambda conn: conn.cursor.executemany(
            "INSERT INTO outbox (event_id, destination, state, payload) VALUES (?, ?, ?, '')", many
        )
    )

    said = " ".join(operator.reads("doctor").split())

    assert "pinterest 10000 sent of the newest 10,000 events, 0 waiting" in said


def test_the_doctor_finds_nothing_wrong_with_a_healthy_service(
    shop: Shop, operator: Operator
) -> None:
    shop.sends("orders/create", order())
    operator.reads("deliver")

    said = " ".join(operator.reads("doctor").split())

    assert "sending every order to ad account 549755885175" in said
    assert f"database SQLite, writable, at schema {head()}" in said
    assert "pinterest 1 sent, 0 waiting" in said
    assert "clock 2026-11-20T12:00:00Z, in the shop (UTC) 2026-11-20 12:00" in said


def test_the_doctor_looks_at_each_kind_of_database(long_lived: Service) -> None:
    said = Operator(assemble(long_lived)).reads("doctor")

    assert "writable, at schema" in said


def test_the_doctor_keeps_secrets(operator: Operator, service: Service) -> None:
    said = operator.reads("doctor")

    for secret in (SECRET, API_TOKEN, service.settings.pinterest_access_token):
        assert secret not in said


def test_the_doctor_does_not_mind_a_service_that_only_reports(
    build_service: BuildService, sqlite_url: str
) -> None:
    said = Operator(assemble(build_service(sqlite_url))).reads("doctor")

    assert "report only: orders are recorded and reported, nothing goes to Pinterest" in said


def test_the_doctor_says_that_pinterest_counts_nothing_in_test_mode(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_TEST_MODE="true")

    result = Operator(assemble(service)).types("doctor")

    assert result.exit_code == 1
    assert hands(result) == ["settings PINTEREST_TEST_MODE: on, so Pinterest counts no event"]


@pytest.mark.usefixtures("with_a_dead_letter")
def test_the_doctor_tells_of_dead_letters(operator: Operator) -> None:
    result = operator.types("doctor")

    assert result.exit_code == 1
    (hand,) = hands(result)
    assert hand.startswith(
        "dead letters 1 refused or expired; `flask --app app dead-letters` tells why; `replay` "
    )


def test_the_doctor_tells_of_bodies_in_quarantine(shop: Shop, operator: Operator) -> None:
    shop.sends("orders/create", b"{}")

    result = operator.types("doctor")

    assert result.exit_code == 1
    (hand,) = hands(result)
    assert hand.startswith("quarantine 1 not understood; `flask --app app quarantine` tells why; ")


def test_the_doctor_says_why_the_account_is_paused(
    shop: Shop, operator: Operator, pinterest: FakePinterest
) -> None:
    shop.sends("orders/create", order())
    pinterest.mode = "unauthorized"
    operator.types("deliver")

    hand, token = sorted(hands(operator.types("doctor")))

    assert token.startswith("token Pinterest does not accept it")
    assert hand.startswith("pinterest 0 sent, 1 waiting; paused until 2026-11-20T12:05:00Z: HTTP")
    assert "Authentication failed." in hand


def test_the_doctor_tells_of_a_destination_that_does_not_answer(
    shop: Shop, operator: Operator, pinterest: FakePinterest, clock: Clock
) -> None:
    shop.sends("orders/create", order())
    pinterest.mode = Mode("down")
    for _ in range(5):
        operator.types("deliver")
        clock.tick(seconds=901)

    assert hands(operator.types("doctor", "--offline"))[0] == (
        "pinterest 0 sent, 1 waiting; it does not answer: 5 calls failed in a row"
    )


def test_the_doctor_tells_of_events_that_nobody_delivers(
    shop: Shop, operator: Operator, clock: Clock
) -> None:
    shop.sends("orders/create", order())
    clock.tick(hours=3)

    (hand,) = hands(operator.types("doctor"))

    assert hand.startswith("delivery the oldest event waits for 3 h")


def test_the_doctor_tells_of_events_whose_destination_is_gone(
    shop: Shop, sqlite_url: str, build_service: BuildService, clock: Clock
) -> None:
    shop.sends("orders/create", order())
    clock.tick(hours=3)
    operator = Operator(assemble(build_service(sqlite_url)))

    assert hands(operator.types("doctor")) == [
        "pinterest 1 waiting, but its settings are gone: set again, they are sent;"
        " `deliver --give-up pinterest` gives them up"
    ]


def test_what_waits_for_a_destination_that_is_gone_can_be_given_up(
    shop: Shop, sqlite_url: str, build_service: BuildService, service: Service
) -> None:
    shop.sends("orders/create", order())
    without = build_service(sqlite_url)
    operator = Operator(assemble(without))

    assert operator.reads("deliver", "--give-up", "pinterest") == "1 event to pinterest given up\n"

    assert hands(operator.types("doctor")) == []
    assert operator.types("doctor").exit_code == 0
    (row,) = rows(without.store, "outbox")
    assert (row["state"], row["payload"]) == ("discarded", b"")
    why = shop.reads("/orders/5001/journey")["why"]
    assert why.endswith("given up: the settings of this destination were removed.")
    told = Operator(assemble(service)).is_told("deliver", "--give-up", "pinterest")
    assert told == "pinterest has its settings: `deliver` sends what is due"


def test_the_doctor_tells_of_links_with_unfilled_macros(
    shop: Shop, operator: Operator, clock: Clock
) -> None:
    link = "/?utm_source=pinterest&utm_medium=cpc&utm_campaign="
    macros = "%7Bcampaign_name%7D&utm_campaign_id=%7Bcampaignid%7D"
    for number, campaign in enumerate(("summer", macros, macros), 1):
        shop.sends("orders/create", order(id=number, landing_site=link + campaign))

    result = operator.types("doctor")

    said = " ".join(result.output.split())
    assert "note links 2 of the newest 3 orders came by a link with unfilled macros" in said
    assert "(utm_campaign, utm_campaign_id), which are no campaign" in said
    assert "correct the URL parameters of the ad at Pinterest" in said
    clock.tick(hours=24 * 31)
    assert "macros" not in operator.types("doctor").output


def test_the_doctor_tells_of_visits_whose_link_has_unfilled_macros(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY)
    front = Storefront(service, pinterest, clock)
    link = "/?utm_source=pinterest&utm_medium=cpc&utm_campaign="
    front.sees("page_viewed", "visitor-0001", 60, link + "summer")
    front.sees("page_viewed", "visitor-0002", 60, link + "%7Bcampaign_name%7D&epik=%7Bepik%7D")
    front.sees("page_viewed", "visitor-0002", 30, "/products/mug")

    result = Operator(assemble(service)).types("doctor")

    said = " ".join(result.output.split())
    assert "note links 1 visits of 30 days that the pixel told came by a link with" in said
    assert "unfilled macros (epik, utm_campaign), which are no campaign" in said


def test_the_doctor_says_nothing_of_links_that_are_filled_in(
    shop: Shop, operator: Operator
) -> None:
    shop.sends("orders/create", order(landing_site="/?utm_source=pinterest&utm_campaign=summer"))
    assert "macros" not in operator.reads("doctor")


def test_the_doctor_notices_a_clock_that_was_set_back(
    shop: Shop, operator: Operator, clock: Clock
) -> None:
    shop.sends("orders/create", order())
    clock.tick(hours=-2)

    assert hands(operator.types("doctor")) == [
        "clock 2026-11-20T10:00:00Z, but an event was recorded at 2026-11-20T12:00:00Z"
    ]


def test_the_doctor_notices_a_clock_that_was_never_set(operator: Operator, clock: Clock) -> None:
    clock.now = 3 * HOUR

    assert hands(operator.types("doctor")) == [
        "clock 1970-01-01T03:00:00Z cannot be: it was never set"
    ]


@pytest.mark.parametrize(
    ("revision", "hint"),
    [
        ("0009", "a restart of the service brings it up"),
        ("9999", "a newer release made it: start that one again, or restore a backup"),
    ],
)
def test_the_doctor_says_what_a_database_of_another_release_needs(
    operator: Operator, service: Service, revision: str, hint: str
) -> None:
    change = f"UPDATE alembic_version SET version_num = '{revision}'"  # noqa: S608
    service.store.commit(lambda conn: conn.cursor.execute(change))

    (hand,) = hands(operator.types("doctor"))

    assert hand.startswith(
        f"database SQLite at schema {revision}; this release has {head()}: {hint}"
    )


def test_the_doctor_finds_nothing_wrong_with_a_schema_that_was_extended(
    operator: Operator, service: Service
) -> None:
    change = "UPDATE alembic_version SET version_num = '0999'"
    service.store.commit(lambda conn: conn.cursor.execute(change))

    assert hands(operator.types("doctor")) == []


@pytest.mark.usefixtures("empty_folder")
def test_a_database_without_tables_needs_nothing_but_a_start(new_url: str, tmp_path: Path) -> None:
    if new_url.startswith("sqlite"):
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "new.db").touch()

    result = Shell(SHOPIFY_WEBHOOK_SECRET=SECRET, DATABASE_URL=new_url).types("doctor")

    assert result.exit_code == 0
    assert " database yet: the first start makes them" in result.stdout


# --- Commands outside any app: what they need they open themselves


class Shell:
    """`flask --app app` in an empty folder, with nothing in the environment but what is given."""

    def __init__(self, **env: str) -> None:
        nothing = dict.fromkeys(("SHOPIFY_WEBHOOK_SECRET", "DATABASE_URL", "API_TOKEN"))
        self._env: dict[str, str | None] = {**nothing, "FLASK_SKIP_DOTENV": "1", **env}

    def types(self, *words: str) -> Result:
        result = CliRunner().invoke(flask_command, ["--app", "app", *words], env=self._env)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result


@pytest.fixture
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("empty_folder")
def test_every_command_is_listed_where_nothing_is_configured() -> None:
    said = Shell().types("--help").stdout

    for command in COMMANDS:
        assert f"\n  {command.name} " in said


@pytest.mark.usefixtures("empty_folder")
@pytest.mark.parametrize("command", ["deliver", "replay", "purge", "quarantine", "dead-letters"])
def test_a_command_without_settings_says_in_one_line_what_is_missing(command: str) -> None:
    result = Shell().types(command)

    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("Error: SHOPIFY_WEBHOOK_SECRET: missing")


@pytest.mark.usefixtures("empty_folder")
@pytest.mark.parametrize("command", ["run", "routes"])
def test_flask_serves_nothing_without_settings_and_says_why_in_one_message(command: str) -> None:
    result = Shell(PORT="no", PINTREST_SEND="off").types(command)

    assert result.exit_code not in (0, None)
    first, *problems = result.stderr.splitlines()
    assert first == "the service cannot start:"
    assert [problem.split(":")[0] for problem in problems] == [
        *("SHOPIFY_WEBHOOK_SECRET", "PORT", "PINTREST_SEND")
    ]


@pytest.mark.usefixtures("empty_folder")
def test_a_database_of_a_newer_release_is_one_message(database_url: str) -> None:
    newer = "UPDATE alembic_version SET version_num = '9999'"
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text(newer))
    shell = Shell(SHOPIFY_WEBHOOK_SECRET=SECRET, DATABASE_URL=database_url)

    told = [shell.types(command).stderr.splitlines()[-1] for command in ("purge", "routes")]

    with engine.begin() as connection:
        connection.execute(text(newer.replace("9999", head())))
    engine.dispose()
    assert all("schema 9999" in line and "a newer release made it" in line for line in told)


@pytest.mark.usefixtures("empty_folder")
def test_the_doctor_names_every_problem_with_the_settings() -> None:
    result = Shell(PORT="no", DELIVER="perhaps").types("doctor")

    assert result.exit_code == 1
    assert [hand.split(":")[0] for hand in hands(result)] == [
        "settings SHOPIFY_WEBHOOK_SECRET",
        "settings PORT",
        "settings DELIVER",
    ]


def test_the_doctor_makes_no_database(empty_folder: Path) -> None:
    result = Shell(SHOPIFY_WEBHOOK_SECRET=SECRET).types("doctor")

    assert result.exit_code == 0
    assert "none yet: the first start makes data/tracking.db" in result.stdout
    assert list(empty_folder.iterdir()) == []


@pytest.mark.usefixtures("empty_folder")
def test_the_doctor_says_why_postgresql_lets_nobody_in() -> None:
    url = "postgresql+psycopg://tracking:secret@127.0.0.1:1/tracking"

    result = Shell(SHOPIFY_WEBHOOK_SECRET=SECRET, DATABASE_URL=url).types("doctor")

    assert result.exit_code == 1
    assert "port 1 failed: Connection refused" in result.stdout
    assert "secret@" not in result.stdout


def test_the_doctor_misses_a_database_that_a_running_service_has_open(
    empty_folder: Path, sqlite_url: str
) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    running = open_store(sqlite_url)
    running.commit(lambda _: None)
    path.unlink()

    told = Shell(SHOPIFY_WEBHOOK_SECRET=SECRET, DATABASE_URL=sqlite_url).types("doctor")
    assert told.exit_code == 1
    assert f"{path} is gone, but a process has it open" in told.stdout

    running.close()
    told = Shell(SHOPIFY_WEBHOOK_SECRET=SECRET, DATABASE_URL=sqlite_url).types("doctor")
    assert "none yet: the first start makes" in told.stdout


@pytest.mark.usefixtures("empty_folder")
def test_a_command_finds_the_database_of_the_environment(sqlite_url: str) -> None:
    store = open_store(sqlite_url)
    store.commit(lambda conn: quarantine.add(conn, "d", "orders/create", "odd", b"{}", NOW))
    store.close()

    said = Shell(SHOPIFY_WEBHOOK_SECRET=SECRET, DATABASE_URL=sqlite_url).types("quarantine")

    assert said.stdout.splitlines()[1].endswith("odd")


@pytest.mark.usefixtures("empty_folder")
def test_a_database_that_does_not_answer_is_one_line() -> None:
    url = "postgresql+psycopg://nobody@127.0.0.1:1/nothing"

    result = Shell(SHOPIFY_WEBHOOK_SECRET=SECRET, DATABASE_URL=url).types("purge")

    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: the service cannot be opened: ")


@pytest.mark.usefixtures("empty_folder")
def test_a_server_gets_the_whole_application(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOPIFY_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("DATABASE_URL", sqlite_url)
    monkeypatch.setenv("DELIVER", "false")
    stops: list[Callable[[], object]] = []
    monkeypatch.setattr(
        "atexit.register", lambda stop, *args: stops.append(functools.partial(stop, *args))
    )

    app = create_app()

    service: Service = app.extensions["service"]
    service.store.commit(health.write)
    for stop in stops:
        stop()
    service.store.close()
    assert app.test_client().get("/health").status_code == 200
