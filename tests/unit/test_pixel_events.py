"""Events of the pixel: read in any form, and without the name of a person."""

import copy
import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.actors import DAY, HOUR, NOW, instant
from tests.pixel_events import (
    CALLER,
    CART_TOKEN,
    CHECKOUT_PAGE,
    CHECKOUT_TOKEN,
    CHROME,
    CLIENT,
    DATA,
    EPIK,
    SHOP,
    STAGES,
    VARIANT,
    VISITOR,
    event,
)
from tracking.destinations.pinterest import encode
from tracking.domain.attribution import Touch
from tracking.domain.consent import Consent
from tracking.domain.conversion import Content, Conversion, Policy
from tracking.domain.identity import Identity, hashed
from tracking.domain.validation import FieldError, ValidationError
from tracking.receive.pixel import (
    MOST_EVENTS,
    ClientInfo,
    PixelBatch,
    PixelEvent,
    is_bot,
    pixel_batch_of,
    token_key,
)

OTHER_EPIK = "dj0yJnU9QW5vdGhlckNsaWNrT2ZBbm90aGVyUGluJnA9MCZuPXI"

PINNED = {"utm_source": "pinterest", "utm_medium": "cpc", "utm_campaign_id": "626735565838"}


def raw(body: Any) -> bytes:
    return json.dumps(body).encode()


def call(
    *events: Any, policy: Policy | None = None, caller: ClientInfo = CALLER, **about: Any
) -> PixelBatch:
    """What a call with these events tells."""
    return pixel_batch_of(raw({"events": list(events), **about}), caller, policy or Policy(), NOW)


def seen(name: str = "page_viewed", /, policy: Policy | None = None, **changes: Any) -> PixelEvent:
    """What one event tells that must not be refused."""
    found = call(event(name, **changes), policy=policy)
    assert found.errors == ()
    return found.events[0]


def conversion(name: str, /, policy: Policy | None = None, **changes: Any) -> Conversion:
    found = seen(name, policy, **changes).conversion
    assert found is not None
    return found


def touch(name: str = "page_viewed", /, **changes: Any) -> Touch:
    found = seen(name, **changes).touch
    assert found is not None
    return found


def pinned(path: str = "/products/mug", **more: str) -> str:
    """The address of a page that a paid pin links to."""
    return f"{SHOP}{path}?{urlencode({**PINNED, **more})}"


def visited(**told: Any) -> dict[str, Any]:
    """A session that began an hour ago by a paid pin."""
    return {"landed_at": NOW - HOUR, **PINNED, **told}


# --- the call


@pytest.mark.parametrize(
    ("body", "where"),
    [
        ({"events": [event("nothing")]}, "/events/0/name"),
        ({"events": event("nothing")}, "/events/name"),
        ([event("nothing")], "/0/name"),
        (event("nothing"), "/name"),
    ],
    ids=["a list of events", "one event", "a bare list", "a bare event"],
)
def test_a_fault_is_pointed_at_whatever_the_form_of_the_call(body: Any, where: str) -> None:
    refused = pixel_batch_of(raw(body), CALLER, Policy(), NOW).errors

    assert [fault.field for fault in refused] == [where]


@pytest.mark.parametrize("body", [{"events": [event()]}, {"events": event()}, [event()], event()])
def test_every_form_of_a_call_is_read_alike(body: Any) -> None:
    assert pixel_batch_of(raw(body), CALLER, Policy(), NOW).events == (seen(),)


def test_the_site_key_is_handed_on() -> None:
    assert call(event(), key="site-key-1").site_key == "site-key-1"
    assert call(event(), key=["x"]).site_key == ""
    assert pixel_batch_of(raw([event()]), CALLER, Policy(), NOW).site_key == ""


def test_the_order_of_the_events_is_kept() -> None:
    events = [event(id=f"event-{n:04}") for n in range(MOST_EVENTS)]

    assert [one.event_id for one in call(*events).events] == [one["id"] for one in events]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"nothing", b"null", b"7", b'"x"', b"NaN", b'{"events": [NaN]}', b"{} {}"),
        *(b"\xff", b'"\xff"', b'\xef\xbb\xbf{"events": []}', "{}".encode("utf-16")),
        *(b'{"events": 1e999}', b'"\\ud800"', b"9" * 5000, b"[" * 60_000, b'{"a":' * 9_000),
        *(b"{}", b"[]", b'{"events": []}', b'{"events": null}', b'{"events": "x"}'),
        *(raw([event()] * (MOST_EVENTS + 1)), raw({"events": [event()] * (MOST_EVENTS + 1)})),
    ],
)
def test_what_is_no_call_is_refused_whole(body: bytes) -> None:
    with pytest.raises(ValidationError):
        pixel_batch_of(body, CALLER, Policy(), NOW)


@pytest.mark.parametrize("body", [b"{}", raw({"events": []}), raw({"events": [event()] * 21})])
def test_a_call_without_events_or_with_too_many_points_at_them(body: bytes) -> None:
    with pytest.raises(ValidationError) as refusal:
        pixel_batch_of(body, CALLER, Policy(), NOW)

    assert [fault.field for fault in refusal.value.errors] == ["/events"]


def test_an_event_with_a_fault_is_refused_alone() -> None:
    found = call(event(), event("order_paid"), "x", event("product_viewed", id="event-0002"))

    assert [fault.field for fault in found.errors] == ["/events/1/name", "/events/2/id"]
    assert [one.name for one in found.events] == ["page_viewed", "product_viewed"]


def test_a_refusal_of_an_unknown_event_names_the_known_ones() -> None:
    (fault,) = call(event("ada@example.com")).errors

    assert "checkout_started" in fault.message
    assert "ada@example.com" not in fault.message


# --- what every event must have


@pytest.mark.parametrize(
    "event_id",
    [
        *("a", "a" * 128, "sh-0_9.A:z", "pre-checkout-1", "42", "0", "atc/111#1", "~", "é" * 128),
        *("add to cart 7", '"a":1', "a@b", "50%", "<b>", "\\", "'", "100@2"),
    ],
)
def test_any_printable_event_id_is_taken(event_id: str) -> None:
    assert seen(id=event_id).event_id == event_id


@pytest.mark.parametrize(
    "event_id",
    [
        *(None, "", " ", 12345678, ["a" * 8], {}, True, "a" * 129, "ada@example.com"),
        *("eight888\n", "\x00aaaaaaaa", "a\tb", "a\u200bb", "checkout-5001", "checkout-"),
        *("undefined", "null", "NaN", "[object Object]", "{event_id}", "{{event.id}}", "a%40b.de"),
    ],
)
def test_an_id_that_cannot_be_told_or_names_nothing_is_refused(event_id: Any) -> None:
    assert [fault.field for fault in call(event(id=event_id)).errors] == ["/events/0/id"]


@pytest.mark.parametrize("name", [None, "", 7, ["page_viewed"], {}, "Page_Viewed", "purchase"])
def test_another_name_is_refused(name: Any) -> None:
    assert [fault.field for fault in call(event() | {"name": name}).errors] == ["/events/0/name"]


@pytest.mark.parametrize(
    "timestamp",
    [
        *("2026-11-20T12:00:00.999Z", "2026-11-20T07:00:00-05:00", "2026-11-20T12:00:00"),
        *(NOW, NOW * 1000, NOW * 1000 + 999, f"{NOW}000", NOW * 1000.0, f" {NOW} "),
    ],
)
def test_an_instant_is_read_in_iso_8601_or_milliseconds(timestamp: Any) -> None:
    assert seen(timestamp=timestamp).at == NOW


@pytest.mark.parametrize(
    "timestamp",
    [
        *(None, "", "now", True, [NOW], {}, 0, -NOW, 1e300, int("9" * 400), "1e12", "\u0661" * 10),
        *("0001-01-01T00:00:00+14:00", "2026-11-20T12:00:61Z"),
    ],
)
def test_what_is_no_instant_of_today_is_refused(timestamp: Any) -> None:
    refused = call(event(timestamp=timestamp)).errors

    assert [fault.field for fault in refused] == ["/events/0/timestamp"]


