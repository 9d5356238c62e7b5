"""A database of PostgreSQL may sort by the rules of a language, where signs have other places."""

from typing import Any

import pytest

from app import assemble
from tests.actors import NOW, Shop, order
from tests.conftest import BuildService
from tests.store_contents import rows
from tracking.store import customers, identity_graph
from tracking.store.engine.statement import Connection

COLUMNS = {"touches": "key", "told_links": "link", "links": "link"}


class UndoneError(Exception):
    """Takes the other collation back."""


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_orders_and_emails_are_found_whatever_the_database_sorts_by(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    Shop(assemble(service).test_client()).sends("orders/create", order(id=1))
    (known,) = rows(service.store, "orders")
    (email,) = [key for key in known["links"].split() if key.startswith("em:")]
    found: dict[str, Any] = {}

    def look(conn: Connection) -> None:
        for table, column in COLUMNS.items():
            changed = f'ALTER COLUMN {column} TYPE text COLLATE "en-x-icu"'
            conn.cursor.execute(f"ALTER TABLE {table} {changed}")
        identity_graph.tell(conn, ["em:told"], "v1")
        found["earlier"] = [row.id for row in customers.earlier(conn, email, "2", int(NOW) + 1)]
        found["emails"] = {
            *identity_graph.emails_of(conn, "v1"),
            *identity_graph.emails_of(conn, known["visitor"]),
        }
        raise UndoneError

    with pytest.raises(UndoneError):
        service.store.commit(look)
    assert found == {"earlier": ["1"], "emails": {"em:told", email}}
