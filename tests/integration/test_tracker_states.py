"""What one state of an order told, no other takes back by being silent, whichever comes first.

Apps that write an order's note attributes replace the whole list, so that a newer state may have
lost the visit and the consent that an older one told.
"""

import itertools
import shutil
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.actors import (
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    BuildWorld,
    Clock,
    Storefront,
    World,
    at_once,
    deliver,
    instant,
    notes,
    order,
    pinned,
)
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tests.store_contents import folder_in_memory, rows, state
from tracking.clients.outcome import BatchRefused, TryLater
from tracking.store import outbox

LAPTOP = "laptop-browser-1"
EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
CLICK = notes(__pin_vid=LAPTOP, __pin_epik=EPIK, __pin_touch=str(NOW - DAY))
BOTH_WAYS = pytest.mark.parametrize("is_reversed", [False, True], ids=["in turn", "reversed"])

State = dict[str, Any]


def states(*told: State) -> list[State]:
    """States of one order, a minute apart, oldest first."""
    return [order(updated_at=instant(NOW + 60 * n), **changes) for n, changes in enumerate(told)]


def tell(found: World, bodies: Sequence[State], *, is_reversed: bool = False) -> None:
    for body in reversed(bodies) if is_reversed else bodies:
        answer = found.shop.sends("orders/updated", body)
        assert answer.get_json()["status"] in ("accepted", "stale")


def refusing(consent: str, **changes: Any) -> list[State]:
    """An order with a word of consent, and its newer state that has lost it."""
    return states(
        {"note_attributes": notes(__pin_consent=consent), "landing_site": pinned(), **changes},
        {"landing_site": pinned()},
    )


# --- Consent