def test_an_event_may_be_a_day_old_and_no_older() -> None:
    assert seen(timestamp=NOW - DAY).at == NOW - DAY
    (fault,) = call(event(timestamp=NOW - DAY - 1)).errors
    assert fault == FieldError("/events/0/timestamp", "older than a day")


# --- a browser's clock


@pytest.mark.parametrize("ahead", [1, 30, 301, HOUR, 400 * DAY])
def test_an_event_that_is_ahead_is_taken_at_its_arrival(ahead: int) -> None:
    assert seen(timestamp=NOW + ahead).at == NOW


def test_without_a_time_of_sending_the_events_of_a_call_keep_their_order() -> None:
    told = [event(id=f"e{n}", timestamp=NOW + ahead) for n, ahead in enumerate((590, 600, 200))]

    assert [one.at for one in call(*told).events] == [NOW - 10, NOW, NOW - 400]


def test_an_instant_that_cannot_be_spoils_no_other_event() -> None:
    told = [event(id="e0", timestamp="9999-12-31T00:00:00Z"), event(id="e1", timestamp=NOW - 5)]

    assert [one.at for one in call(*told).events] == [NOW, NOW - 5]


AHEAD = [600, 31, -31, -600, 3 * HOUR, -2 * DAY, 400 * DAY, -400 * DAY]


@pytest.mark.parametrize("form", [instant, lambda at: at, lambda at: at * 1000 + 499])
@pytest.mark.parametrize("ahead", AHEAD)
def test_a_wrong_clock_is_corrected_by_the_time_of_sending(ahead: int, form: Any) -> None:
    found = call(
        event("page_viewed", id="e0", timestamp=form(NOW + ahead - 7)),
        event("product_viewed", id="e1", timestamp=form(NOW + ahead - HOUR)),
        event("product_viewed", id="e2", timestamp=form(NOW + ahead)),
        session=visited(landed_at=form(NOW + ahead - 2 * HOUR)),
        sent_at=form(NOW + ahead),
    )

    assert found.errors == ()
    assert [one.at for one in found.events] == [NOW - 7, NOW - HOUR, NOW]
    assert {one.session.stamped_at for one in found.events} == {NOW - 2 * HOUR}
    assert {one.touch.at for one in found.events if one.touch} == {NOW - 2 * HOUR}


@pytest.mark.parametrize("under_way", [-30, -1, 0, 1, 30])
def test_the_time_that_a_call_is_under_way_changes_nothing(under_way: int) -> None:
    found = call(event(timestamp=NOW - 60), sent_at=NOW - under_way).events[0]

    assert found == seen(timestamp=NOW - 60)


def test_no_time_of_sending_puts_an_event_after_its_arrival_or_before_yesterday() -> None:
    odd: list[Any] = [NOW - 3 * HOUR, NOW - 400 * DAY, 0, "never", None, True, []]
    for sent_at in odd:
        found = call(event(timestamp=NOW - HOUR), sent_at=sent_at).events[0]
        assert NOW - HOUR <= found.at <= NOW
    assert call(event(timestamp=NOW + HOUR), sent_at=NOW + HOUR + DAY).events[0].at == NOW - DAY
    (fault,) = call(event(timestamp=NOW + HOUR), sent_at=NOW + HOUR + DAY + 1).errors
    assert fault == FieldError("/events/0/timestamp", "older than a day")


@pytest.mark.parametrize("told", [{}, {"session": visited(landed_at=NOW + 590)}])
def test_an_event_that_is_sent_again_tells_of_the_same_visit(told: dict[str, Any]) -> None:
    landing = event(timestamp=NOW + 600, href=pinned(), referrer="")
    first, again = (call(landing, sent_at=NOW + 600 + n, **told).events[0] for n in (0, 40))
    old = call(landing, **told).events[0]

    assert first.touch is not None
    assert first.touch.at == (NOW - 10 if told else NOW)
    for other in (again, old):
        assert other.touch is not None
        assert (other.event_id, other.touch.key) == (first.event_id, first.touch.key)


@pytest.mark.parametrize("sent", [{}, {"sent_at": NOW + 600}])
def test_a_visit_by_a_clock_that_is_ahead_is_one_touch(sent: dict[str, Any]) -> None:
    names = ["page_viewed", *STAGES]
    session = visited(landed_at=NOW + 600, epik=EPIK)
    told = [event(name, id=f"e-{name}", timestamp=NOW + 600) for name in names]

    assert {one.touch.at for one in call(*told, session=session, **sent).events if one.touch} == {
        NOW
    }
    keys = {
        touch(name, timestamp=NOW + 600 + n, session=session).key for n, name in enumerate(names)
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("own", "of_call", "visitor"),
    [
        ("visitor-own", "visitor-call", "visitor-own"),
        (None, "visitor-call", "visitor-call"),
        ("", "visitor-call", "visitor-call"),
        (None, None, CLIENT),
        (None, "", CLIENT),
    ],
)
def test_the_visitor_is_the_events_own_or_the_calls_or_the_client(
    own: Any, of_call: Any, visitor: str
) -> None:
    assert call(event(visitor=own), visitor=of_call).events[0].visitor == visitor


@pytest.mark.parametrize(
    "visitor",
    [
        *("short", "x" * 65, "ada@example.com", "with space", 12345678, ["x"], {}, True),
        *("undefined", "anonymous", "not_available", "00000000", "--------", "__VISITOR__"),
    ],
)
def test_a_visitor_id_of_another_form_is_refused(visitor: Any) -> None:
    own = call(event(visitor=visitor), visitor=VISITOR).errors
    client = call(event(clientId=visitor)).errors

    assert [fault.field for fault in own] == ["/events/0/visitor"]
    assert [fault.field for fault in client] == ["/events/0/clientId"]


def test_a_wrong_visitor_of_the_call_is_named_once_and_spares_events_with_their_own() -> None:
    found = call(event(), event(), event(visitor=VISITOR), visitor="x")

    assert [fault.field for fault in found.errors] == ["/visitor"]
    assert [one.visitor for one in found.events] == [VISITOR]


def test_an_event_without_a_visitor_is_refused() -> None:
    assert [fault.field for fault in call(event(clientId=None)).errors] == ["/events/0/visitor"]


# --- consent


@pytest.mark.parametrize(
    ("said", "consent"),
    [
        (None, Consent()),
        ({}, Consent()),
        ({"analytics": True}, Consent()),
        ({"analytics": None, "marketing": None, "sale_of_data": None}, Consent()),
        ({"marketing": True, "sale_of_data": True}, Consent(True, True)),
        ({"marketing": False}, Consent(False)),
        ({"marketing": "yes", "sale_of_data": "no"}, Consent(True, False)),
        ({"marketing": " Yes ", "sale_of_data": "unknown"}, Consent(True)),
        ({"marketingAllowed": True, "saleOfDataAllowed": False}, Consent(True, False)),
        ({"analyticsProcessingAllowed": True, "marketingAllowed": False}, Consent(False)),
        ({"marketing": True, "marketingAllowed": False}, Consent(False)),
        ({"gpc": True}, Consent(None, False)),
        ({"gpc": True, "sale_of_data": True}, Consent(None, False)),
        ({"gpc": False, "sale_of_data": True}, Consent(None, True)),
        ({"gpc": None}, Consent()),
        ({"preferences": "whatever"}, Consent()),
    ],
)
def test_consent_is_read(said: Any, consent: Consent) -> None:
    assert call(event(), consent=said).events[0].consent == consent


@pytest.mark.parametrize("unclear", ["maybe", 1, 0, [], [True], {}, {"marketing": True}])
def test_consent_that_cannot_be_read_was_not_given(unclear: Any) -> None:
    said = {"marketing": unclear, "sale_of_data": unclear}

    assert seen(consent=said).consent == Consent(False, False)
    assert seen(consent={"gpc": unclear}).consent == Consent(None, False)


