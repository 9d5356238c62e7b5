"""Every start brings the database to the newest schema: whole, once, and whatever interrupts it."""

import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import DefaultClause, NullPool, create_engine, inspect, text

from app import assemble
from tests.actors import (
    CHECKOUT_TOKEN,
    COLLECTOR_KEY,
    Clock,
    Shop,
    Storefront,
    bearer,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, is_complete, rows
from tracking.domain.identity import readable_key
from tracking.store import identity_graph, open_store, outbox
from tracking.store.migrations import head, migrate
from tracking.store.schema import metadata

ROOT = Path(__file__).parents[2]


def test_the_migrated_schema_is_the_one_the_code_describes(new_url: str) -> None:
    migrate(new_url)
    engine = create_engine(new_url, poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        difference = compare_metadata(context, metadata)
    engine.dispose()
    assert difference == []
    assert is_complete(new_url)


def test_every_column_has_the_default_of_the_description(new_url: str) -> None:
    migrate(new_url)
    engine = create_engine(new_url, poolclass=NullPool)
    for table in metadata.tables.values():
        for found in inspect(engine).get_columns(table.name):
            described = table.columns[found["name"]].server_default
            if isinstance(described, DefaultClause):
                assert str(found["default"]).partition("::")[0] == f"'{described.arg}'", found
    engine.dispose()


def test_every_key_and_index_of_the_description_is_there(new_url: str) -> None:
    migrate(new_url)
    engine = create_engine(new_url, poolclass=NullPool)
    found = inspect(engine)
    for table in metadata.tables.values():
        keys = [column.name for column in table.primary_key.columns]
        assert found.get_pk_constraint(table.name)["constrained_columns"] == keys, table.name
        # An index only for a part of the rows is known by its name alone.
        names = {index["name"] for index in found.get_indexes(table.name)}
        assert {str(index.name) for index in table.indexes} <= names, table.name
    engine.dispose()


def test_migrating_again_changes_nothing_and_keeps_what_is_there(new_url: str) -> None:
    migrate(new_url)
    store = open_store(new_url)
    store.commit(lambda conn: outbox.queue(conn, "kept", "pinterest", b"{}", 1, 1))
    store.close()
    migrate(new_url)
    store = open_store(new_url)
    with store.read() as conn:
        assert [row.event_id for row in outbox.of_event(conn, "kept")] == ["kept"]
    store.close()


def test_processes_that_start_together_take_turns(new_url: str) -> None:
    with ThreadPoolExecutor(4) as starts:
        assert list(starts.map(migrate, [new_url] * 4)) == [None] * 4
    assert is_complete(new_url)


@pytest.mark.parametrize("revision", ["0000", "from-a-newer-release", None])
def test_a_service_is_not_ready_unless_its_database_is_at_its_own_schema(
    build_service: BuildService, database_url: str, revision: str | None
) -> None:
    client = assemble(build_service(database_url)).test_client()
    assert client.get("/ready").status_code == 200

    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        if revision is not None:
            insert = text("INSERT INTO alembic_version VALUES (:revision)")
            connection.execute(insert, {"revision": revision})
    found = client.get("/ready", headers=bearer())
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head()})
    engine.dispose()
    assert found.status_code == 503
    assert found.json is not None
    assert found.json["status"] == "unavailable"
    assert found.json["migrations_at_head"] is False


def test_a_service_without_a_database_is_not_ready_but_alive(
    build_service: BuildService, tmp_path: Path
) -> None:
    client = assemble(build_service(f"sqlite:///{tmp_path}/missing/tracking.db")).test_client()
    found = client.get("/ready", headers=bearer())
    assert found.status_code == 503
    assert found.json is not None
    assert found.json["store_writable"] is False
    assert client.get("/health").status_code == 200


# --- links, which held digests in hex once

