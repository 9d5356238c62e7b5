"""What one buyer sets off at once reaches the service by several callers at once."""

import random
import shutil
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import make_url

from app import assemble
from tests.actors import HOUR, NOW, Shop, instant, order, pinned
from tests.conftest import POSTGRES, BuildService
from tests.messages import Fact, checkout, pixel
from tests.reading import until
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.service import Service
from tracking.store.migrations import migrate

BUYERS, CALLERS = 20, 8


@dataclass(frozen=True)
class OwnDatabase:
    """A PostgreSQL database that nobody else uses, so that its deadlocks are this test's."""

    name: str
    url: str

    def deadlocks(self) -> int:
        """How many there were, once everybody has hung up and left their figures."""
        with psycopg.connect(POSTGRES, autocommit=True) as connection:
            gone = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = %s)"
            until(lambda: connection.execute(gone, [self.name]).fetchone() == (True,))
            found = connection.execute(
                "SELECT deadlocks FROM pg_stat_database WHERE datname = %s", [self.name]
            ).fetchone()
        assert found is not None
        return int(found[0])


@pytest.fixture
def own_database(postgres_url: str) -> Iterator[OwnDatabase]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        here = make_url(POSTGRES).set(drivername="postgresql+psycopg", database=name)
        url = here.render_as_string(hide_password=False)
        migrate(url)
        yield OwnDatabase(name, url)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def set_off_by(number: int) -> list[Fact]:
    """Two orders of a buyer, with what the buyer's browser and Shopify tell of the first."""
    visitor, token = f"browser-of-buyer-{number:04}", f"checkout-token-{number:06}"
    email = f"buyer{number}@example.com"
    buyer = {
        "email": email,
        "contact_email": email,
        "customer": {"id": 90_000 + number, "email": email},
        "billing_address": None,
    }
    first = {"id": 10_000 + number, "checkout_token": token, **buyer}
    return [
        Fact("created", order(**first), "orders/create"),
        Fact("paid", order(**first, updated_at=instant(NOW + 1)), "orders/paid"),
        Fact("updated", order(**first, updated_at=instant(NOW + 2)), "orders/updated"),
        Fact("another order", order(id=20_000 + number, **buyer), "orders/create"),
        pixel("page_viewed", visitor, HOUR, pinned("11", utm_campaign="summer")),
        checkout("checkout_started", visitor, 60, token, email=email),
        checkout("checkout_completed", visitor, 10, token, email=email),
    ]


def deliver_at_once(service: Service) -> None:
    facts = [fact for number in range(BUYERS) for fact in set_off_by(number)]
    # The messages of a buyer stay beside one another, in whatever order.
    facts.sort(key=lambda fact: random.Random(f"{fact}{fact.body}").random())
    facts.sort(key=buyer_of)
    app = assemble(service)
    with ThreadPoolExecutor(CALLERS) as threads:
        for told in [
            threads.submit(f.tell_until_taken, service, Shop(app.test_client())) for f in facts
        ]:
            told.result()


def buyer_of(fact: Fact) -> str:
    visitor = fact.body.get("visitor") or fact.body["email"].partition("@")[0]
    return str(visitor).lstrip("abcdefghijklmnopqrstuvwxyz-").zfill(4)


@pytest.fixture
def everything_in_a_row(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> Service:
    """The same messages, one after the other."""
    service = build_service(sqlite_url, pinterest=pinterest, COLLECTOR_KEY="shop-front-key")
    shop = Shop(assemble(service).test_client())
    for number in range(BUYERS):
        for fact in set_off_by(number):
            fact.tell(service, shop)
    return service


def test_callers_at_once_leave_what_one_caller_leaves(
    everything_in_a_row: Service,
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    sqlite_template: Path,
) -> None:
    if everything_in_a_row.settings.database_url == database_url:
        database_url += ".at-once"
        shutil.copy(sqlite_template, database_url.removeprefix("sqlite:///"))
    service = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY="shop-front-key")

    deliver_at_once(service)

    for table in ("orders", "credits"):
        assert rows(service.store, table) == rows(everything_in_a_row.store, table)


def test_postgresql_has_no_deadlock_to_break_up(
    build_service: BuildService, own_database: OwnDatabase, pinterest: FakePinterest
) -> None:
    service = build_service(own_database.url, pinterest=pinterest, COLLECTOR_KEY="shop-front-key")

    deliver_at_once(service)

    service.store.close()
    assert own_database.deadlocks() == 0