def test_the_consent_of_an_event_wins_over_that_of_the_call() -> None:
    found = call(event(), event(consent={"marketing": False}), consent={"marketing": True})

    assert [one.consent.marketing for one in found.events] == [True, False]


@pytest.mark.parametrize(
    "said",
    [
        {"analytics": False},
        {"analytics": "no"},
        {"analytics": "perhaps"},
        {"analyticsProcessingAllowed": False, "marketing": True},
        *("yes", True, False, 7, [], [{"analytics": True}]),
    ],
)
def test_of_a_visitor_who_must_not_be_counted_nothing_is_kept(said: Any) -> None:
    assert call(event(consent=said), key="site-key-1") == PixelBatch("site-key-1", (), 1, ())


def test_the_events_that_may_be_counted_go_on() -> None:
    found = call(event(consent={"analytics": False}), event(id="event-0002"), event("x"))

    assert (found.ignored, len(found.events), len(found.errors)) == (1, 1, 1)


# --- the session


def test_the_session_of_the_call_belongs_to_its_event() -> None:
    told = visited(epik=EPIK, utm_campaign="Spring Sale", referrer="https://www.pinterest.com/pin")
    session = seen("product_viewed", session=told).session

    assert (session.source, session.medium, session.campaign) == (
        "pinterest",
        "cpc",
        "Spring Sale",
    )
    assert (session.campaign_id, session.click_id) == ("626735565838", EPIK)
    assert (session.referrer, session.stamped_at) == ("www.pinterest.com", NOW - HOUR)


def test_numbers_in_a_session_are_read_as_ids() -> None:
    assert seen(session={"utm_campaign_id": 626735565838}).session.campaign_id == "626735565838"


def test_the_session_of_an_event_wins_over_that_of_the_call() -> None:
    found = call(event(), event(session={"utm_source": "own"}), session={"utm_source": "call"})

    assert [one.session.source for one in found.events] == ["call", "own"]


@pytest.mark.parametrize("name", ["page_viewed", *STAGES])
def test_without_a_session_the_address_of_the_page_stands_for_it(name: str) -> None:
    session = seen(name, href=pinned(epik=EPIK, pin_vid="someone-else")).session

    assert (session.source, session.campaign_id) == ("pinterest", "626735565838")
    assert (session.click_id, session.visitor) == (EPIK, "")


@pytest.mark.parametrize(
    ("referrer", "host"),
    [
        ("https://www.google.com/search?q=mug", "www.google.com"),
        ("android-app://com.pinterest/", "com.pinterest"),
        (f"{SHOP}/collections/all", ""),
        ("https://www.MUGS.example:443/", ""),
        ("about:blank", ""),
        ("", ""),
        (None, ""),
    ],
)
def test_only_another_site_is_a_referrer(referrer: Any, host: str) -> None:
    assert seen(referrer=referrer).session.referrer == host
    assert seen(session={"referrer": referrer}).session.referrer == host


def test_a_link_on_the_page_begins_a_new_visit() -> None:
    found = seen(session=visited(), href=f"{SHOP}/?utm_source=newsletter", referrer="")

    assert (found.session.source, found.session.campaign_id) == ("newsletter", "")
    assert found.session.stamped_at == NOW
    assert found.touch is not None
    assert (found.touch.at, found.touch.source) == (NOW, "newsletter")


FIRST = {"utm_source": "pinterest", "utm_medium": "cpc", "utm_campaign": "first"}
SECOND = {"utm_source": "google", "utm_medium": "organic", "utm_campaign": "second"}


@pytest.mark.parametrize(
    ("query", "campaign"),
    [
        ("utm_campaign=first&utm_campaign=second", "first"),
        ("utm_campaign=&utm_campaign=second", "second"),
        ("utm_campaign=+&utm_campaign=second", "second"),
        ("utm_campaign={{campaign}}&utm_campaign=second&utm_campaign=third", "second"),
        ("utm_campaign=(not%20set)&UTM_Campaign=second", "second"),
        ("utm_campaign=undefined&utm_campaign=null", ""),
        ("utm_campaign=ada@example.com&utm_campaign=second", "second"),
    ],
)
def test_the_first_value_that_says_something_counts(query: str, campaign: str) -> None:
    found = seen("product_viewed", href=f"{SHOP}/a?{query}")

    assert found.session.campaign == campaign
    assert found.conversion is not None
    assert found.conversion.event_source_url.partition("?utm_campaign=")[2] == campaign


@pytest.mark.parametrize("junk", ["null", "undefined", "{epik}", "", "nan", "short", "0" * 12])
def test_a_junk_click_id_never_replaces_a_good_one(junk: str) -> None:
    doubled = touch(href=f"{SHOP}/?epik={junk}&epik={EPIK}", referrer="")
    later = seen(href=f"{SHOP}/?epik={junk}", session=visited(epik=EPIK))

    assert doubled.click_id == EPIK
    assert (later.session.click_id, later.session.stamped_at) == (EPIK, NOW - HOUR)


@pytest.mark.parametrize("junk", ["null", "undefined", "{epik}", "nan", r"\N", "[object Object]"])
def test_a_junk_click_id_of_a_session_is_none(junk: str) -> None:
    found = seen("product_viewed", session={"epik": junk})

    assert found.session.origins == ()
    assert found.conversion is not None
    assert found.conversion.click_id == ""


@pytest.mark.parametrize("told", [FIRST, SECOND, {**FIRST, "utm_source": "google"}])
def test_a_link_that_names_a_campaign_twice_is_one_visit_of_the_first(
    told: dict[str, str],
) -> None:
    href = f"{SHOP}/?{urlencode([*FIRST.items(), *SECOND.items()])}"
    landing = event(id="e0", href=href, referrer="")
    found = call(landing, event("product_viewed", id="e1"), session={**told, "landed_at": NOW})

    touches = {one.touch for one in found.events if one.touch}
    assert [(one.source, one.campaign) for one in touches] == [("pinterest", "first")]


def test_a_session_of_another_campaign_than_the_doubled_link_is_another_visit() -> None:
    href = f"{SHOP}/?{urlencode([*FIRST.items(), *SECOND.items()])}"
    session = {**FIRST, "utm_campaign": "third", "landed_at": NOW - HOUR}
    found = call(event(id="e0", href=href), event("product_viewed", id="e1"), session=session)

    assert [one.session.campaign for one in found.events] == ["first", "third"]


def test_the_id_of_a_campaign_may_be_named_utm_id() -> None:
    assert touch(href=f"{SHOP}/?utm_source=pinterest&utm_id=626", referrer="").campaign_id == "626"


def test_a_click_id_on_the_page_begins_a_new_visit() -> None:
    found = seen(session=visited(epik=EPIK), href=pinned(epik=OTHER_EPIK))

    assert (found.session.click_id, found.session.stamped_at) == (OTHER_EPIK, NOW)


def test_a_landing_page_that_is_loaded_again_begins_nothing() -> None:
    assert touch(session=visited(epik=EPIK), href=pinned(epik=EPIK)).at == NOW - HOUR


@pytest.mark.parametrize("name", STAGES)
def test_only_a_page_view_begins_a_new_visit(name: str) -> None:
    found = seen(name, session=visited(), href=f"{SHOP}/?utm_source=newsletter")

    assert (found.session.source, found.session.stamped_at) == ("pinterest", NOW - HOUR)


def test_the_session_cannot_name_another_visitor_or_time() -> None:
    told = {"utm_source": "x", "__pin_vid": "somebody-else", "pin_touch": "2026-01-01"}
    found = seen(session=told | {"track_ai_timestamp": str(NOW - 5)})

    assert (found.visitor, found.session.visitor, found.session.stamped_at) == (CLIENT, "", None)


def test_a_session_of_another_type_counts_as_missing() -> None:
    for odd in ("x", 7, [["utm_source", "pinterest"]], True):
        assert seen(session=odd, href=pinned()).session.source == "pinterest"


