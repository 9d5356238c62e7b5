"""Every start brings the database to the newest schema: whole, once, and whatever interrupts it."""

import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import (
    Connection,
    DefaultClause,
    NullPool,
    create_engine,
    inspect,
    text,
)

from app import assemble
from tests.actors import (
    CHECKOUT_TOKEN,
    COLLECTOR_KEY,
    HOUR,
    NOW,
    Clock,
    Shop,
    Storefront,
    bearer,
    instant,
    order,
    pinned,
    refund,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, is_complete, rows
from tracking.domain.identity import readable_key
from tracking.service import Service
from tracking.store import identity_graph, migrations, open_store, outbox
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
    store.commit(lambda conn: outbox.queue(conn, "kept", "pinterest", b"{}", event_time=1, now=1))
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
    "orders": {
        **dict.fromkeys(("deleted_at", "taxes_included", "kept", "peak")),
        "sold": 40_00,
    },
    "outbox": {"order_id": ""},
    "conversions": {"visit_campaign_id": "", "visit_campaign": "", "is_visit_pinterest": 0},
    "refunds": {
        **dict.fromkeys(("tax", "other", "extra", "is_listed"), 0),
        **dict.fromkeys(("status", "version", "pieces"), ""),
        "taxes_included": None,
    },
}
_FIGURES = (
    *("report_progress", "report_visitors", "report_campaigns", "report_marks"),
    *("funnel_weeks", "funnel_week_totals", "report_weeks"),
    *("funnel_totals", "funnel_versions", "funnel_campaigns", "credit_days", "credit_changes"),
    "ad_days",
)
_TRIGGERS = (
    *("conversions_changed", "conversions_renamed", "conversions_deleted"),
    *("credits_added", "credits_dropped", "credits_changed"),
)
_WITHOUT_VERSIONS = (
    *(f"DROP TRIGGER funnel_totals_{event}" for event in ("insert", "update", "delete")),
    "DROP TABLE funnel_versions",
)
_WITHOUT_PINTERESTS_FIGURES = (
    "ALTER TABLE credits DROP COLUMN ad_id",
    "ALTER TABLE credits DROP COLUMN pin_id",
    "DROP TABLE pinterest_ads",
    "DROP TABLE ad_spend",
    "DROP TABLE alerts",
    "DROP TABLE arrivals",
    "DROP TABLE pinterest_figures",
    "DROP TABLE pinterest_readings",
    "DROP TABLE pinterest_calls",
    *(f"DROP TABLE match_{name}" for name in ("days", "examples", "verdicts", "components")),
)
_TOLD = ("spend", "ad_spend", "pinterest_ads", "pinterest_figures")
_TOLD_TRIGGERS = {
    "sqlite": [f"{table}_{event}" for table in _TOLD for event in ("insert", "update", "delete")],
    "postgresql": [f"{table}_told" for table in _TOLD],
}
_FATES = ("accuracy_quarters", "accuracy_marks", "hint_quarters")
_FATE_TRIGGERS = (
    *("fates_added", "fates_decided", "fates_deleted"),
    *("fates_queued", "fates_settled", "fates_told", "fates_named"),
)
_COMPARED = ("compared_credits", "compared_days", "compared_marks")
_COMPARED_TRIGGERS = (
    *("compared_added", "compared_dropped", "compared_changed", "compared_decided"),
    *("compared_queued", "compared_settled", "compared_named", "compared_visited"),
)
_WITHOUT_CUSTOMERS = (
    "DROP TABLE pinterest_erasures",
    *(f"ALTER TABLE orders DROP COLUMN {c}" for c in ("is_first", "has_earlier", "customer_type")),
    "ALTER TABLE checkouts DROP COLUMN is_first",
    "ALTER TABLE credits DROP COLUMN customer_type",
    *(f"ALTER TABLE outbox DROP COLUMN told_{name}" for name in ("value", "currency")),
)
_WITHOUT_REFUSED = (
    *_WITHOUT_CUSTOMERS,
    *_WITHOUT_PINTERESTS_FIGURES,
    "DROP TABLE refused_webhooks",
    "DROP TABLE pending_erasures",
    "DROP TABLE pixel_backlog",
    "DROP TABLE deliverers",
    "DROP TABLE attempt_sums",
    "DROP INDEX spend_of_campaign",
    "DROP INDEX outbox_due_of_kind",
    "ALTER TABLE outbox DROP COLUMN is_browser",
    "ALTER TABLE accounts DROP COLUMN next_browser_call_at",
)
_WITHOUT_UNFILLED = (
    "ALTER TABLE orders DROP COLUMN lines",
    "DROP INDEX touches_unfilled",
    "ALTER TABLE touches DROP COLUMN unfilled",
)
# What came with the tenth schema, and in tables after it.
_WITHOUT_SHARED_IDS = (
    *_WITHOUT_REFUSED,
    *_WITHOUT_UNFILLED,
    "DROP INDEX conversions_sent_as",
    "DROP INDEX conversions_of_storefront",
    "ALTER TABLE conversions DROP COLUMN sent_as",
    "ALTER TABLE conversions DROP COLUMN storefront_id",
    "ALTER TABLE checkouts DROP COLUMN completed_as",
    "ALTER TABLE checkouts DROP COLUMN completed_at",
    "ALTER TABLE outbox DROP COLUMN shares_id",
)
_WITHOUT_SOLD = (
    "ALTER TABLE orders DROP COLUMN sold",
    "ALTER TABLE orders DROP COLUMN peak",
    "ALTER TABLE refunds DROP COLUMN pieces",
    "ALTER TABLE refunds DROP COLUMN taxes_included",
)
_VERSIONS = ("told_versions", "summed_weeks")
_IN_BASE64 = re.compile("(em|id|ph):([A-Za-z0-9+/]{43})")


