"""A database whose schema is another release's: what fails for its sake is sent again."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask.testing import FlaskClient
from sqlalchemy import NullPool, create_engine, text

from app import assemble
from tests.actors import COLLECTOR_KEY, NOW, Shop, bearer, order, refund
from tests.conftest import BuildService
from tests.pixel_events import call
from tests.store_contents import rows
from tracking.receive.quarantine import Quarantine
from tracking.service import Service
from tracking.store import StoreUnavailable
from tracking.store.engine import health
from tracking.store.engine.schema_version import NEWEST, check, is_sufficient
from tracking.store.migrations import NewerSchema, head, migrate

Alter = Callable[..., None]
TOLD: dict[str, Any] = {
    **dict.fromkeys(("orders/create", "orders/paid", "orders/cancelled"), order()),
    "refunds/create": refund(),
    "orders/delete": {"id": 5_001},
}


@pytest.fixture
def service(build_service: BuildService, new_url: str) -> Service:
    """A service on a database of its own, whose schema may be changed."""
    migrate(new_url)
    return build_service(new_url, COLLECTOR_KEY=COLLECTOR_KEY)


@pytest.fixture
def client(service: Service) -> FlaskClient:
    return assemble(service).test_client()


@pytest.fixture
def alter(new_url: str) -> Iterator[Alter]:
    """Executes statements as a migration of another release does."""
    engine = create_engine(new_url, poolclass=NullPool)

    def execute(*statements: str) -> None:
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(text(statement))

    yield execute
    engine.dispose()


def version(number: str) -> str:
    return f"UPDATE alembic_version SET version_num = '{number}'"  # noqa: S608


def told(client: FlaskClient) -> set[int]:
    """The answers to the webhooks of an order."""
    return {Shop(client).sends(topic, body).status_code for topic, body in TOLD.items()}


def test_the_version_is_that_of_the_newest_migration() -> None:
    assert head() == NEWEST


@pytest.mark.parametrize(
    ("statement", "back"),
    [
        (
            "ALTER TABLE orders RENAME COLUMN gross TO gone",
            "ALTER TABLE orders RENAME COLUMN gone TO gross",
        ),
        ("ALTER TABLE orders RENAME TO gone", "ALTER TABLE gone RENAME TO orders"),
        (version("1099"), version(NEWEST)),
    ],
    ids=["a column", "a table", "a later generation"],
)
def test_an_order_that_the_schema_cannot_hold_is_sent_again(
    service: Service, client: FlaskClient, alter: Alter, statement: str, back: str
) -> None:
    alter(statement)
    assert told(client) == {503}
    alter(back)

    assert rows(service.store, "quarantine") == []
    assert told(client) == {200}


@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
@pytest.mark.parametrize("number", [NEWEST, "0999"])
def test_so_is_one_without_a_column_that_only_a_newer_release_fills(
    service: Service, client: FlaskClient, alter: Alter, number: str
) -> None:
    alter("ALTER TABLE orders ADD COLUMN surcharge BIGINT NOT NULL", version(number))

    assert Shop(client).sends("orders/create", order()).status_code == 503
    assert rows(service.store, "quarantine") == []


@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
def test_the_log_does_not_quote_the_row_that_a_newer_schema_refuses(
    client: FlaskClient, alter: Alter, caplog: pytest.LogCaptureFixture
) -> None:
    alter("ALTER TABLE orders ADD COLUMN surcharge BIGINT NOT NULL")

    Shop(client).sends("orders/create", order(name="#1001-of-ada"))

    assert "NotNullViolation orders.surcharge" in caplog.text
    assert "#1001-of-ada" not in caplog.text


def test_a_process_that_starts_beside_a_newer_schema_leaves_it_as_it_is(
    service: Service, client: FlaskClient, alter: Alter, new_url: str
) -> None:
    alter(version("0999"))

    migrate(new_url)

    assert told(client) == {200}
    with service.store.read() as conn:
        assert health.revision(conn) == "0999"


def test_a_process_that_could_not_work_with_a_newer_schema_does_not_start(
    alter: Alter, service: Service, new_url: str
) -> None:
    alter(version("1099"))

    with pytest.raises(NewerSchema, match=r"schema 1099, .* start that one again"):
        migrate(new_url)


def test_every_way_in_is_closed_by_a_schema_of_a_later_generation(
    client: FlaskClient, alter: Alter
) -> None:
    alter(version("1099"))
    spend = "date,campaign_id,spend,currency\n2026-01-01,1,1.00,USD\n"
    event = {
        "event_name": "lead",
        "action_source": "web",
        "event_time": NOW - 60,
        "user_data": {"em": "ada@example.com"},
    }

    assert told(client) == {503}
    assert client.post("/collect", json=call()).status_code == 503
    assert (
        client.post("/track-event", json={"event_data": event}, headers=bearer()).status_code == 503
    )
    assert (
        client.post("/spend", data=spend, headers=bearer(), content_type="text/csv").status_code
        == 503
    )
    assert client.get("/ready").status_code == 503


def test_a_schema_that_was_extended_is_worked_with(client: FlaskClient, alter: Alter) -> None:
    alter("ALTER TABLE orders ADD COLUMN surcharge BIGINT NOT NULL DEFAULT 0", version("0999"))

    assert told(client) == {200}
    assert client.get("/ready").status_code == 200


def test_a_body_on_which_an_old_machine_fails_is_left_to_a_new_one(
    service: Service, alter: Alter
) -> None:
    kept = Quarantine(service.store, lambda: NOW)
    alter(version("0999"))
    for add in (kept.add_failed, lambda *what: kept.add_failed_deferred(*what).result(20)):
        with pytest.raises(StoreUnavailable):
            add(b"{}", "orders/create", "failed: KeyError")
    assert rows(service.store, "quarantine") == []
    alter(version(NEWEST))

    assert kept.add_failed(b"{}", "orders/create", "failed: KeyError").status == "quarantined"


@pytest.mark.parametrize(
    ("number", "is_enough", "is_refused"),
    [
        ("", False, False),
        ("0001", False, False),
        ("of-another-program", False, False),
        (NEWEST, True, False),
        ("0999", True, False),
        ("1000", False, True),
        ("2014", False, True),
    ],
)
def test_a_release_works_with_the_schemas_of_its_generation(
    number: str, is_enough: bool, is_refused: bool
) -> None:
    assert is_sufficient(number) is is_enough
    if is_refused:
        with pytest.raises(StoreUnavailable):
            check(number)
    else:
        check(number)