# --- the touch


@pytest.mark.parametrize("name", ["page_viewed", "checkout_completed", *STAGES])
def test_every_event_reports_the_visit_it_belongs_to(name: str) -> None:
    found = touch(name, session=visited(epik=EPIK, utm_campaign="Spring", utm_pin_id="998"))

    assert (found.kind, found.at, found.visitor) == ("click", NOW - HOUR, CLIENT)
    assert (found.is_pinterest, found.is_direct) == (True, False)
    assert (found.campaign, found.campaign_id, found.pin_id) == ("Spring", "626735565838", "998")
    assert (found.source, found.medium, found.click_id) == ("pinterest", "cpc", EPIK)


def test_one_visit_reported_by_several_events_is_one_touch() -> None:
    names = ["page_viewed", *STAGES]
    told = [event(name, id=f"event-{name}", timestamp=NOW - n) for n, name in enumerate(names)]

    assert len({one.touch for one in call(*told, session=visited()).events}) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"landed_at": NOW - HOUR + 1},
        {"utm_source": "pin"},
        {"utm_medium": "cpm"},
        {"utm_campaign": "Summer"},
        {"utm_campaign_id": "7"},
        {"utm_pin_id": "7"},
        {"utm_ad_id": "7"},
        {"epik": OTHER_EPIK},
        {"referrer": "https://www.pinterest.de/"},
    ],
)
def test_what_differs_in_anything_is_another_visit(other: dict[str, Any]) -> None:
    one, another = touch(session=visited()), touch(session=visited(**other))

    assert one.key.startswith("visit:")
    assert len(one.key) == len("visit:") + 24
    assert one.key != another.key


def test_the_same_visit_of_another_visitor_is_another_touch() -> None:
    told = visited()

    assert touch(session=told).key != touch(session=told, visitor=VISITOR).key


@pytest.mark.parametrize(
    "arrival",
    [
        {"href": pinned()},
        {"href": f"{SHOP}/?epik={EPIK}"},
        {"href": f"{SHOP}/?utm_term=mug"},
        {"referrer": "https://www.google.com/"},
        {"referrer": ""},
        {"session": {"utm_source": "x"}, "href": pinned()},
        {"session": {"utm_source": "x"}, "referrer": "https://www.google.com/"},
        {"session": {}, "referrer": ""},
    ],
)
def test_a_page_that_is_arrived_at_is_a_touch_at_that_time(arrival: dict[str, Any]) -> None:
    found = seen(timestamp=NOW - 60, **arrival)

    assert found.touch is not None
    assert found.touch.at == found.session.stamped_at == NOW - 60


@pytest.mark.parametrize(
    "inside",
    [
        {"referrer": f"{SHOP}/cart"},
        {"referrer": f"{SHOP}/", "session": {}},
        {"referrer": "", "session": {"utm_source": "x"}},
        {"referrer": "about:blank"},
    ],
)
def test_a_page_inside_a_visit_is_no_touch_of_its_own(inside: dict[str, Any]) -> None:
    found = seen(**inside)

    assert (found.touch, found.session.stamped_at) == (None, None)


@pytest.mark.parametrize("name", ["checkout_completed", *STAGES])
def test_an_event_that_is_no_page_view_begins_no_visit(name: str) -> None:
    assert seen(name, href=pinned(), referrer="").touch is None


def test_a_direct_visit_is_a_direct_touch() -> None:
    found = touch(referrer="")

    assert (found.is_direct, found.is_pinterest, found.source) == (True, False, "")


def test_a_visit_by_pinterests_site_is_pinterests() -> None:
    assert touch(referrer="https://www.pinterest.com/").is_pinterest
    assert not touch(referrer="https://www.google.com/").is_pinterest


@pytest.mark.parametrize(
    "landed_at",
    [*(NOW + 1, NOW + 2**40, NOW - 30 * DAY - 1, 0, "soon", None, True, [NOW], 1e300, -5)],
)
def test_a_visit_that_cannot_have_begun_then_has_no_known_time(landed_at: Any) -> None:
    found = seen("product_viewed", session=visited(landed_at=landed_at))

    assert (found.touch, found.session.source) == (None, "pinterest")


@pytest.mark.parametrize(
    "landed_at",
    [NOW, NOW - 30 * DAY, instant(NOW - 9), (NOW - 9) * 1000, f"{instant(NOW)[:-6]}.5Z"],
)
def test_a_visit_of_the_last_thirty_days_is_a_touch(landed_at: Any) -> None:
    assert NOW - 30 * DAY <= touch("product_viewed", session=visited(landed_at=landed_at)).at <= NOW


def test_a_visit_may_not_have_begun_after_the_event() -> None:
    assert seen(timestamp=NOW - 9, session=visited(landed_at=NOW - 8)).touch is None


@pytest.mark.parametrize("place", ["data", "customData"])
@pytest.mark.parametrize("prefix", ["", "utm_", "UTM_"])
def test_an_ad_that_was_seen_is_a_view_of_its_campaign(place: str, prefix: str) -> None:
    told = event("ad_viewed", timestamp=NOW - 5, data=None)
    told[place] = {f"{prefix}{name}": value for name, value in DATA["ad_viewed"].items()}
    found = call(told).events[0].touch

    assert found is not None
    assert (found.kind, found.at, found.visitor) == ("view", NOW - 5, CLIENT)
    assert (found.is_pinterest, found.is_direct) == (True, False)
    assert (found.campaign, found.campaign_id) == ("Spring", "626735565838")
    assert (found.ad_id, found.pin_id) == ("687", "998")


def test_each_view_is_a_touch_of_its_own() -> None:
    one, again = touch("ad_viewed"), touch("ad_viewed", timestamp=NOW - 5)
    another, other = touch("ad_viewed", id="event-0002"), touch("ad_viewed", visitor=VISITOR)

    assert one.key.startswith("view:")
    assert len(one.key) == len("view:") + 24
    assert one.key == again.key
    assert len({one.key, another.key, other.key}) == 3


def test_a_view_that_names_no_campaign_is_a_view_of_pinterest() -> None:
    found = touch("ad_viewed", data={})

    assert (found.is_pinterest, found.is_direct, found.campaign_id) == (True, False, "")


def test_a_view_is_no_click_whatever_the_session_says() -> None:
    found = touch("ad_viewed", session=visited(epik=EPIK))

    assert (found.kind, found.click_id) == ("view", "")


# --- the checkout


def test_a_token_is_kept_as_a_digest_of_its_kind() -> None:
    digest = sha256(CART_TOKEN.encode()).hexdigest()[:32]

    assert token_key("ck", CART_TOKEN) == f"ck:{digest}"
    assert token_key("ca", CART_TOKEN) == f"ca:{digest}"


@pytest.mark.parametrize(
    "spelling", ["{}?key=0a1b", "gid://shopify/Cart/{}", "gid://shopify/Cart/{}?key=1"]
)
def test_a_token_is_the_same_in_every_spelling(spelling: str) -> None:
    assert token_key("ca", spelling.format(CART_TOKEN)) == token_key("ca", CART_TOKEN)


@pytest.mark.parametrize(
    "token", ["", "x" * 15, "x" * 129, "ada.love@example.com", "a" * 16 + "\n", "a b" * 9]
)
def test_what_could_be_guessed_or_is_no_token_has_no_link(token: str) -> None:
    assert token_key("ck", token) == ""


@pytest.mark.parametrize("name", ["checkout_started", "checkout_completed"])
def test_a_checkout_is_known_by_its_token_and_its_carts(name: str) -> None:
    assert seen(name).tokens == (token_key("ck", CHECKOUT_TOKEN), token_key("ca", CART_TOKEN))


