"""What an operator does with quarantined bodies and dead letters that nobody can mend."""

import json

import pytest
from flask import Flask

from tests.actors import DAY, Clock, Operator, Shop, instant, order
from tests.standins.pinterest import FakePinterest
from tests.store_contents import rows
from tracking.service import Service

BODY = b'{"email": "ada@example.com", "note": "\xc3\xbc"}'


@pytest.fixture
def operator(app: Flask) -> Operator:
    return Operator(app)


@pytest.fixture
def with_dead_letters(shop: Shop, operator: Operator, pinterest: FakePinterest) -> None:
    """A shop with three orders, of which Pinterest refused the first two."""
    for number in (1, 2, 3):
        shop.sends("orders/create", order(id=number))
    pinterest.poisoned = frozenset({"checkout-1", "checkout-2"})
    pinterest.mode = "partial"
    operator.reads("deliver")
    pinterest.mode = "ok"


# --- quarantined bodies


def test_a_quarantined_body_is_shown_as_it_came(shop: Shop, operator: Operator) -> None:
    shop.sends("orders/create", BODY)

    result = operator.types("quarantine", "--show", "1")

    assert result.stdout == BODY.decode() + "\n"
    assert "a person's data in clear text" in result.stderr


def test_a_shown_body_cannot_write_to_the_terminal(shop: Shop, operator: Operator) -> None:
    shop.sends("orders/create", b"{\x1b]0;owned\x07\xff\xc2\x9b")

    assert operator.reads("quarantine", "--show", "1").splitlines()[-1] == (
        r"{\x1b]0;owned\x07\xff\x9b"
    )


def test_a_discarded_body_is_erased_and_doctor_is_content(
    shop: Shop, operator: Operator, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    shop.sends("orders/create", BODY)
    shop.sends("orders/create", b"{}")
    assert operator.types("doctor").exit_code == 1

    assert (
        operator.reads("quarantine", "--discard", "1", "--discard", "2") == "2 bodies discarded\n"
    )

    assert operator.reads("quarantine") == "nothing in quarantine\n"
    assert operator.types("doctor").exit_code == 0
    assert {row["body"] for row in rows(service.store, "quarantine")} == {b""}
    first, _ = [line for line in caplog.messages if "discarded" in line]
    assert first.startswith("quarantined body 1 discarded: orders/create of 2026-11-20T12:00:00Z")
    assert first.endswith("id: not a Shopify id")
    assert "ada" not in caplog.text


def test_the_whole_quarantine_is_discarded_in_one_go(shop: Shop, operator: Operator) -> None:
    for number in range(3):
        shop.sends("orders/create", json.dumps({"n": number}).encode())

    assert operator.reads("quarantine", "--discard-all") == "3 bodies discarded\n"
    assert operator.reads("quarantine", "--discard-all") == "0 bodies discarded\n"


def test_a_discarded_body_that_comes_again_stays_discarded(shop: Shop, operator: Operator) -> None:
    shop.sends("orders/create", BODY)
    operator.reads("quarantine", "--discard", "1")

    assert shop.sends("orders/create", BODY).get_json()["status"] == "quarantined"
    assert operator.reads("quarantine") == "nothing in quarantine\n"


@pytest.mark.parametrize("option", ["--show", "--discard"])
def test_a_body_that_is_not_in_quarantine_is_one_line(operator: Operator, option: str) -> None:
    assert operator.is_told("quarantine", option, "7") == "nothing of id 7 is in quarantine"


def test_showing_and_discarding_are_two_commands(operator: Operator) -> None:
    for command in ("quarantine", "dead-letters"):
        result = operator.types(command, "--show", "1", "--discard", "1")
        assert result.exit_code == 2
        assert "--show and --discard: give one of them" in result.stderr


# --- dead letters


@pytest.mark.usefixtures("with_dead_letters")
def test_a_dead_letter_is_shown_with_every_answer_and_only_digests(operator: Operator) -> None:
    said = operator.reads("dead-letters", "--show", "checkout-1")

    first, answer, *event = said.splitlines()
    assert first == "checkout-1 to pinterest: Invalid event_id: checkout-1 is poisoned"
    assert answer.startswith("2026-11-20T12:00:00Z ")
    shown = json.loads("\n".join(event))
    assert shown["event_id"] == "checkout-1"
    assert "client_ip_address" not in shown["user_data"]
    assert "ada" not in said


@pytest.mark.usefixtures("with_dead_letters")
def test_discarded_dead_letters_leave_nothing_to_do(
    operator: Operator, service: Service, shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    assert operator.types("doctor").exit_code == 1

    assert operator.reads("dead-letters", "--discard", "checkout-1") == "1 dead letter discarded\n"
    assert operator.reads("dead-letters", "--discard-all") == "1 dead letter discarded\n"

    assert operator.types("doctor").exit_code == 0
    assert operator.reads("dead-letters") == "no dead letters\n"
    assert operator.reads("replay") == "0 dead letters put back in line\n"
    told = operator.is_told("replay", "--event-id", "checkout-1")
    assert told == "checkout-1 is no dead letter: it is discarded"
    assert [row["payload"] for row in rows(service.store, "outbox")][:2] == [b"", b""]
    line, _ = [line for line in caplog.messages if "discarded" in line]
    assert line.startswith("dead letter checkout-1 to pinterest discarded, of 2026-11-20T12:00:00Z")
    assert shop.reads("/orders/1/journey")["why"].endswith(
        "given up: Pinterest did not take the event (Invalid event_id: checkout-1 is poisoned)."
    )
    found = shop.reads("/events", state="discarded")["events"]
    assert [event["event_id"] for event in found] == ["checkout-1", "checkout-2"]


@pytest.mark.usefixtures("with_dead_letters")
def test_a_newer_state_of_the_order_brings_no_discarded_event_back(
    operator: Operator, shop: Shop, clock: Clock, pinterest: FakePinterest
) -> None:
    operator.reads("dead-letters", "--discard-all")
    clock.tick(seconds=60)

    shop.sends("orders/updated", order(id=1, updated_at=instant(clock()), note="changed"))
    operator.reads("deliver")

    assert set(pinterest.accepted) == {"checkout-3"}


@pytest.mark.usefixtures("with_dead_letters")
def test_discarded_events_are_purged_like_sent_ones(
    operator: Operator, service: Service, clock: Clock
) -> None:
    operator.reads("dead-letters", "--discard-all")
    clock.now += 401 * DAY
    operator.reads("purge")

    assert rows(service.store, "outbox") == []


@pytest.mark.usefixtures("with_dead_letters")
@pytest.mark.parametrize("event", ["checkout-3", "checkout-9"])
def test_an_event_that_is_no_dead_letter_is_not_discarded(operator: Operator, event: str) -> None:
    told = f"{event} is no dead letter"
    assert operator.is_told("dead-letters", "--discard", event) == told
    assert operator.is_told("dead-letters", "--show", event) == told
    assert operator.types("dead-letters", "--discard", "").exit_code == 2