@BOTH_WAYS
def test_a_refusal_stands_though_a_newer_state_has_lost_it(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere()
    tell(found, refusing("marketing=no"), is_reversed=is_reversed)

    assert (found.reason(), found.told()) == ("consent_refused", {})
    assert found.shop.reads("/orders/5001/journey")["consent"]["marketing"] is False


@BOTH_WAYS
@pytest.mark.parametrize("consent", ["gpc=yes", "sale=no"])
def test_a_refused_sale_of_data_stands_though_a_newer_state_has_lost_it(
    everywhere: BuildWorld, consent: str, is_reversed: bool
) -> None:
    found = everywhere()
    tell(found, refusing(consent), is_reversed=is_reversed)

    event = found.event()
    assert (event["opt_out"], event["custom_data"]["opt_out_type"]) == (True, "LDP")


@BOTH_WAYS
def test_a_newer_yes_does_not_undo_a_refusal(world: BuildWorld, is_reversed: bool) -> None:
    found = world()
    yes = {"note_attributes": notes(__pin_consent="marketing=yes"), "landing_site": pinned()}
    no = {"note_attributes": notes(__pin_consent="marketing=no"), "landing_site": pinned()}
    tell(found, states(no, yes, {"landing_site": pinned()}), is_reversed=is_reversed)

    assert (found.reason(), found.told()) == ("consent_refused", {})


@BOTH_WAYS
def test_an_order_held_for_its_consent_is_sent_once_an_older_state_tells_it(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere(CONSENT_UNKNOWN="hold")
    tell(found, refusing("marketing=yes"), is_reversed=is_reversed)

    assert set(found.told()) == {"5001"}


def test_a_refusal_told_late_takes_back_what_was_held_for_a_click(world: BuildWorld) -> None:
    found = world()
    refused, silent = states(
        {"note_attributes": notes(__pin_consent="marketing=no")}, {"landing_site": "/"}
    )
    tell(found, [silent])
    assert [row["state"] for row in rows(found.service.store, "outbox")] == ["held"]

    tell(found, [refused])

    assert found.reason() == "consent_refused"
    assert rows(found.service.store, "outbox") == []


@pytest.mark.parametrize("is_newer", [False, True])
def test_a_dead_letter_is_not_replayed_against_a_refusal(
    everywhere: BuildWorld,
    pinterest: FakePinterest,
    monkeypatch: pytest.MonkeyPatch,
    is_newer: bool,
) -> None:
    found = everywhere()
    refused, silent = refusing("marketing=no")
    if is_newer:
        refused["updated_at"] = instant(NOW + 120)
    tell(found, [silent])
    with monkeypatch.context() as patched:
        send = found.service.destinations["pinterest"]
        patched.setattr(send, "send", lambda events: BatchRefused("no such thing"))
        deliver(found.service)
    assert [row["state"] for row in rows(found.service.store, "outbox")] == ["dead"]

    tell(found, [refused])
    found.service.store.commit(lambda conn: outbox.replay(conn, NOW, NOW - DAY))
    deliver(found.service)

    assert pinterest.accepted == {}
    (row,) = rows(found.service.store, "outbox")
    assert (row["state"], bytes(row["payload"])) == ("withdrawn", b"")


@pytest.mark.parametrize("is_newer", [False, True])
def test_a_limit_told_while_the_event_is_under_way_holds_for_its_next_attempt(
    everywhere: BuildWorld,
    pinterest: FakePinterest,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
    is_newer: bool,
) -> None:
    found = everywhere()
    limited, silent = refusing("gpc=1")
    if is_newer:
        limited["updated_at"] = instant(NOW + 120)

    def limits(events: Sequence[bytes]) -> TryLater:
        tell(found, [limited])
        return TryLater("no answer")

    tell(found, [silent])
    with monkeypatch.context() as patched:
        patched.setattr(found.service.destinations["pinterest"], "send", limits)
        deliver(found.service)
    clock.tick(hours=1)
    deliver(found.service)

    event = pinterest.events["checkout-5001"]
    assert event["opt_out"] is True
    assert event["custom_data"]["opt_out_type"] == "LDP"


def test_an_order_that_stops_to_be_sent_and_begins_again_while_under_way_is_tried_again(
    everywhere: BuildWorld,
    pinterest: FakePinterest,
    clock: Clock,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = everywhere()
    real, trial, again = states(*({"landing_site": pinned(), "test": n == 1} for n in range(3)))

    def changes(events: Sequence[bytes]) -> TryLater:
        tell(found, [trial, again])
        return TryLater("no answer")

    tell(found, [real])
    with monkeypatch.context() as patched:
        patched.setattr(found.service.destinations["pinterest"], "send", changes)
        deliver(found.service)
    clock.tick(hours=1)
    deliver(found.service)

    assert pinterest.accepted == {"checkout-5001": 1}


def test_a_refusal_told_while_the_event_is_under_way_keeps_it_from_being_tried_again(
    everywhere: BuildWorld, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = everywhere()
    refused, silent = refusing("marketing=no")

    def refuses(events: Sequence[bytes]) -> TryLater:
        tell(found, [refused])
        return TryLater("no answer")

    tell(found, [silent])
    with monkeypatch.context() as patched:
        patched.setattr(found.service.destinations["pinterest"], "send", refuses)
        deliver(found.service)
    clock.tick(hours=1)

    assert found.told() == {}
    assert [row["state"] for row in rows(found.service.store, "outbox")] == ["withdrawn"]


def test_what_the_browser_refuses_counts_though_the_order_has_lost_its_name(
    build_service: BuildService, database_url: str, pinterest: FakePinterest, clock: Clock
) -> None:
    service = build_service(database_url, pinterest=pinterest, COLLECTOR_KEY=COLLECTOR_KEY)
    front = Storefront(service, pinterest, clock)
    front.sees("page_viewed", LAPTOP, HOUR, consent={"marketing": False})
    for body in states({"note_attributes": CLICK}, {"landing_site": pinned()}):
        front.shop.sends("orders/updated", body)

    assert front.sent() == {}
    assert front.journey()["reason"] == "consent_refused"


def test_a_refusal_and_a_newer_state_without_it_at_once_end_in_the_refusal(
    everywhere: BuildWorld,
) -> None:
    found = everywhere()
    for number in range(1, 11):
        bodies = [{**body, "id": number} for body in refusing("marketing=no")]
        works = [partial(found.shop.sends, "orders/updated", body) for body in bodies]
        at_once(found.service.store, works)

    assert {found.reason(number) for number in range(1, 11)} == {"consent_refused"}
    assert found.told() == {}


# --- The visit


@BOTH_WAYS
def test_a_click_stands_though_a_newer_state_has_lost_it(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere()
    tell(found, states({"note_attributes": CLICK}, {}), is_reversed=is_reversed)

    journey = found.shop.reads("/orders/5001/journey")
    assert journey["why"].startswith("Credited to Pinterest: a click")
    assert (journey["visitor"], journey["match_method"]) == (LAPTOP, "note_attribute")
    assert found.event()["user_data"]["click_id"] == EPIK
    (touch,) = rows(found.service.store, "touches")
    assert (touch["visitor"], touch["at"]) == (LAPTOP, NOW - DAY)


@BOTH_WAYS
def test_what_a_newer_state_says_of_the_visit_counts_more(
    world: BuildWorld, is_reversed: bool
) -> None:
    found = world()
    first, second = notes(__pin_campaign_id="11"), notes(__pin_campaign_id="22")
    bodies = states({"note_attributes": first}, {"note_attributes": second}, {})
    tell(found, bodies, is_reversed=is_reversed)

    (known,) = rows(found.service.store, "orders")
    assert '"campaign_id":"22"' in known["session"]


@BOTH_WAYS
def test_a_visit_that_only_an_older_state_told_earns_the_buyers_other_orders(
    everywhere: BuildWorld, is_reversed: bool
) -> None:
    found = everywhere()
    at = instant(NOW - HOUR)
    found.sells(id=2, created_at=at, processed_at=at, updated_at=at, landing_site=None)
    tell(found, states({"note_attributes": CLICK}, {}), is_reversed=is_reversed)

    why = found.shop.reads("/orders/2/journey")["why"]
    assert why.startswith("Credited to Pinterest: a click")


# --- The order of arrival

NOTES = {
    "__pin_vid": ["laptop-browser-1", "phone-browser-1"],
    "__pin_epik": [EPIK],
    "__pin_campaign_id": ["11", "22"],
    "__pin_source": ["pinterest", "newsletter"],
    "__pin_touch": [str(NOW - DAY), str(NOW - 2 * DAY)],
    "__pin_consent": ["marketing=no", "marketing=yes", "gpc=1"],
}
told_notes = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(values) for name, values in NOTES.items()}
)
lives = st.lists(
    st.fixed_dictionaries(
        {
            "note_attributes": told_notes.map(lambda told: notes(**told)),
            "landing_site": st.sampled_from(["/", pinned("33"), "/?utm_source=newsletter"]),
        }
    ),
    min_size=2,
    max_size=4,
)

Fresh = Callable[[], World]


@pytest.fixture
def fresh(
    build_service: BuildService, sqlite_template: Path, pinterest: FakePinterest
) -> Iterator[Fresh]:
    """Makes worlds, each on an empty SQLite file of its own."""
    numbers = itertools.count()
    with folder_in_memory() as folder:

        def build() -> World:
            path = folder / f"{next(numbers)}.db"
            shutil.copy(sqlite_template, path)
            return World(build_service(f"sqlite:///{path}", pinterest=pinterest), pinterest)

        yield build


def known(found: World) -> dict[str, Any]:
    """What is known in the end, and of which orders an event waits."""
    stored: dict[str, Any] = state(found.service.store)
    stored["waiting"] = [row["event_id"] for row in stored["waiting"]]
    return stored


@given(life=lives, data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whichever_state_comes_first_the_same_is_known_in_the_end(
    fresh: Fresh, life: list[State], data: st.DataObject
) -> None:
    bodies = states(*life)
    usual, shuffled = fresh(), fresh()
    tell(usual, bodies)
    tell(shuffled, data.draw(st.permutations(bodies)))

    assert known(shuffled) == known(usual)