@pytest.mark.parametrize(
    "place",
    [
        {"cart_token": f"{CART_TOKEN}?key=1"},
        {"href": f"{SHOP}/de/checkouts/cn/{CART_TOKEN}/de-de/information?x=1"},
        {"checkout": {"attributes": [{"key": "_cart_token", "value": CART_TOKEN}]}},
    ],
)
def test_the_cart_is_named_by_the_call_or_the_page_or_an_attribute(place: dict[str, Any]) -> None:
    of_call = {"cart_token": place.pop("cart_token")} if "cart_token" in place else {}
    told = event("checkout_started", **({"href": f"{SHOP}/checkouts/x"} | place))

    assert call(told, **of_call).events[0].tokens[1] == token_key("ca", CART_TOKEN)


def test_a_checkout_that_can_be_guessed_is_not_linked() -> None:
    assert seen("checkout_started", checkout={"token": "1234"}, href=SHOP).tokens == ()


@pytest.mark.parametrize("name", ["page_viewed", "product_viewed", "product_added_to_cart"])
def test_only_a_checkout_has_tokens_and_a_buyer(name: str) -> None:
    told = event(name, href=CHECKOUT_PAGE)
    told["data"] |= copy.deepcopy(DATA["checkout_started"])
    found = call(told, cart_token=CART_TOKEN).events[0]

    assert (found.tokens, found.identity) == ((), Identity())


@pytest.mark.parametrize("name", ["checkout_started", "checkout_completed"])
def test_the_buyer_is_known_by_digests(name: str) -> None:
    identity = seen(name).identity

    assert identity.em == (hashed("em", "ada@example.com"),)
    assert identity.ph == (hashed("ph", "+12125550142"),)
    assert identity.external_id == (hashed("external_id", "9001"),)
    assert (identity.fn, identity.ln) == ((hashed("fn", "ada"),), (hashed("ln", "love"),))
    assert (identity.ct, identity.st) == ((hashed("ct", "newyork"),), (hashed("st", "ny"),))
    assert (identity.zp, identity.country) == (
        (hashed("zp", "10001", "US"),),
        (hashed("country", "us"),),
    )


@pytest.mark.parametrize("customer", ["9001", 9001, "gid://shopify/Customer/9001"])
def test_a_customer_is_the_number_of_the_id(customer: Any) -> None:
    identity = seen(
        "checkout_completed", checkout={"order": {"customer": {"id": customer}}}
    ).identity

    assert identity.external_id == (hashed("external_id", "9001"),)


def test_a_buyer_who_refuses_marketing_stays_unknown() -> None:
    found = seen("checkout_started", consent={"marketing": False})

    assert found.identity == Identity()
    assert found.conversion is not None
    assert found.conversion.identity == Identity()


def test_a_refused_sale_of_data_is_sent_as_opt_out_and_as_limit() -> None:
    found = conversion("checkout_started", consent={"gpc": True})

    assert (found.opt_out, found.limited) == (True, True)
    assert len(found.identity.st) == len(found.identity.country) == 2


def test_unknown_consent_limits_where_the_shop_says_so() -> None:
    policy = Policy(consent_unknown="limit")

    assert conversion("product_viewed", policy).limited
    assert not conversion("product_viewed", policy, consent={"marketing": True}).limited


def test_a_note_in_the_checkout_does_not_make_another_visitor() -> None:
    assert seen("checkout_started").visitor == CLIENT


def test_a_finished_checkout_is_no_purchase() -> None:
    found = seen("checkout_completed")

    assert (found.stage, found.conversion, found.value) == (None, None, 0)


# --- what Pinterest would be told


@pytest.mark.parametrize(
    ("name", "stage", "event_name"),
    [
        ("product_viewed", "product_view", "page_visit"),
        ("product_added_to_cart", "add_to_cart", "add_to_cart"),
        ("checkout_started", "checkout_initiation", "initiate_checkout"),
    ],
)
def test_a_stage_is_an_event_of_pinterest(name: str, stage: str, event_name: str) -> None:
    found = seen(name, session=visited(epik=EPIK), timestamp=NOW - 3)

    assert found.stage == stage
    assert found.conversion is not None
    assert (found.conversion.event_id, found.conversion.event_name) == (found.event_id, event_name)
    assert (found.conversion.event_time, found.conversion.action_source) == (NOW - 3, "web")
    assert (found.conversion.ip, found.conversion.user_agent) == (CALLER.ip, CHROME)
    assert (found.conversion.click_id, found.conversion.order_id) == (EPIK, "")


def test_a_page_view_is_no_stage() -> None:
    found = seen()

    assert (found.stage, found.conversion) == (None, None)


def test_a_product_that_is_looked_at_is_one_content() -> None:
    found = seen("product_viewed")

    assert found.value == 72995
    assert found.conversion is not None
    assert found.conversion.contents == (Content("111", "Stone mug", "Kiln", "729.95", 1),)
    assert (found.conversion.currency, found.conversion.value) == ("INR", "729.95")
    assert found.conversion.num_items == 1


@pytest.mark.parametrize(
    "data",
    [
        *({}, {"productVariant": None}, {"productVariant": {}}, {"cartLine": {}}),
        {"productVariant": {"product": {}, "price": {}}},
        {"productVariant": {"price": {"amount": 20, "currencyCode": "USD"}}},
        {"productVariant": {"id": "", "sku": " ", "product": {"id": None, "title": ""}}},
        {"productVariant": {"id": "undefined", "sku": "null", "product": {"id": "{id}"}}},
        {"productVariant": {"product": {"id": "0", "title": "undefined", "vendor": "Kiln"}}},
        {"tagCall": {}},
        {"tagCall": {"value": 20, "currency": "USD", "line_items": [{}, None, 7]}},
        {"tagCall": {"line_items": [{"product_id": "null", "product_name": "undefined"}]}},
    ],
)
def test_a_visit_of_a_page_that_names_no_product_is_no_product_view(data: dict[str, Any]) -> None:
    found = seen("product_viewed", data=data, session=visited(epik=EPIK))

    assert (found.stage, found.conversion, found.value) == (None, None, 0)
    assert found.touch is not None
    assert found.touch.click_id == EPIK


@pytest.mark.parametrize("content_id", ["product", "variant", "sku"])
@pytest.mark.parametrize(
    "variant",
    [
        {"product": {"id": "111"}},
        {"id": "gid://shopify/ProductVariant/222"},
        {"sku": "MUG-1"},
        {"product": {"title": "Mug"}},
    ],
)
def test_a_product_that_is_named_in_any_way_is_viewed(
    variant: dict[str, Any], content_id: Any
) -> None:
    found = seen("product_viewed", Policy(content_id=content_id), data={"productVariant": variant})

    assert found.stage == "product_view"


def tagged(**told: Any) -> dict[str, Any]:
    """What the pixel tells of a call of the page's own tag."""
    return {"tagCall": {"currency": "USD", **told}}


@pytest.mark.parametrize("content_id", ["product", "variant", "sku"])
def test_the_items_that_a_page_told_its_tag_are_the_goods(content_id: Any) -> None:
    item = {"product_id": "shopify_US_111", "product_price": 20, "product_quantity": 3}
    item |= {"product_name": "Mug", "product_brand": "Kiln", "product_category": "Cups"}
    data = tagged(value=65.5, order_quantity=4, line_items=[item, {"product_id": "b-2"}])
    found = conversion("product_added_to_cart", Policy(content_id=content_id), data=data)

    assert found.contents == (
        Content("shopify_US_111", "Mug", "Kiln", "20.00", 3),
        Content("b-2", "", "", "", 1),
    )
    assert (found.num_items, found.value, found.currency) == (4, "65.50", "USD")