_NEWER_TABLES = ("told_links", "clients")
_NEWER_INDEXES = ("outbox_of_order",)
_NEWER_COLUMNS: dict[str, dict[str, Any]] = {
    "orders": {"deleted_at": None, "taxes_included": 0, "kept": None},
    "outbox": {"order_id": ""},
    "conversions": {"visit_campaign_id": "", "visit_campaign": "", "is_visit_pinterest": 0},
    "refunds": {
        **dict.fromkeys(("tax", "other", "extra", "is_listed"), 0),
        **dict.fromkeys(("status", "version"), ""),
    },
}
_WITHOUT_SHARED_IDS = (
    "DROP INDEX conversions_sent_as",
    "DROP INDEX conversions_of_storefront",
    "ALTER TABLE conversions DROP COLUMN sent_as",
    "ALTER TABLE conversions DROP COLUMN storefront_id",
    "ALTER TABLE checkouts DROP COLUMN completed_as",
    "ALTER TABLE checkouts DROP COLUMN completed_at",
    "ALTER TABLE outbox DROP COLUMN shares_id",
)
_IN_BASE64 = re.compile("(em|id|ph):([A-Za-z0-9+/]{43})")


def as_of_0002(told: Any) -> Any:
    """A cell as the release before it would have written it."""
    return (
        _IN_BASE64.sub(lambda found: readable_key(found[0]), told)
        if isinstance(told, str)
        else told
    )


def test_people_are_known_again_after_their_links_were_shortened(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url, COLLECTOR_KEY="c" * 32)
    shop = Shop(assemble(service).test_client())
    for number in range(1, 4):
        placed = order(id=number, email="ann@example.com", landing_site=pinned(f"1{number}"))
        shop.sends("orders/create", placed | {"customer": {"id": number % 2 + 1}})
    before = everything(service.store)
    assert {len(row["link"]) for row in before["links"]} == {46}
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        if service.store.dialect == "postgresql":
            connection.execute(text("ALTER TABLE links DROP CONSTRAINT links_are_short"))
        for name, some in before.items():
            table = metadata.tables[name]
            connection.execute(table.delete())
            for row in some:
                old = {column: as_of_0002(cell) for column, cell in row.items()}
                connection.execute(table.insert().values(old))
        mark = {"mark": "em:0123456789abcdef", "erased_at": 5}
        connection.execute(metadata.tables["tombstones"].insert().values(mark))
        for statement in _WITHOUT_SHARED_IDS:
            connection.execute(text(statement))
        for name in _NEWER_TABLES:
            connection.execute(text(f"DROP TABLE {name}"))
        for name in _NEWER_INDEXES:
            connection.execute(text(f"DROP INDEX {name}"))
        for name, columns in _NEWER_COLUMNS.items():
            for column in columns:
                connection.execute(text(f"ALTER TABLE {name} DROP COLUMN {column}"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    engine.dispose()
    assert {len(row["link"]) for row in rows(service.store, "links")} == {67}

    migrate(database_url)

    after = everything(service.store)
    assert after.pop("tombstones") == [{"mark": "em:ASNFZ4mrze", "erased_at": 5}]
    for name, defaults in _NEWER_COLUMNS.items():
        before[name] = [row | defaults for row in before[name]]
    assert {**after, "tombstones": []} == before


# --- events, each of which was sent under its own id once


def test_what_an_older_release_has_sent_or_tried_keeps_its_id(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    front = Storefront(
        build_service(
            database_url,
            pinterest=pinterest,
            PINTEREST_SEND="all",
            COLLECTOR_KEY=COLLECTOR_KEY,
            PINTEREST_APP="beside",
        ),
        pinterest,
        clock,
    )
    front.sells(id=1)
    front.sent()
    pinterest.mode = "down"
    front.sells(id=2, checkout_token=CHECKOUT_TOKEN)
    clock.tick(seconds=120)
    front.sent()
    pinterest.mode = "ok"
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        for statement in _WITHOUT_SHARED_IDS:
            connection.execute(text(statement))
        connection.execute(text("UPDATE alembic_version SET version_num = '0009'"))
    engine.dispose()

    migrate(database_url)
    front.checks_out("visitor-1234", 120)
    clock.tick(hours=0.5)

    assert set(front.sent()) == {"checkout-1", "checkout-2"}
    assert front.journey(1)["sent_as"] == "checkout-1"
    journey = front.journey(2)
    assert journey["sent_as"] == "checkout-2"
    assert journey["missed_storefront_id"] == "shu-checkout_completed-visitor-1234-1795176000"


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_an_older_release_still_writes_beside_this_one_is_refused(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    link = f"em:{'0a' * 32}"
    with pytest.raises(psycopg.errors.CheckViolation):
        service.store.commit(lambda conn: identity_graph.link(conn, [link], link))
