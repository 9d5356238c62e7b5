"""Webhooks that are answered once they are on disk, with no thread that waits for it."""

import json
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from flask import Flask
from werkzeug.test import EnvironBuilder, run_wsgi_app

from app import assemble
from server.deferred import ANSWER_DEFERRED, DEFERRED
from server.security_headers import HEADERS
from tests.actors import SECRET, order
from tests.conftest import BuildService
from tests.store_contents import rows
from tracking.domain.order import Order
from tracking.receive.order_facts import OrderFacts
from tracking.receive.receipt import Receipt, Work
from tracking.service import Service
from tracking.store import Store, StoreUnavailable
from webhooks.signature import sign

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

PATIENCE = 20.0
BODY = json.dumps(order()).encode()
OTHER_BODY = json.dumps(order(id=7)).encode()
ORDERS = ["orders/create", "orders/paid", "orders/updated", "orders/cancelled"]


class Promised:
    """A server that lets applications answer later, and what the answer was in the end."""

    def __init__(self, app: Flask) -> None:
        self._app = app.wsgi_app
        self._is_known = threading.Event()
        self._answer: list[WSGIApplication] = []

    def sends(self, topic: str, body: bytes, signature: str = "") -> tuple[int, bytes]:
        """The answer to a webhook: status and body."""
        signature = signature or sign(body, SECRET.encode())
        environ = EnvironBuilder(
            f"/webhooks/{topic}",
            method="POST",
            data=body,
            headers=[("X-Shopify-Hmac-Sha256", signature)],
        ).get_environ()
        environ[ANSWER_DEFERRED] = self._take
        begun: list[str] = []

        def start(status: str, *_: Any) -> Callable[[bytes], object]:
            begun.append(status)
            return lambda piece: None

        pieces: Iterable[bytes] = self._app(environ, start)
        if pieces is not DEFERRED:
            return int(begun[0].split()[0]), b"".join(pieces)
        assert not begun, "an answer was begun that was to come later"
        assert self._is_known.wait(PATIENCE)
        (answer,) = self._answer
        told, status, headers = run_wsgi_app(answer, environ)
        assert set(HEADERS) <= set(headers.items())
        return int(status.split()[0]), b"".join(told)

    def _take(self, answer: "WSGIApplication") -> None:
        self._answer.append(answer)
        self._is_known.set()


class Troubled:
    """A store whose next commits fail with these errors."""

    def __init__(self, store: Store, *errors: Exception) -> None:
        self._store = store
        self._errors = list(errors)
        self.dialect = store.dialect

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit_later(self, work: Callable[[Any], Any]) -> Future[Any]:
        """As the store does it, or not."""
        if not self._errors:
            return self._store.commit_later(work)
        failed: Future[Any] = Future()
        failed.set_exception(self._errors.pop(0))
        return failed


@pytest.fixture
def quiet(build_service: BuildService, database_url: str) -> Service:
    """A service that sends nothing."""
    return build_service(database_url)


def troubled(service: Service, *errors: Exception) -> Promised:
    """The service whose next commits fail."""
    store = Troubled(service.tracker.store, *errors)
    service.tracker.store = service.tracker.quarantine.store = store
    return Promised(assemble(service))


@pytest.mark.parametrize("topic", ORDERS)
def test_an_order_is_answered_once_it_is_on_disk(quiet: Service, topic: str) -> None:
    answer = Promised(assemble(quiet)).sends(topic, BODY)
    assert answer == (200, b'{"status":"accepted","order_id":"5001"}')
    assert [row["topic"] for row in rows(quiet.store, "receipts")] == [topic]


def test_a_second_delivery_is_answered_as_one(quiet: Service) -> None:
    app = assemble(quiet)
    Promised(app).sends("orders/create", BODY)
    answer = Promised(app).sends("orders/create", BODY)
    assert answer == (200, b'{"status":"duplicate","order_id":"5001"}')


def test_a_body_that_is_no_order_is_kept_later_too(quiet: Service) -> None:
    answer = Promised(assemble(quiet)).sends("orders/create", b'{"id": "?"}')
    assert answer == (200, b'{"status":"quarantined","order_id":""}')
    assert len(rows(quiet.store, "quarantine")) == 1


def test_a_wrong_signature_is_refused_at_once(quiet: Service) -> None:
    status, _ = Promised(assemble(quiet)).sends("orders/create", BODY, "bm8=")
    assert status == 401
    assert rows(quiet.store, "receipts") == []