@pytest.mark.parametrize(
    ("told", "price", "pieces", "value"),
    [
        ({"value": 60, "order_quantity": 3, "product_price": 20}, "20.00", 3, "60.00"),
        ({"value": 60, "product_quantity": 3, "product_price": 20}, "20.00", 3, "60.00"),
        ({"value": 60, "order_quantity": 3}, "", 3, "60.00"),
        ({"value": "20.00"}, "20.00", 1, "20.00"),
        ({"value": 20, "order_quantity": 0}, "20.00", 1, "20.00"),
        ({"value": 20, "order_quantity": "x"}, "20.00", 1, "20.00"),
        ({"product_price": "20", "product_quantity": "3"}, "20.00", 3, "60.00"),
        ({"product_price": 0.1, "product_quantity": 3}, "0.10", 3, "0.30"),
        ({}, "", 1, ""),
    ],
)
def test_the_one_item_of_a_tags_call_has_the_quantity_and_price_that_are_told(
    told: dict[str, Any], price: str, pieces: int, value: str
) -> None:
    item = {name: told.pop(name) for name in list(told) if name.startswith("product_")}
    data = tagged(**told, line_items=[{"product_id": "111", **item}])
    found = conversion("product_viewed", data=data)

    assert found.contents == (Content("111", "", "", price, pieces),)
    assert (found.num_items, found.value) == (pieces, value)


def test_items_are_summed_only_if_each_has_a_price() -> None:
    priced = {"product_id": "1", "product_price": 5, "product_quantity": 2}
    both = tagged(line_items=[priced, {"product_id": "2", "product_price": "7.50"}])
    one = tagged(line_items=[priced, {"product_id": "2"}])

    assert conversion("product_added_to_cart", data=both).value == "17.50"
    assert conversion("product_added_to_cart", data=one).value == ""


def test_a_line_of_the_cart_is_worth_what_it_costs() -> None:
    found = conversion("product_added_to_cart")

    assert found.contents == (Content("111", "Stone mug", "Kiln", "729.95", 2),)
    assert (found.value, found.num_items) == ("1459.90", 2)


def test_a_line_of_the_cart_without_its_cost_is_worth_its_pieces() -> None:
    line = DATA["product_added_to_cart"]["cartLine"] | {"cost": None, "quantity": 3}

    assert conversion("product_added_to_cart", data={"cartLine": line}).value == "2189.85"


def test_an_event_that_names_no_goods_has_no_items_and_no_worth() -> None:
    found = conversion("product_added_to_cart", data={})

    assert (found.contents, found.num_items) == ((), 0)
    assert (found.currency, found.value) == ("", "")


def test_a_checkout_holds_its_lines_custom_ones_too() -> None:
    found = conversion("checkout_started")

    assert found.contents == (
        Content("111", "Stone mug", "Kiln", "729.95", 2),
        Content("", "Engraving", "", "", 1),
    )
    assert found.num_items == 3


@pytest.mark.parametrize(("measure", "value"), [("net", "2189.85"), ("total", "2500.00")])
def test_a_checkout_is_worth_what_the_shop_measures(measure: Any, value: str) -> None:
    assert conversion("checkout_started", Policy(value=measure)).value == value


def test_of_the_two_sums_of_a_checkout_the_one_that_is_there_counts() -> None:
    assert conversion("checkout_started", checkout={"subtotalPrice": None}).value == "2500.00"
    bare = {"subtotalPrice": {"amount": "20"}, "totalPrice": {}}
    assert conversion("checkout_started", checkout=bare).value == "20.00"


@pytest.mark.parametrize(
    ("kind", "content_id"), [("product", "111"), ("variant", "222"), ("sku", "MUG-1")]
)
@pytest.mark.parametrize("spelling", ["{}", "gid://shopify/Any/{}"])
def test_the_content_is_named_as_the_catalogue_does(
    kind: Any, content_id: str, spelling: str
) -> None:
    variant = copy.deepcopy(VARIANT) | {"id": spelling.format(222)}
    variant["product"] = {"id": spelling.format(111)}
    found = conversion("product_viewed", Policy(content_id=kind), data={"productVariant": variant})

    assert found.contents[0].id == content_id


@pytest.mark.parametrize(
    ("product_id", "content_id"),
    [
        *(("mug-blue", "mug-blue"), ("shopify_US_1_2", "shopify_US_1_2"), (111, "111")),
        *(("1" * 21, "1" * 21), ("gid://shopify/Product/111", "111"), (" A/1 ", "A/1")),
        *(("undefined", ""), ("ada@example.com", ""), ("{{product.id}}", ""), ("x" * 257, "")),
    ],
)
def test_any_product_id_is_taken(product_id: Any, content_id: str) -> None:
    variant = VARIANT | {"product": {"id": product_id, "title": "Mug"}}
    found = conversion("product_viewed", data={"productVariant": variant})

    assert found.contents[0].id == content_id


@pytest.mark.parametrize("code", ["USD", "usd", "Usd", " usd "])
def test_a_currency_counts_in_any_case(code: str) -> None:
    price = {"amount": "12.50", "currencyCode": code}
    line = {
        "quantity": 1,
        "merchandise": VARIANT | {"price": price},
        "cost": {"totalAmount": price},
    }
    added = conversion("product_added_to_cart", data={"cartLine": line})
    viewed = conversion("product_viewed", data={"productVariant": VARIANT | {"price": price}})
    begun = {"currencyCode": code, "subtotalPrice": {"amount": "12.50"}, "lineItems": [line]}
    started = conversion("checkout_started", checkout=begun)

    for found in (added, viewed, started):
        assert (found.value, found.currency) == ("12.50", "USD")
        assert found.contents[0].price == "12.50"


@pytest.mark.parametrize(
    ("amount", "currency", "value"),
    [
        (729.95, "INR", "729.95"),
        ("729.95", "INR", "729.95"),
        (20, "USD", "20.00"),
        (0, "USD", "0.00"),
        (3.3000000000000003, "USD", "3.30"),
        (1e-7, "USD", "0.00"),
        (1999.0, "JPY", "1999"),
        (1.999, "KWD", "1.999"),
    ],
)
def test_money_is_exact_in_the_currencys_digits(amount: Any, currency: str, value: str) -> None:
    variant = VARIANT | {"price": {"amount": amount, "currencyCode": currency}}
    found = conversion("product_viewed", data={"productVariant": variant})

    assert (found.value, found.currency, found.contents[0].price) == (value, currency, value)


NO_CURRENCIES: list[Any] = ["", "US", "USDX", 840, None, ["USD"]]
NO_AMOUNTS: list[Any] = [-1, "-0.01", 1e12, 1e300, 10**400, "1e5", "1,50", " ", True, None, []]


@pytest.mark.parametrize(
    "price",
    [
        *(None, {}, 7, {"amount": 5}, {"currencyCode": "USD"}),
        *({"amount": 5, "currencyCode": code} for code in NO_CURRENCIES),
        *({"amount": amount, "currencyCode": "USD"} for amount in NO_AMOUNTS),
    ],
)
def test_a_price_that_cannot_be_read_is_no_value_at_all(price: Any) -> None:
    found = seen("product_viewed", data={"productVariant": VARIANT | {"price": price}})

    assert found.value == 0
    assert found.conversion is not None
    assert (found.conversion.value, found.conversion.currency) == ("", "")
    assert found.conversion.contents == (Content("111", "Stone mug", "Kiln", "", 1),)


def test_a_price_in_another_currency_than_the_sum_is_left_out() -> None:
    cost = {"totalAmount": {"amount": 5, "currencyCode": "EUR"}}
    line = DATA["product_added_to_cart"]["cartLine"] | {"cost": cost}
    found = conversion("product_added_to_cart", data={"cartLine": line})

    assert (found.currency, found.contents[0].price) == ("EUR", "")


@pytest.mark.parametrize(
    ("told", "pieces"),
    [(2, 2), ("2", 2), (2.0, 2), (None, 1), (-2, 1), ("x", 1), (1.5, 1), (10**9, 1), ([], 1)],
)
def test_a_quantity_that_cannot_be_read_is_one(told: Any, pieces: int) -> None:
    line = DATA["product_added_to_cart"]["cartLine"] | {"quantity": told}
    found = conversion("product_added_to_cart", data={"cartLine": line})

    assert (found.contents[0].quantity, found.num_items) == (pieces, pieces)


