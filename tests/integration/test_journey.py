"""The story of one order: what touched its buyer, who was credited, what was sent, and why."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import pytest

from app import assemble
from tests.actors import DAY, HOUR, NOW, Clock, Shop, deliver, instant, notes, order, pinned, refund
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest
from tracking.domain.attribution import MODELS
from tracking.domain.conversion import REASONS
from tracking.service import Service

IP, BROWSER = "203.0.113.7", "Mozilla/5.0 (Macintosh)"
NOBODY: dict[str, Any] = {
    "email": None,
    "contact_email": None,
    "customer": None,
    "billing_address": None,
}


@pytest.fixture
def pinterest(clock: Clock) -> Iterator[FakePinterest]:
    """Pinterest, in whose house it is as late as in ours."""
    with FakePinterest("pina_test_token", "549755885175", clock=clock) as server:
        yield server


class Story:
    """A shop with settings of its own, and the story of its orders."""

    def __init__(self, service: Service, pinterest: FakePinterest) -> None:
        self.service = service
        self.pinterest = pinterest
        self.shop = Shop(assemble(service).test_client())

    def takes(self, topic: str = "orders/create", **changes: Any) -> None:
        assert self.shop.sends(topic, order(**changes)).status_code == 200

    def reads(self, order_id: int = 5001, **query: str) -> Any:
        return self.shop.reads(f"/orders/{order_id}/journey", **query)

    def why(self, order_id: int = 5001) -> str:
        """Both halves of the one sentence."""
        text = str(self.reads(order_id)["why"])
        assert text.endswith(".")
        assert text[0].isupper()
        return text


BuildStory = Callable[..., Story]


@pytest.fixture
def story(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> BuildStory:
    """Makes a shop: `story(PINTEREST_SEND="all")`."""
    return lambda **env: Story(build_service(sqlite_url, pinterest=pinterest, **env), pinterest)


def earlier(seconds: float, number: int, **changes: Any) -> dict[str, Any]:
    """An earlier order of the same buyer."""
    at = instant(NOW - seconds)
    return {"id": number, "created_at": at, "processed_at": at, "updated_at": at, **changes}


# --- Why it was credited, or not


def test_a_credited_order_names_the_pin_and_its_age(story: BuildStory) -> None:
    told = story()
    told.takes(**earlier(2 * DAY, 1, landing_site=pinned("11", utm_campaign="summer")))
    told.takes()
    assert told.why().startswith(
        "Credited to Pinterest: a click of campaign summer 2 days before the order lies in its "
        "attribution window; "
    )


def test_an_order_in_the_visit_of_the_click_is_credited(story: BuildStory) -> None:
    told = story()
    told.takes(landing_site=pinned("11"))
    assert "a click of campaign 11 in the visit of the order lies" in told.why()


def test_an_order_that_no_pin_touched_is_not_credited(story: BuildStory) -> None:
    told = story()
    told.takes()
    assert told.why() == (
        "Not credited to Pinterest: no click or view of a pin is known of this buyer; "
        "not sent: no Pinterest click or view lies in its attribution window."
    )


@pytest.mark.parametrize(
    ("seconds", "is_credited"), [(30 * DAY - 1, True), (30 * DAY, True), (30 * DAY + 1, False)]
)
def test_a_click_one_second_outside_its_window_is_told_as_outside(
    story: BuildStory, seconds: int, is_credited: bool
) -> None:
    told = story()
    told.takes(**earlier(seconds, 1, landing_site=pinned("11")))
    told.takes()
    (touch,) = [touch for touch in told.reads()["touches"] if touch["is_pinterest"]]
    assert (touch["age_seconds"], touch["in_window"]) == (seconds, is_credited)
    assert told.why().startswith(
        "Credited"
        if is_credited
        else "Not credited to Pinterest: the newest click, 30 days before the order, is outside "
        "its window;"
    )


def test_a_model_that_looks_at_views_says_that_it_gives_a_click_nothing(story: BuildStory) -> None:
    told = story(ATTRIBUTION_MODEL="view_through")
    told.takes(landing_site=pinned("11"))
    assert "the model view_through gives its touches nothing" in told.why()


@pytest.mark.parametrize(
    ("env", "changes", "because"),
    [
        ({}, {"test": True}, "it is a test order"),
        ({"PURCHASE_ON": "paid"}, {"financial_status": "pending"}, "it is not paid yet"),
    ],
)
def test_an_order_that_does_not_count_says_so(
    story: BuildStory, env: dict[str, str], changes: dict[str, Any], because: str
) -> None:
    told = story(**env)
    told.takes(landing_site=pinned("11"), **changes)
    assert told.why().startswith(f"Not counted: {because}; not sent: ")


def test_an_order_is_found_by_its_global_id_too(story: BuildStory) -> None:
    told = story()
    told.takes()
    plain = told.reads()
    for kind in ("Order", "OrderIdentity"):
        assert told.shop.reads(f"/orders/gid://shopify/{kind}/5001/journey") == plain
        assert told.shop.reads(f"/orders/GID://Shopify/{kind}/5001/journey") == plain


# --- Why it was sent, or not

IMPORTED = instant(NOW - 3 * DAY)
OLD = instant(NOW - 8 * DAY)
REFUSED = notes(pin_consent="marketing=no")
# More seconds than Pinterest's time has digits.
FAR_AHEAD = "2290-01-01T00:00:00+00:00"
ALL_BACK = [{"id": 1, "line_item_id": 1, "quantity": 2, "subtotal": 40.0, "total_tax": 3.0}]

NOT_SENT: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "test": ({}, {"test": True}),
    "unpaid": ({"PURCHASE_ON": "paid"}, {"financial_status": "pending"}),
    "cancelled": ({}, {"cancelled_at": instant(NOW)}),
    "never_paid": ({}, {"financial_status": "voided"}),
    "refunded": ({}, {"refunds": [refund(refund_line_items=ALL_BACK, transactions=[])]}),
    "imported": ({}, {"processed_at": IMPORTED}),
    "expired": ({}, {"created_at": OLD, "processed_at": OLD}),
    "off": ({"PINTEREST_SEND": "off"}, {}),
    "report_only": ({"PINTEREST_ACCESS_TOKEN": ""}, {}),
    "consent_refused": ({}, {"note_attributes": REFUSED}),
    "consent_unknown": ({"CONSENT_UNKNOWN": "hold"}, {}),
    "no_identity": ({}, {**NOBODY, "client_details": None}),
    "renewal": (
        {"PINTEREST_SEND": "attributed"},
        {"source_name": "subscription_contract", "landing_site": None},
    ),
    "free": ({}, {"subtotal_price": "0.00"}),
    "copied": (
        {"PINTEREST_SEND": "attributed"},
        {"source_name": "shopify_draft_order", "note_attributes": notes(utm_source="pinterest")},
    ),
    "not_attributed": ({"PINTEREST_SEND": "attributed"}, {}),
    "unencodable": ({}, {"created_at": FAR_AHEAD, "processed_at": FAR_AHEAD}),
}


@pytest.mark.parametrize("reason", NOT_SENT)
def test_an_order_that_is_not_sent_says_why(story: BuildStory, reason: str) -> None:
    env, changes = NOT_SENT[reason]
    told = story(**{"PINTEREST_SEND": "all", **env})
    told.takes(**changes)
    found = told.reads()
    words = REASONS[reason].rstrip(".")
    assert (found["reason"], found["event"], found["deliveries"]) == (reason, None, [])
    assert f"; not sent: {words[0].lower()}{words[1:]}" in told.why()
    assert told.why().count(". ") == 0
    assert told.pinterest.calls == []


def test_every_reason_there_is_is_told_of_an_order() -> None:
    # Crawlers place no orders, of an erased person no journey is told, and an order's own event is
    # never the one that is replaced.
    others = {"bot", "erased", "told_by_order"}
    assert set(REASONS) - others == {"", "credited_late", "deleted", "told_before", *NOT_SENT}


def test_an_order_that_a_pin_earned_too_late_to_be_sent_says_so(
    story: BuildStory, clock: Clock
) -> None:
    told = story()
    told.takes()
    clock.tick(hours=1)
    told.takes(**earlier(2 * DAY, 1, landing_site=pinned("11")))
    found = told.reads()
    assert found["reason"] == "credited_late"
    words = REASONS["credited_late"].rstrip(".")
    assert found["why"].startswith("Credited to Pinterest: a click of campaign 11 2 days before")
    assert found["why"].endswith(f"; not sent: {words[0].lower()}{words[1:]}.")


def test_an_event_that_does_not_fit_says_where(story: BuildStory) -> None:
    env, changes = NOT_SENT["unencodable"]
    told = story(PINTEREST_SEND="all", **env)
    told.takes(**changes)
    assert "(/event_time: " in told.why()


def test_a_waiting_order_says_so(story: BuildStory) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes()
    assert told.why().endswith("; waiting to be sent to Pinterest.")
    (delivery,) = told.reads()["deliveries"]
    assert delivery == {
        "destination": "pinterest",
        "state": "waiting",
        "reason": "",
        "attempts": [],
    }


def test_an_order_that_waits_for_an_outage_to_end_tells_each_attempt(
    story: BuildStory, clock: Clock
) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes()
    told.pinterest.mode = "down"
    deliver(told.service)
    clock.tick(hours=1)
    deliver(told.service)
    (delivery,) = told.reads()["deliveries"]
    assert [attempt["at"] for attempt in delivery["attempts"]] == [
        "2026-11-20T12:00:00Z",
        "2026-11-20T13:00:00Z",
    ]
    for attempt in delivery["attempts"]:
        assert attempt["outcome"] == "later"
        assert "HTTP 503: The service is ramped down" in attempt["answer"]
    assert "; waiting to be sent to Pinterest (HTTP 503: " in told.why()


def test_a_sent_order_tells_the_answer(story: BuildStory) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes()
    deliver(told.service)
    assert told.why().endswith("; sent: Pinterest accepted the event after 1 attempt.")
    (delivery,) = told.reads()["deliveries"]
    assert delivery["attempts"] == [
        {"at": "2026-11-20T12:00:00Z", "outcome": "sent", "answer": "click_id is missing"}
    ]


def test_a_refused_order_tells_pinterests_words(story: BuildStory) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes()
    told.pinterest.mode, told.pinterest.poisoned = "partial", frozenset({"checkout-5001"})
    deliver(told.service)
    words = "Invalid event_id: checkout-5001 is poisoned"
    assert told.why().endswith(f"; refused: Pinterest did not take the event ({words}).")
    (delivery,) = told.reads()["deliveries"]
    assert (delivery["state"], delivery["attempts"][0]["answer"]) == ("dead", words)


def test_pinterests_words_that_are_a_sentence_do_not_end_twice(story: BuildStory) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes()
    told.pinterest.mode, told.pinterest.poisoned = "partial", frozenset({"checkout-5001"})
    told.pinterest.refusal = "No valid product of the catalogue."
    deliver(told.service)
    assert told.why().endswith(" did not take the event (No valid product of the catalogue).")


@pytest.mark.parametrize("is_sent_first", [True, False])
def test_a_cancelled_order_was_held_back_unless_it_was_sent_already(
    story: BuildStory, is_sent_first: bool
) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes()
    if is_sent_first:
        deliver(told.service)
    told.takes("orders/cancelled", cancelled_at=instant(NOW + 60), updated_at=instant(NOW + 60))
    deliver(told.service)
    found = told.reads()
    assert found["is_cancelled"] is True
    assert (found["cancellations"], found["revenue"]) == ("40.00", "0.00")
    assert told.why().endswith(
        "; sent: Pinterest accepted the event after 1 attempt."
        if is_sent_first
        else "; not sent: the order was cancelled before its event was sent."
    )


def test_an_order_told_to_two_has_a_fate_with_each(story: BuildStory) -> None:
    told = story(PINTEREST_SEND="all", TRACK_AI_ENDPOINT="http://127.0.0.1:9/events")
    told.takes()
    deliver(told.service)
    deliver(told.service, "track_ai")
    fates = {d["destination"]: d["state"] for d in told.reads()["deliveries"]}
    assert fates == {"pinterest": "sent", "track_ai": "waiting"}
    assert "sent: Pinterest accepted the event" in told.why()
    assert "waiting to be sent to Track AI" in told.why()


# --- What it tells


def test_a_story_tells_the_order_its_money_and_who_was_matched_how(
    build_service: BuildService, database_url: str
) -> None:
    told = Shop(assemble(build_service(database_url)).test_client())
    agreed = notes(pin_consent="marketing=yes")
    body = order(landing_site=pinned("11", utm_campaign="summer"), note_attributes=agreed)
    told.sends("orders/create", body)
    told.sends("refunds/create", refund())
    found = told.reads("/orders/5001/journey")
    plain = {name: found[name] for name in ("order_id", "name", "placed_at", "financial_status")}
    assert plain == {
        "order_id": "5001",
        "name": "#1001",
        "placed_at": "2026-11-20T12:00:00Z",
        "financial_status": "paid",
    }
    assert (found["is_test"], found["is_cancelled"], found["currency"]) == (False, False, "USD")
    money = [found[name] for name in ("gross_revenue", "refunds", "cancellations", "revenue")]
    assert money == ["40.00", "10.00", "0.00", "30.00"]
    assert found["match_method"] == "email"
    assert found["session"]["campaign"] == "summer"
    assert dict(found["session"]["origins"])["campaign"] == "landing_site"
    assert found["consent"] == {"marketing": True}


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({"note_attributes": notes(pin_vid="visitor-1")}, "note_attribute"),
        ({}, "email"),
        ({**NOBODY, "customer": {"id": 9_001}}, "customer"),
        ({**NOBODY, "phone": "+12125550142"}, "phone"),
        (NOBODY, ""),
    ],
)
def test_a_story_tells_how_the_buyer_was_recognised(
    story: BuildStory, changes: dict[str, Any], method: str
) -> None:
    told = story()
    told.takes(**changes)
    assert told.reads()["match_method"] == method


def test_fields_of_the_buyer_that_could_not_be_used_are_named(story: BuildStory) -> None:
    told = story()
    told.takes(phone="12", billing_address={"zip": "SW1A 1AA", "country_code": "GB"})
    assert sorted(told.reads()["unusable_fields"]) == ["ph", "zp"]


def test_touches_are_told_with_age_kind_and_whether_they_count(story: BuildStory) -> None:
    told = story()
    told.takes(**earlier(40 * DAY, 1, landing_site=pinned("11", epik="dj0yJnU9ZVRL")))
    told.takes(**earlier(2 * HOUR, 2, landing_site="/?utm_source=google&utm_medium=cpc"))
    told.takes()
    names = ("age_seconds", "in_window", "kind", "is_pinterest", "campaign_id", "has_click_id")
    assert [tuple(touch[name] for name in names) for touch in told.reads()["touches"]] == [
        (40 * DAY, False, "click", True, "11", True),
        (2 * HOUR, True, "click", False, "", False),
        (0, True, "click", False, "", False),
    ]


def test_a_click_that_is_told_again_is_no_visit_of_its_own(story: BuildStory) -> None:
    told = story()
    told.takes(**earlier(3 * DAY, 1, landing_site=pinned("11", epik="dj0yJnU9ZVRL")))
    told.takes(**earlier(2 * DAY, 2, landing_site=pinned("11", epik="dj0yJnU9b3RoZXI")))
    told.takes(**earlier(1 * DAY, 3, landing_site=pinned("11", epik="dj0yJnU9ZVRL")))
    told.takes()
    journey = told.reads()

    assert [touch["is_repeat"] for touch in journey["touches"]] == [False, False, True, False]
    (credited,) = journey["credits"]["last_touch"]
    assert credited["touch"] == journey["touches"][1]["key"]


@pytest.mark.parametrize("scope", ["pinterest", "all"])
def test_credits_of_every_model_sum_to_the_whole_order(story: BuildStory, scope: str) -> None:
    told = story()
    told.takes(**earlier(7 * DAY, 1, landing_site=pinned("11")))
    told.takes(**earlier(3 * DAY, 2, landing_site=pinned("22")))
    told.takes(**earlier(1 * DAY, 3, landing_site="/?utm_source=google&utm_medium=cpc"))
    told.takes(landing_site=pinned("33"))
    credits = told.reads(scope=scope)["credits"]
    assert set(credits) == set(MODELS)
    sums = {
        model: (
            sum(Fraction(one["share"]) for one in shared),
            sum(Fraction(one["revenue"]) for one in shared),
        )
        for model, shared in credits.items()
    }
    assert sums == {model: (0, 0) if model == "view_through" else (1, 40) for model in MODELS}
    parties = {model: len(shared) for model, shared in credits.items()}
    assert parties["linear"] == {"pinterest": 3, "all": 4}[scope]


def test_the_event_is_told_hashed_and_without_address_and_browser(story: BuildStory) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes()
    event = told.reads()["event"]
    assert event["event_id"] == "checkout-5001"
    assert len(event["user_data"]["em"][0]) == 64
    assert not {"client_ip_address", "client_user_agent"} & set(event["user_data"])
    deliver(told.service)
    assert told.reads()["event"] == event


def test_nothing_in_a_story_says_in_clear_who_bought(story: BuildStory) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes(landing_site=pinned("11"))
    text = str(told.reads()).lower()
    for clear in ("ada@example.com", "example.com", "2125550142", "new york", IP, BROWSER.lower()):
        assert clear not in text


def test_a_held_back_event_is_told_without_its_body(story: BuildStory) -> None:
    told = story(PINTEREST_SEND="all")
    told.takes()
    told.takes("orders/cancelled", cancelled_at=instant(NOW + 60), updated_at=instant(NOW + 60))
    event = told.reads()["event"]
    assert event is None or "client_ip_address" not in event["user_data"]
