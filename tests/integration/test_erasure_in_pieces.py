"""An erasure goes piece by piece: no webhook waits, and nothing in between brings anybody back."""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, TypeVar

import pytest

from app import assemble
from tests.actors import NOW, Clock, Operator, Shop, instant, notes, order, pinned
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, rows
from tests.watched_store import MeasuredStore, WatchedStore
from tracking.domain.identity import Digest, identity_key
from tracking.receive.privacy.pending import PendingErasures
from tracking.receive.privacy.requests import PrivacyRequests
from tracking.service import Service
from tracking.store import Store, StoreUnavailable
from tracking.store.engine.statement import SHORT_TRANSACTION, Connection
from tracking.store.pending_erasures import POSTPONED_SECONDS

T = TypeVar("T")
EMAIL, CUSTOMER = "canary.bird@example.com", 987_654_321_012
EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
SHOP = {"shop_id": 1, "shop_domain": "mug.myshopify.com"}
REDACT = {**SHOP, "customer": {"id": CUSTOMER, "email": EMAIL}}


@pytest.fixture
def service(build_service: BuildService, database_url: str, pinterest: FakePinterest) -> Service:
    """A service on each database that sends every order."""
    return build_service(database_url, pinterest=pinterest, PINTEREST_SEND="all")


@pytest.fixture
def shop(service: Service) -> Shop:
    return Shop(assemble(service).test_client())


def hers(number: int, **changes: Any) -> dict[str, Any]:
    """An order of the person who is erased, from a browser of its own."""
    body = order(
        id=number,
        name=f"#{number}",
        email=EMAIL,
        customer={"id": CUSTOMER},
        landing_site=pinned("11", epik=EPIK),
        note_attributes=notes(pin_vid=f"her-browser-{number:04d}"),
        cart_token=f"her-cart-{number:04d}",
    )
    return body | changes


def bobs(number: int, **changes: Any) -> dict[str, Any]:
    body = order(
        id=number,
        email="bob@example.com",
        customer={"id": 3},
        landing_site="/",
        note_attributes=notes(pin_vid="bobs-browser-01"),
    )
    return body | changes


def sends(shop: Shop, topic: str, body: dict[str, Any]) -> str:
    answer = shop.sends(topic, body)
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return str(answer.get_json()["status"])


class Unwilling(PendingErasures):
    """Erasures that are left to the background."""

    def go_on_in_webhook(self, id: int, begun: float) -> bool:
        """Does nothing."""
        return True


def accept(service: Service, topic: str = "customers/redact") -> None:
    """Take an erasure, and do none of its pieces."""
    unwilling = Unwilling(service.store, service.tracker.eraser, service.clock)
    parts = (service.store, service.tracker, unwilling, service.privacy.at_pinterest)
    requests = PrivacyRequests(*parts, service.clock)
    receive = requests.redact if topic == "customers/redact" else requests.shop_redact
    body = REDACT if topic == "customers/redact" else SHOP
    assert receive(json.dumps(body).encode(), topic).status == "accepted"


def pieces(service: Service, store: Store | None = None) -> Iterator[int]:
    """Do one piece after the other, each by a process that has just started."""
    number = 0
    while True:
        just_started = PendingErasures(
            store or service.store, service.tracker.eraser, service.clock
        )
        if not just_started.go_on(seconds=0):
            return
        yield number
        number += 1


def traces(service: Service) -> list[tuple[str, str]]:
    """What is left of the person, as table and trace."""
    digests = [sha256(text.encode()).hexdigest() for text in (EMAIL, str(CUSTOMER))]
    keys = [identity_key(kind, Digest(d)) for kind, d in zip(("em", "id"), digests, strict=True)]
    known = (*digests, *(key.partition(":")[2] for key in keys), EPIK, "her-browser", "her-cart")
    return [
        (table, trace)
        for table, some in everything(service.store).items()
        for trace in known
        if trace in repr(some)
    ]


def reports(shop: Shop) -> list[Any]:
    return [
        shop.reads("/conversion-funnel", traffic="all"),
        shop.reads("/roi-analysis", scope="all", model="linear"),
    ]


def test_no_piece_is_longer_however_many_orders_a_person_has(service: Service, shop: Shop) -> None:
    for number in range(1, 121):
        sends(shop, "orders/create", hers(number))
    before = reports(shop)
    accept(service)
    store = MeasuredStore(service.store)

    assert len([*pieces(service, store)]) > 5

    # The last step of a transaction may go beyond it.
    assert store.largest < SHORT_TRANSACTION + 100
    assert not traces(service) and not rows(service.store, "pending_erasures")
    assert reports(shop) == before