def drop(connection: Connection, triggers: Iterable[str], tables: Iterable[str]) -> None:
    for name in triggers:
        trigger = f"TRIGGER {name}" if connection.dialect.name == "sqlite" else ""
        connection.execute(text(f"DROP {trigger or f'FUNCTION {name} CASCADE'}"))
    for name in tables:
        connection.execute(text(f"DROP TABLE {name}"))


def drop_figures(connection: Connection) -> None:
    """Takes away the tables of figures, and their triggers."""
    on_sqlite = connection.dialect.name == "sqlite"
    drop(connection, (*_TRIGGERS, *["conversions_numbered_again"] * on_sqlite), _FIGURES)
    drop(connection, _FATE_TRIGGERS, _FATES)
    drop(connection, _COMPARED_TRIGGERS, _COMPARED)
    drop(connection, _TOLD_TRIGGERS[connection.dialect.name], _VERSIONS)
    connection.execute(text("DROP INDEX conversions_purchases"))
    connection.execute(text("DROP INDEX conversions_of_buyer"))
    connection.execute(text("DROP INDEX orders_by_name"))


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
    service.figures.finish()
    before = everything(service.store)
    before |= {name: [] for name in (*_FIGURES, *_FATES, *_COMPARED, *_VERSIONS)}
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
        drop_figures(connection)
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
    for row in before["orders"]:
        row |= {"lines": "", "has_earlier": 0, "customer_type": ""}
    for row in before["credits"]:
        row |= {"ad_id": None, "pin_id": None, "customer_type": ""}
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
        drop_figures(connection)
        for statement in (*_WITHOUT_SHARED_IDS, *_WITHOUT_SOLD):
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


# --- refunds, of which goods and payment alone were stored once

_SOLD = (
    order(id=1),
    order(
        id=2,
        taxes_included=True,
        subtotal_price="119.00",
        total_price="126.00",
        total_tax="19.00",
        line_items=[{"id": 1, "price": "59.50", "quantity": 2, "tax_lines": [{"price": "19.00"}]}],
    ),
)
# Gross, refunds and cancellations. Prices that include taxes were given back with them.
_AS_BEFORE = {"1": (40_00, 20_00, 0), "2": (100_00, 59_50, 0)}