def test_nothing_of_a_product_is_no_content() -> None:
    lines = [{"quantity": 0, "variant": VARIANT}, None, "x"]
    found = conversion("checkout_started", checkout={"lineItems": lines})

    assert (found.contents, found.num_items) == ((), 0)
    assert conversion("product_added_to_cart", data={"cartLine": None}).contents == ()


def test_a_checkout_of_many_lines_holds_as_many_as_pinterest_takes() -> None:
    found = conversion("checkout_started", checkout={"lineItems": [{"quantity": 2}] * 300})

    assert (len(found.contents), found.num_items) == (250, 600)


def test_more_lines_than_a_cart_can_have_are_not_read() -> None:
    found = conversion("checkout_started", checkout={"lineItems": [{"quantity": 1}] * 2000})

    assert found.num_items == 500


def test_what_no_database_can_hold_is_left_out_of_a_text() -> None:
    product = {"id": "111", "title": " Stone\x00 mug ", "vendor": "\x00"}
    found = conversion("product_viewed", data={"productVariant": {"product": product}})

    assert found.contents == (Content("111", "Stone mug"),)


def test_texts_that_are_too_long_are_left_out() -> None:
    product = {"id": "1" * 257, "title": "x" * 257, "vendor": "y" * 256}
    variant = {"sku": "MUG-1", "product": product}
    found = conversion("product_viewed", data={"productVariant": variant})

    assert found.contents == (Content("", "", "y" * 256),)


NO_PAGES: list[Any] = [
    *("", "/products/mug", "mugs.example/a", "about:blank", "ftp://a.b", 7, None, [], {}),
    *("https://", "https://a b/", "https://[::1", "javascript:alert('https://mugs.example/')"),
]


@pytest.mark.parametrize(
    ("href", "told"),
    [
        (f"{SHOP}/products/mug", f"{SHOP}/products/mug"),
        (SHOP, f"{SHOP}/"),
        (f"{SHOP}?a=1", f"{SHOP}/"),
        (f"{SHOP}/#login", f"{SHOP}/"),
        ("HTTPS://Mugs.Example/A", f"{SHOP}/A"),
        ("https://ada:secret@mugs.example/a", f"{SHOP}/a"),
        ("http://127.0.0.1:8080/a", "http://127.0.0.1:8080/a"),
        (f"{SHOP}/a?email=ada@example.com&token=1&variant=2", f"{SHOP}/a"),
        (f"{SHOP}/a?utm_source=pinterest&gclid=7", f"{SHOP}/a?utm_source=pinterest"),
        (f"{SHOP}/a?utm_term=a+b%26c", f"{SHOP}/a?utm_term=a%20b%26c"),
        (f"{SHOP}/a?utm_term=ada@example.com", f"{SHOP}/a"),
        (f"{SHOP}/a?x=1&epik={EPIK}", f"{SHOP}/a?epik={EPIK}"),
        (f"{SHOP}/a?epik=cut", f"{SHOP}/a"),
        (f"{SHOP}/a b/ü", f"{SHOP}/a%20b/%C3%BC"),
        (f"{SHOP}/u/ada@example.com", f"{SHOP}/"),
        (f"{SHOP}/u/ada%2540example.com", f"{SHOP}/"),
        (f"{CHECKOUT_PAGE}/information", f"{SHOP}/checkouts"),
        (f"{SHOP}/en-us/account/reset/1/secret", f"{SHOP}/en-us/account"),
        (f"{SHOP}/gift_cards/1/secret", f"{SHOP}/gift_cards"),
        (f"{SHOP}/1/orders/secret/authenticate", f"{SHOP}/1/orders"),
        (f"{SHOP}/apps/club/0f1e2d3c4b5a69788796a5b4c3d2e1f0", f"{SHOP}/apps/club"),
        (f"{SHOP}//products/mug", f"{SHOP}/products/mug"),
        *((odd, "") for odd in NO_PAGES),
    ],
)
def test_the_page_is_sent_without_what_may_name_a_person(href: Any, told: str) -> None:
    assert conversion("product_viewed", href=href).event_source_url == told


def test_the_browsers_id_at_shopify_is_sent_and_joins_nobody() -> None:
    told = call(event("product_viewed")).events[0]
    assert told.conversion is not None
    assert told.conversion.client == sha256(CLIENT.encode()).hexdigest()
    assert told.conversion.identity.external_id == told.identity.external_id == ()


def test_an_id_that_the_call_tells_of_the_browser_is_that_of_all_its_events() -> None:
    silent = event("product_viewed")
    del silent["clientId"]
    told = call(silent, visitor=VISITOR, clientId=CLIENT).events[0]

    assert told.conversion is not None
    assert told.conversion.client == sha256(CLIENT.encode()).hexdigest()


@pytest.mark.parametrize("client_id", [None, "", "undefined", {}, "x" * 300])
def test_an_event_without_that_id_has_none(client_id: Any) -> None:
    told = conversion("product_viewed", clientId=client_id, visitor=VISITOR)
    assert told.client == ""


def test_who_refused_marketing_is_not_named_by_it() -> None:
    told = conversion("product_viewed", consent={"analytics": True, "marketing": False})
    assert told.client == ""