def test_no_piece_is_longer_however_many_orders_a_shop_has(
    service: Service, shop: Shop, clock: Clock
) -> None:
    for number in range(1, 251):
        sends(shop, "orders/create", hers(number))
    clock.tick(days=3)
    before = reports(shop)
    accept(service, "shop/redact")
    store = MeasuredStore(service.store)

    assert len([*pieces(service, store)]) > 14

    assert store.largest < 2 * SHORT_TRANSACTION + 100
    assert not traces(service) and not rows(service.store, "pending_erasures")
    assert reports(shop) == before


@pytest.mark.parametrize("topic", ["customers/redact", "shop/redact"])
def test_what_arrives_between_two_pieces_brings_nobody_back(
    service: Service, shop: Shop, clock: Clock, topic: str
) -> None:
    for number in range(1, 61):
        sends(shop, "orders/create", hers(number))
    for number in range(101, 103):
        sends(shop, "orders/create", bobs(number))
    clock.tick(days=3)
    accept(service, topic)

    for n in pieces(service):
        for number in (n % 60 + 1, 60 - n % 60):
            body = hers(number, updated_at=instant(NOW + 60 * (n + 1)))
            assert sends(shop, "orders/updated", body) in ("accepted", "stale")
        if topic == "customers/redact":
            sends(shop, "orders/create", hers(200 + n))

    assert traces(service) == []
    # Whoever was not meant is left alone.
    if topic == "customers/redact":
        assert rows(service.store, "links") != []
    assert shop.reads("/roi-analysis", scope="all")["orders"] == len(rows(service.store, "orders"))


@pytest.mark.parametrize("topic", ["customers/redact", "shop/redact"])
def test_a_kill_between_any_two_transactions_loses_nothing(
    build_service: BuildService, sqlite_url: str, clock: Clock, topic: str
) -> None:
    service = build_service(sqlite_url)
    shop = Shop(assemble(service).test_client())
    for number in range(1, 61):
        sends(shop, "orders/create", hers(number))
    sends(shop, "orders/create", bobs(101))
    clock.tick(days=3)
    before = reports(shop)
    accept(service, topic)
    dying = WatchedStore(service.store)

    kills = 0
    while rows(service.store, "pending_erasures"):
        # The next transaction is the last one of this process, and the one after is in vain.
        dying.breaks_after = dying.commits + 1
        try:
            PendingErasures(dying, service.tracker.eraser, clock).go_on(seconds=60)
        except StoreUnavailable:
            kills += 1

    assert kills >= 5
    assert traces(service) == []
    assert reports(shop) == before


def test_two_processes_may_erase_the_same_person_at_once(service: Service, shop: Shop) -> None:
    for number in range(1, 41):
        sends(shop, "orders/create", hers(number))
    before = reports(shop)
    accept(service)
    one, other = (
        PendingErasures(service.store, service.tracker.eraser, service.clock) for _ in range(2)
    )

    while one.go_on(seconds=0):
        other.go_on(seconds=0)
        late = one._next()
        other.go_on(seconds=0)
        if late is not None:
            # The other one has come further than this one knows.
            one._go_on_with(late, deadline=0)

    assert traces(service) == []
    assert reports(shop) == before


def test_the_operator_learns_that_an_erasure_is_under_way(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url)
    sends(Shop(assemble(service).test_client()), "orders/create", hers(1))
    accept(service)
    operator = Operator(assemble(service))

    assert "under way: the person is being erased" in operator.types("privacy").output
    assert "a person is being erased" in operator.types("doctor").output

    assert not service.pending_erasures.go_on(seconds=60)
    assert "no erasure is left to do" in operator.types("privacy").output


def test_an_erasure_that_always_fails_keeps_no_other_from_it(
    service: Service, shop: Shop, clock: Clock
) -> None:
    sends(shop, "orders/create", hers(1))
    accept(service)

    def spoil(conn: Connection) -> None:
        conn.cursor.execute("UPDATE pending_erasures SET rest = 'no plan'")

    service.store.commit(spoil)
    clock.tick(seconds=1)
    accept_again = {**REDACT, "orders_to_redact": [1]}

    assert sends(shop, "customers/redact", accept_again) == "accepted"

    assert traces(service) == [("pending_erasures", trace) for trace in trace_in_pending(service)]
    (left,) = rows(service.store, "pending_erasures")
    clock.tick(seconds=POSTPONED_SECONDS)
    service.store.commit(lambda conn: conn.cursor.execute("UPDATE pending_erasures SET rest = ''"))
    assert not service.pending_erasures.go_on(seconds=60)
    assert left["rest"] == "no plan"
    assert traces(service) == []


def trace_in_pending(service: Service) -> list[str]:
    return [trace for table, trace in traces(service) if table == "pending_erasures"]