def _given_back(order_id: int, subtotal: str, tax: str, paid: str, **more: Any) -> dict[str, Any]:
    piece = {"line_item_id": 1, "quantity": 1, "subtotal": subtotal, "total_tax": tax}
    payment = {"kind": "refund", "status": "success", "amount": paid, "currency": "USD"}
    return refund(
        id=order_id,
        order_id=order_id,
        **{"refund_line_items": [piece], "transactions": [payment], **more},
    )


def _refunds(**more: Any) -> list[dict[str, Any]]:
    return [
        _given_back(1, "20.00", "1.50", "21.50", **more),
        _given_back(2, "59.50", "9.50", "59.50", **more),
    ]


def _figures(service: Service) -> dict[str, tuple[int, ...]]:
    names = ("gross", "refunds", "cancellations")
    return {row["id"]: tuple(row[n] for n in names) for row in rows(service.store, "orders")}


@pytest.fixture
def older_refunds(build_service: BuildService, database_url: str) -> Service:
    """A service whose orders and refunds were stored by the release before its schema."""
    service = build_service(database_url)
    shop = Shop(assemble(service).test_client())
    for sold in _SOLD:
        shop.sends("orders/create", sold)
    for back in _refunds():
        shop.sends("refunds/create", back)
    engine = create_engine(database_url, poolclass=NullPool)
    with engine.begin() as connection:
        drop_figures(connection)
        for statement in _WITHOUT_SHARED_IDS:
            connection.execute(text(statement))
        for column in ("taxes_included", "kept", "sold", "peak"):
            connection.execute(text(f"ALTER TABLE orders DROP COLUMN {column}"))
        for column in _NEWER_COLUMNS["refunds"]:
            connection.execute(text(f"ALTER TABLE refunds DROP COLUMN {column}"))
        connection.execute(text("UPDATE orders SET refunds = 5950 WHERE id = '2'"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0008'"))
    engine.dispose()
    migrate(database_url)
    return service


def test_refunds_of_an_older_release_go_on_counting_as_they_did(older_refunds: Service) -> None:
    shop = Shop(assemble(older_refunds).test_client())
    assert _figures(older_refunds) == _AS_BEFORE

    for back in _refunds():
        shop.sends("refunds/create", back)
    assert _figures(older_refunds) == _AS_BEFORE


def test_a_newer_state_that_tells_no_refund_takes_none_of_an_older_release_back(
    older_refunds: Service,
) -> None:
    shop = Shop(assemble(older_refunds).test_client())

    for sold in _SOLD:
        shop.sends("orders/updated", {**sold, "updated_at": instant(NOW + 2 * HOUR)})

    assert _figures(older_refunds) == _AS_BEFORE


def test_a_newer_state_that_tells_the_refunds_of_an_older_release_corrects_them(
    older_refunds: Service,
) -> None:
    shop = Shop(assemble(older_refunds).test_client())

    for sold, back in zip(_SOLD, _refunds(), strict=True):
        shop.sends("refunds/create", {**back, "note": "told again"})
        newer = {"updated_at": instant(NOW + 2 * HOUR), "refunds": [back]}
        shop.sends("orders/updated", {**sold, **newer})

    assert _figures(older_refunds) == {"1": (40_00, 20_00, 0), "2": (100_00, 50_00, 0)}


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_an_older_release_still_writes_beside_this_one_is_refused(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    link = f"em:{'0a' * 32}"
    with pytest.raises(psycopg.errors.CheckViolation):
        service.store.commit(lambda conn: identity_graph.link(conn, [link], link))


# --- tables in the tree of their key


def test_in_sqlite_a_table_of_short_rows_is_stored_in_the_tree_of_its_key(sqlite_url: str) -> None:
    described = {
        name
        for name, table in metadata.tables.items()
        if not table.dialect_options["sqlite"]["with_rowid"]
    }
    engine = create_engine(sqlite_url, poolclass=NullPool)
    with engine.connect() as connection:
        found = connection.execute(
            text("SELECT name FROM sqlite_schema WHERE sql LIKE '%WITHOUT ROWID%'")
        )
        assert set(found.scalars()) == described
    engine.dispose()


def test_consent_is_known_after_the_visitors_were_stored_once(tmp_path: Path) -> None:
    new_url = f"sqlite:///{tmp_path}/new.db"
    with migrations._begun(new_url) as connection:
        command.upgrade(migrations._config(connection), "0021")
        names = ("visitor", "marketing", "marketing_at", "sale_of_data", "sale_of_data_at")
        before = [
            dict(zip(names, row, strict=True))
            for row in (("v0", 0, int(NOW), None, 0), ("v1", None, 0, 1, int(NOW)))
        ]
        marks = ", ".join(f":{name}" for name in names)
        put = text(f"INSERT INTO visitors ({', '.join(names)}) VALUES ({marks})")  # noqa: S608
        connection.execute(put, before)

    migrate(new_url)

    store = open_store(new_url)
    assert rows(store, "visitors") == before
    store.close()


@pytest.mark.parametrize(
    ("accounts", "known"), [((), ""), (("1",), "1"), (("1", "2"), "")], ids=str
)
def test_pinterests_figures_are_those_of_the_only_account_that_was_read(
    tmp_path: Path, accounts: tuple[str, ...], known: str
) -> None:
    new_url = f"sqlite:///{tmp_path}/new.db"
    with migrations._begun(new_url) as connection:
        command.upgrade(migrations._config(connection), "0034")
        figures = "(date, campaign_id, report_by, currency) VALUES ('2026-11-20', '11', '', 'USD')"
        connection.execute(text(f"INSERT INTO pinterest_figures {figures}"))
        readings = "(account, kind) VALUES (:account, 'conversions')"
        for account in accounts:
            connection.execute(
                text(f"INSERT INTO pinterest_readings {readings}"), {"account": account}
            )

    migrate(new_url)

    store = open_store(new_url)
    assert [row["account"] for row in rows(store, "pinterest_figures")] == [known]
    store.close()


@pytest.mark.parametrize("tables", [("credits", "conversions"), ("conversions", "credits")])
@pytest.mark.parametrize("new_url", ["postgresql"], indirect=True)
def test_the_figures_come_while_the_last_release_writes(
    new_url: str, tables: tuple[str, str]
) -> None:
    with migrations._begun(new_url) as connection:
        command.upgrade(migrations._config(connection), "0018")
    values = {
        "credits": "credits (placed_at, order_id, n, mask) VALUES (1, 'a', 1, 1)",
        "conversions": "conversions (event_id, stage) VALUES ('a', 'purchase')",
    }
    url = new_url.replace("+psycopg", "", 1)
    with (
        psycopg.connect(url) as webhook,
        psycopg.connect(url, autocommit=True) as watch,
        ThreadPoolExecutor() as threads,
    ):
        webhook.execute(f"INSERT INTO {values[tables[0]]}")
        migrated = threads.submit(migrations.migrate, new_url)
        waits = (
            "SELECT 1 FROM pg_locks JOIN pg_class ON pg_class.oid = relation"
            " WHERE NOT granted AND relname = %s AND relnamespace = current_schema()::regnamespace"
        )
        while watch.execute(waits, [tables[0]]).fetchone() is None:
            assert not migrated.done()
        told = 0
        try:
            webhook.execute(f"INSERT INTO {values[tables[1]]}")
        except psycopg.errors.DeadlockDetected:
            # Either may be chosen, by which of them waited last. A store writes it all again.
            webhook.rollback()
            migrated.result()
            for table in tables:
                webhook.execute(f"INSERT INTO {values[table]}")
            told = 1
        webhook.commit()
        migrated.result()
        assert watch.execute("SELECT count(*) FROM report_progress").fetchone() == (0,)
        assert watch.execute("SELECT count(*) FROM credit_changes").fetchone() == (told,)