@pytest.mark.parametrize(
    ("navigator", "asked", "language"),
    [
        ({"language": "de-AT"}, "en-US,en;q=0.9", "de"),
        ({}, "pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ({"language": "fil-PH"}, "en", ""),
        ({"language": 7}, "", ""),
        ({}, "*", ""),
    ],
)
def test_the_language_is_the_browsers(navigator: dict[str, Any], asked: str, language: str) -> None:
    told = event("product_viewed")
    told["context"]["navigator"] = navigator
    found = call(told, caller=ClientInfo("203.0.113.7", CHROME, asked)).events[0].conversion
    assert found is not None
    assert found.language == language


@pytest.mark.parametrize("name", STAGES)
def test_every_stage_fits_pinterests_published_schema(name: str) -> None:
    told = msgspec.json.decode(encode(conversion(name, session=visited(epik=EPIK))))

    assert told["event_id"] == event()["id"]


# --- bots


@pytest.mark.parametrize(
    "user_agent",
    [
        "",
        " ",
        "Mozilla/5.0 (compatible; Pinterestbot/1.0; +http://www.pinterest.com/bot.html)",
        "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
        "Mozilla/5.0 (compatible; bingbot/2.0) Chrome/116.0.1938.76 Safari/537.36",
        "AdsBot-Google (+http://www.google.com/adsbot.html)",
        "Mozilla/5.0 (compatible; Baiduspider/2.0)",
        "Mozilla/5.0 (compatible; Yahoo! Slurp)",
        "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
        "Mozilla/5.0 SkypeUriPreview Preview/0.5",
        "Mozilla/5.0 (Linux; Android 11) Chrome/130.0.0.0 Mobile Safari/537.36 Chrome-Lighthouse",
        "Mozilla/5.0 Chrome/130 Safari/537.36 GTmetrix",
        "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
        *("curl/8.5.0", "Wget/1.21", "python-requests/2.32.3", "Python-urllib/3.11"),
    ],
)
def test_what_says_it_is_no_person_is_a_bot(user_agent: str) -> None:
    assert is_bot(user_agent)
    assert call(event(context={}), caller=ClientInfo("203.0.113.7", user_agent)).events[0].is_bot


@pytest.mark.parametrize(
    "user_agent",
    [
        CHROME,
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 HeadlessChrome/141.0.0.0 Safari/537.36",
        "Mozilla/5.0 (Linux; Android 13; CUBOT X70) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile",
        "Mozilla/5.0 (Linux; Android 10; Cubot_P40) AppleWebKit/537.36 Chrome/120.0.0.0 Mobile",
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Mobile/15E148 [Pinterest/iOS]",
        "Mozilla/5.0 (iPad; CPU OS 18_0 like Mac OS X) Version/18.0 Mobile/15E148 Safari/604.1",
    ],
)
def test_a_persons_browser_is_no_bot(user_agent: str) -> None:
    assert not is_bot(user_agent)


@pytest.mark.parametrize("agent", ["", "curl/8.5.0", "python-requests/2.32.3", "Wget/1.21"])
def test_a_program_may_tell_of_a_view_of_an_ad(agent: str) -> None:
    caller = ClientInfo("203.0.113.7", agent)

    assert not call(event("ad_viewed", context={}), caller=caller).events[0].is_bot


def test_a_crawler_sees_no_ad() -> None:
    caller = ClientInfo("203.0.113.7", "Mozilla/5.0 (compatible; Googlebot/2.1)")

    assert call(event("ad_viewed"), caller=caller).events[0].is_bot


def test_the_pixels_word_for_the_browser_counts_only_where_the_request_has_none() -> None:
    told = event(context={"navigator": {"userAgent": CHROME}})

    assert not call(told, caller=ClientInfo("203.0.113.7", "")).events[0].is_bot
    assert call(told, caller=ClientInfo("203.0.113.7", "curl/8.5.0")).events[0].is_bot


# --- whatever comes


Place = tuple[Any, ...]


def places(tree: Any, path: Place = ()) -> Iterator[Place]:
    """The path to each key and item of a tree."""
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
        yield (*path, key)
        if isinstance(value, dict | list):
            yield from places(value, (*path, key))


def changed(tree: Any, path: Place, value: Any) -> Any:
    """A copy of a tree with another value in one place."""
    copied = inner = copy.deepcopy(tree)
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return copied


def whole(name: str) -> dict[str, Any]:
    """A call of one event, in which everything that is read is there."""
    told = event(
        name,
        href=pinned(epik=EPIK),
        customData={"utm_term": "mug"},
        visitor=VISITOR,
        consent={"analytics": True, "marketing": True, "sale_of_data": True, "gpc": False},
        session=visited(referrer="https://pin.it/"),
    )
    return {
        "key": "site-key-1",
        "visitor": VISITOR,
        "consent": {},
        "session": {"utm_source": "x"},
        "cart_token": CART_TOKEN,
        "events": [told],
    }


WHOLE = {name: whole(name) for name in DATA}
# Without these there is no event, or none that may be counted.
_NEEDED = ("visitor", "consent", "events", "id", "name", "timestamp", "clientId")
OPTIONAL = [
    (name, path)
    for name, tree in WHOLE.items()
    for path in places(tree)
    if "consent" not in path
    and path != ("events", 0)
    and not (path[-1] in _NEEDED and len(path) < 4)
]


def test_what_does_not_fit_its_place_counts_as_missing() -> None:
    for name, path in OPTIONAL:
        odd, missing = changed(WHOLE[name], path, [[]]), changed(WHOLE[name], path, None)
        found = pixel_batch_of(raw(odd), CALLER, Policy(), NOW)

        assert len(found.events) == 1, path
        assert found == pixel_batch_of(raw(missing), CALLER, Policy(), NOW), path


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.sampled_from(["gid://shopify/Cart/", EPIK, "\x00", "%40", "9" * 300, "x" * 5000])
    | st.sampled_from([10**30, -1, 2**63, 1e308, 5e-324, "https://", "//", "@", "USD", "yes"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def is_sound(found: PixelBatch) -> bool:
    """Whether everything that came out can be kept and told."""
    for one in found.events:
        assert one.at <= NOW
        assert 0 <= one.value < 2**63
        assert (one.conversion is None) == (one.stage is None)
        text = msgspec.json.encode(one).decode()
        assert "\\u0000" not in text
        if one.conversion is not None:
            encode(one.conversion)
    return True


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_a_call_with_anything_anywhere_is_read_or_refused(name: str, data: st.DataObject) -> None:
    tree = WHOLE[name]
    chosen = data.draw(st.lists(st.sampled_from(list(places(tree))), max_size=4))
    for path in sorted(chosen, key=len, reverse=True):
        tree = changed(tree, path, data.draw(ANYTHING))
    try:
        found = pixel_batch_of(raw(tree), CALLER, Policy(), NOW)
    except ValidationError:
        assert ("events",) in chosen
    else:
        assert is_sound(found)


@given(st.sampled_from(sorted(WHOLE)), st.data())
def test_a_call_with_any_bytes_in_it_is_read_or_refused(name: str, data: st.DataObject) -> None:
    body = raw(WHOLE[name])
    start = data.draw(st.integers(0, len(body)))
    end = data.draw(st.integers(start, min(start + 20, len(body))))
    odd = data.draw(
        st.binary(max_size=8)
        | st.sampled_from([b"1e999", b"NaN", b"\\ud800", b"9" * 4300, b"[" * 990, b'{"a":' * 985])
    )
    try:
        found = pixel_batch_of(body[:start] + odd + body[end:], CALLER, Policy(), NOW)
    except ValidationError:
        return
    assert is_sound(found)


@pytest.mark.parametrize("depth", [10, 100, 300, 600, 900, 960, 980, 990, 1000, 5000, 30_000])
def test_a_nested_value_is_passed_over_or_refused_at_any_depth(depth: int) -> None:
    body = raw(event() | {"data": "HERE"}).replace(b'"HERE"', b"[" * depth + b"]" * depth)
    try:
        found = pixel_batch_of(body, CALLER, Policy(), NOW)
    except ValidationError:
        return
    assert found.events == (seen(),)


# --- nobody's name


EMAIL = "canary.bird@example.com"
SPELLINGS = st.sampled_from(
    [
        *("{}", " {} ", "mailto:{}", "for {} only", "{}, {}", "\u200b{}\u200b", "a@b{}", "{}/a"),
        *("https://mugs.example/{}", "https://mugs.example/?utm_term={}", "https://{}/a"),
        *("utm_source={}", "&{}", "?{}#", "%20{}", "gid://shopify/Cart/{}", '"{}"', "<{}>"),
    ]
)
ENCODED = st.sampled_from(["@", "%40", "%2540", "%252540"])


def sung(tree: Any, path: Place, text: str) -> str:
    """What comes out of a call that has a text in one place."""
    policy = Policy(content_id="sku")
    found = pixel_batch_of(raw(changed(tree, path, text)), CALLER, policy, NOW)
    assert len(found.events) == 1
    return msgspec.json.encode(found.events).decode().lower()


@given(st.sampled_from(OPTIONAL), SPELLINGS, ENCODED, st.integers(0, 300), st.booleans())
def test_no_email_address_comes_through_wherever_it_stands(
    place: tuple[str, Place], spelling: str, at: str, before: int, is_upper: bool
) -> None:
    text = "x" * before + spelling.format(EMAIL.replace("@", at), EMAIL)
    name, path = place

    assert "canary" not in sung(WHOLE[name], path, text.upper() if is_upper else text)


def test_no_email_address_comes_through_from_any_place() -> None:
    for name, path in OPTIONAL:
        assert "canary" not in sung(WHOLE[name], path, EMAIL), path


PERSON = {
    "firstName": "Canaria",
    "lastName": "Vogelsang",
    "city": "Canaryville",
    "zip": "10187-0187",
    "phone": "212-555-0187",
    "address1": "77 Aviary Row",
    "company": "Canary & Co",
}


@pytest.mark.parametrize("name", list(DATA))
def test_a_buyer_goes_out_as_digests_alone(name: str) -> None:
    told = event(name)
    told["data"]["checkout"] = copy.deepcopy(DATA["checkout_started"]["checkout"]) | {
        "email": EMAIL,
        "phone": "+12125550187",
        "billingAddress": PERSON,
        "shippingAddress": PERSON,
        "order": {"id": "5001", "customer": {"id": "987654321012", "email": EMAIL}},
    }
    out = msgspec.json.encode(call(told).events).decode().lower()

    clear = [*PERSON.values(), EMAIL, "12125550187", "2125550187", "987654321012"]
    assert [word for word in clear if word.lower() in out] == []