def test_what_cannot_be_stored_is_answered_503(quiet: Service) -> None:
    status, problem = troubled(quiet, StoreUnavailable("the disk is gone")).sends(
        "orders/create", BODY
    )
    assert status == 503
    assert b"the disk is gone" not in problem


def test_webhooks_that_cannot_be_stored_for_the_same_reason_leave_one_line(
    quiet: Service, caplog: pytest.LogCaptureFixture
) -> None:
    store = Troubled(quiet.store, *(StoreUnavailable("the disk is gone") for _ in range(3)))
    quiet.tracker.store = store
    app = assemble(quiet)

    assert [Promised(app).sends("orders/create", BODY)[0] for _ in range(3)] == [503] * 3

    lines = [r.getMessage() for r in caplog.records if "unavailable" in r.getMessage()]
    assert lines == ["store unavailable: the disk is gone"]


def test_a_fault_of_ours_about_one_order_is_not_that_of_the_others(quiet: Service) -> None:
    planner = quiet.tracker.planner
    facts_of = planner.facts_of

    def faulty(order: Order) -> OrderFacts:
        if order.id == "7":
            raise KeyError("ada@example.com")
        return facts_of(order)

    planner.facts_of = faulty  # type: ignore[assignment]
    receive = quiet.tracker.receive_order_deferred
    received = {
        number: receive(json.dumps(order(id=number)).encode(), "orders/create")
        for number in range(5, 10)
    }
    assert isinstance(received.pop(7).exception(PATIENCE), KeyError)
    assert {n: r.result(PATIENCE).status for n, r in received.items()} == dict.fromkeys(
        received, "accepted"
    )


def received_together(service: Service, *bodies: bytes) -> list[Future[Receipt]]:
    """What comes of orders that wait for the store at the same time."""
    all_wait = threading.Event()
    service.store.commit_later(lambda _: all_wait.wait(PATIENCE))
    receive = service.tracker.receive_order_deferred
    received = [receive(body, "orders/create") for body in bodies]
    all_wait.set()
    return received


def test_a_fault_of_ours_about_what_is_no_order_is_not_that_of_the_orders_beside_it(
    quiet: Service,
) -> None:
    def faulty(body: bytes, topic: str, reason: str, *, is_kept: bool = True) -> Work:
        raise KeyError("ada@example.com")

    quiet.tracker.quarantine.add_work = faulty  # type: ignore[method-assign]
    first, none, last = received_together(quiet, BODY, b"{}", OTHER_BODY)
    assert isinstance(none.exception(PATIENCE), KeyError)
    assert [each.result(PATIENCE).status for each in (first, last)] == ["accepted"] * 2


def test_an_order_that_no_database_can_hold_is_kept_out_alone(quiet: Service) -> None:
    planner = quiet.tracker.planner
    facts_of = planner.facts_of

    def too_large(order: Order) -> OrderFacts:
        facts = facts_of(order)
        if order.id != "7":
            return facts
        return msgspec.structs.replace(facts, order=msgspec.structs.replace(order, net=2**63))

    planner.facts_of = too_large  # type: ignore[assignment]
    third = json.dumps(order(id=8)).encode()
    first, large, last = received_together(quiet, BODY, OTHER_BODY, third)
    assert large.exception(PATIENCE) is not None
    assert [each.result(PATIENCE).status for each in (first, last)] == ["accepted"] * 2


def test_an_order_that_a_fault_of_ours_keeps_out_is_set_aside(quiet: Service) -> None:
    answer = troubled(quiet, KeyError("ada@example.com")).sends("orders/create", BODY)
    assert answer == (200, b'{"status":"quarantined","order_id":""}')
    (kept,) = rows(quiet.store, "quarantine")
    assert (bytes(kept["body"]), kept["reason"]) == (BODY, "failed: KeyError")


@pytest.mark.parametrize(
    ("second", "status"), [(StoreUnavailable("gone"), 503), (KeyError("x"), 500)]
)
def test_what_cannot_even_be_set_aside_is_not_answered_200(
    quiet: Service, second: Exception, status: int
) -> None:
    answered, _ = troubled(quiet, KeyError("x"), second).sends("orders/create", BODY)
    assert answered == status


def test_a_webhook_that_is_no_order_is_answered_at_once(quiet: Service) -> None:
    status, body = Promised(assemble(quiet)).sends("refunds/create", b"{}")
    assert (status, body) == (200, b'{"status":"quarantined","order_id":""}')
