"""The pixel in a real browser: what it tells, what it keeps, and that no shop notices it."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import requests
from msgspec import structs

from tests.actors import API_TOKEN, SECRET, instant, order
from tests.browser import (
    PATIENCE,
    QUICKEST,
    Visitor,
    chromium,
    visitor_of,
    visitor_without_storage,
    why_there_is_none,
)
from tests.servers import Server, serving
from tests.shopfront import (
    EVERYTHING,
    KEY,
    NOTHING,
    Recorder,
    Shopfront,
    checkout_token,
    email_of,
    phone_of,
)
from tests.standins.pinterest import FakePinterest
from tracking.domain.conversion import Content, Policy
from tracking.domain.placeholders import PLACEHOLDERS
from tracking.receive.pixel import ClientInfo, PixelBatch, pixel_batch_of

if TYPE_CHECKING:
    from playwright.sync_api import Browser

pytestmark = pytest.mark.skipif(bool(why_there_is_none()), reason=why_there_is_none())

EPIK = "dj0yJnU9Q2xpY2tPZkFQaW5PbkFQaG9uZSZwPTAmbj1leGFtcGxl"
OTHER_EPIK = "dj0yJnU9QW5vdGhlckNsaWNrT2ZBbm90aGVyUGluJnA9MCZuPXI"
PINNED = "utm_source=pinterest&utm_medium=cpc&utm_campaign=autumn&utm_campaign_id=626735565838"
LANDING = f"/products/mug?{PINNED}&epik={EPIK}"
CAMPAIGN = {
    "utm_source": "pinterest",
    "utm_medium": "cpc",
    "utm_campaign": "autumn",
    "utm_campaign_id": "626735565838",
}
PIN = "https://www.pinterest.com/"
# Nobody buys twice: the service would know them again.
BUYERS = itertools.count(7001)
OURS = {"_pin_vid", "_pin_visit", "_pin_cart", "_epik"}
MARKETING_REFUSED = {**EVERYTHING, "marketingAllowed": False}


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """One Chromium for all; each visitor has a profile of their own in it."""
    with chromium(QUICKEST) as started:
        yield started


@pytest.fixture
def visitor(browser: "Browser") -> Iterator[Visitor]:
    """Somebody who never was in the shop, and whose pages throw nothing."""
    with visitor_of(browser) as somebody:
        yield somebody
        assert somebody.errors == []


@pytest.fixture
def recorder() -> Iterator[Recorder]:
    """A collector that writes down what the service would understand, and nothing else."""
    with Recorder() as collector:
        yield collector
        for told in collector.calls:
            assert understood(told).errors == ()


@pytest.fixture
def shop() -> Iterator[Shopfront]:
    """A shop on Shopify whose visitors have allowed everything, without any pixel."""
    with Shopfront(next(BUYERS)) as opened:
        yield opened


@pytest.fixture
def sandbox(shop: Shopfront, recorder: Recorder) -> Shopfront:
    """The shop with the pixel as a custom pixel."""
    shop.custom_pixel = recorder.pixel
    return shop


@pytest.fixture
def theme(shop: Shopfront, recorder: Recorder) -> Shopfront:
    """The shop with the pixel in its theme."""
    shop.uses_tag(recorder.pixel_url)
    return shop


def consent_note(**said: bool) -> str:
    """What the cart tells of consent, where everything is allowed but what is said here."""
    allowed = {"analytics": True, "marketing": True, "sale_of_data": True, "gpc": False}
    return json.dumps({**allowed, **said}, separators=(",", ":"))


def understood(told: Any) -> PixelBatch:
    """What the service makes of a call."""
    caller = ClientInfo("203.0.113.7", "Mozilla/5.0 (Macintosh)")
    return pixel_batch_of(json.dumps(told).encode(), caller, Policy(), int(time.time()))


def seen(visitor: Visitor, recorder: Recorder, *names: str) -> None:
    """Wait until events of these names have arrived."""
    visitor.wait_until(lambda: set(names) <= set(recorder.names))


def hears_more(visitor: Visitor, recorder: Recorder, told: int) -> None:
    """Wait until there are more calls than those told before."""
    visitor.wait_until(lambda: len(recorder.calls) > told)


def lands(visitor: Visitor, shop: Shopfront, recorder: Recorder, path: str = LANDING) -> None:
    """Follow a pin into the shop, until the collector knows."""
    visitor.visits(shop.url + path, referrer=PIN)
    seen(visitor, recorder, "page_viewed")


def is_running(visitor: Visitor) -> None:
    """Wait until the pixel listens, in the sandbox or in the page."""
    visitor.page.wait_for_function(
        "self.__pinPixel || typeof listened === 'object' && listened.size === 6"
    )


def leaves(visitor: Visitor, recorder: Recorder) -> None:
    """Go somewhere else. What the pixel had to say is said when the next page is there."""
    visitor.visits(f"{recorder.url}/elsewhere")


def ours(visitor: Visitor) -> set[str]:
    """The names of the cookies that the pixel has set."""
    return OURS & visitor.cookies.keys()


def decides(visitor: Visitor, shop: Shopfront, **said: bool) -> None:
    """Answer the shop's banner, for this page and the next ones."""
    assert shop.privacy is not None
    shop.privacy |= said
    visitor.page.evaluate("said => decide(said)", said)


# --- In the sandbox of a custom pixel


def test_a_custom_pixel_tells_the_whole_journey_under_shopifys_own_ids(
    visitor: Visitor, sandbox: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, sandbox, recorder)
    visitor.clicks("[name=add]")
    seen(visitor, recorder, "product_viewed", "product_added_to_cart")
    visitor.clicks("a")
    visitor.clicks("[name=checkout]")
    seen(visitor, recorder, "checkout_started")
    visitor.clicks("[name=pay]")
    seen(visitor, recorder, "checkout_completed")

    assert all(event["id"].startswith("sh-") for event in recorder.events)
    assert {call["visitor"] for call in recorder.calls} == {recorder.events[0]["clientId"]}
    assert set(recorder.origins) == {"null"}
    assert {call["key"] for call in recorder.calls} == {KEY}


def test_every_event_of_a_journey_belongs_to_the_visit_that_the_pin_began(
    visitor: Visitor, sandbox: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, sandbox, recorder)
    visitor.clicks("[name=add]")
    visitor.clicks("a")
    visitor.clicks("[name=checkout]")
    seen(visitor, recorder, "checkout_started")

    began = recorder.events[0]["timestamp"]
    expected = {"landed_at": began, **CAMPAIGN, "epik": EPIK, "referrer": PIN}
    assert [call["session"] for call in recorder.calls] == [expected] * len(recorder.calls)
    touches = {
        one.touch.key for told in recorder.calls for one in understood(told).events if one.touch
    }
    assert len(touches) == 1


def test_events_close_together_share_one_call(
    visitor: Visitor, sandbox: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, sandbox, recorder)

    (call,) = recorder.calls
    assert [event["name"] for event in call["events"]] == ["page_viewed", "product_viewed"]


def test_no_call_holds_more_than_twenty_events(
    visitor: Visitor, sandbox: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, sandbox, recorder, "/")
    visitor.page.evaluate("for (let n = 0; n < 45; n++) publish('page_viewed', {})")
    visitor.wait_until(lambda: len(recorder.events) == 46)

    assert max(len(call["events"]) for call in recorder.calls) == 20


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_what_happened_just_before_leaving_is_told(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    visitor.visits(shop.url + LANDING)
    visitor.wait_until(lambda: "_pin_visit" in visitor.cookies)
    leaves(visitor, recorder)

    seen(visitor, recorder, "page_viewed")
    assert recorder.calls[0]["session"]["epik"] == EPIK


def test_an_ad_view_that_a_page_publishes_is_told(
    visitor: Visitor, sandbox: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, sandbox, recorder, "/")
    visitor.page.evaluate(
        "publish('ad_viewed', {campaign_id: '626735565838', pin_id: '88', who: 'canary'}, true)"
    )
    seen(visitor, recorder, "ad_viewed")

    touch = understood(recorder.calls[-1]).events[-1].touch
    assert touch is not None
    assert (touch.kind, touch.campaign_id) == ("view", "626735565838")


def test_the_custom_pixel_leaves_the_cart_to_the_theme(
    visitor: Visitor, sandbox: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, sandbox, recorder)
    leaves(visitor, recorder)

    assert sandbox.updates == []


@pytest.mark.parametrize("is_tag_first", [True, False])
def test_tag_and_custom_pixel_tell_of_one_visitor_and_one_visit(
    visitor: Visitor, shop: Shopfront, recorder: Recorder, is_tag_first: bool
) -> None:
    def put_in(tag: bool) -> None:
        if tag:
            shop.uses_tag(recorder.pixel_url)
        else:
            shop.custom_pixel = recorder.pixel

    put_in(is_tag_first)
    lands(visitor, shop, recorder)
    put_in(not is_tag_first)
    visitor.visits(f"{shop.url}/cart")
    visitor.wait_until(lambda: recorder.names.count("page_viewed") == 3)

    found = [one for told in recorder.calls for one in understood(told).events]
    assert len({one.visitor for one in found}) == 1
    assert len({one.touch.key for one in found if one.touch}) == 1


# --- The visit


def test_the_next_page_belongs_to_the_same_visit(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)
    visitor.clicks("a")
    visitor.wait_until(lambda: len(recorder.calls) == 2)

    landing, next_page = recorder.calls
    assert next_page["session"] == landing["session"]
    assert next_page["visitor"] == landing["visitor"]


@pytest.mark.parametrize(
    "link", [f"/?epik={OTHER_EPIK}", "/?utm_source=newsletter", f"{LANDING}&utm_content=b"]
)
def test_another_campaign_or_click_begins_another_visit(
    visitor: Visitor, theme: Shopfront, recorder: Recorder, link: str
) -> None:
    lands(visitor, theme, recorder)
    visitor.visits(theme.url + link)
    visitor.wait_until(lambda: len(recorder.calls) == 2)

    first, second = (call["session"] for call in recorder.calls)
    assert second["landed_at"] > first["landed_at"]
    assert second.get("epik") != first["epik"] or second["utm_content"] == "b"
    assert recorder.calls[0]["visitor"] == recorder.calls[1]["visitor"]


def test_the_same_link_again_is_the_same_visit(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)
    visitor.page.reload()
    visitor.wait_until(lambda: len(recorder.calls) == 2)

    assert recorder.calls[0]["session"] == recorder.calls[1]["session"]


def test_a_visit_rests_for_half_an_hour_at_most(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)
    (kept,) = [c for c in visitor.context.cookies() if c.get("name") == "_pin_visit"]
    assert kept.get("expires", 0) - time.time() == pytest.approx(1800, abs=60)

    visitor.context.clear_cookies(name="_pin_visit")
    visitor.visits(theme.url)
    visitor.wait_until(lambda: len(recorder.calls) == 2)

    later = recorder.calls[1]["session"]
    assert later["landed_at"] > recorder.calls[0]["session"]["landed_at"]
    assert "epik" not in later


def test_names_of_an_address_count_in_any_case(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder, f"/?EPIK={EPIK}&UTM_Source=pinterest")

    assert visitor.visit["epik"] == EPIK
    assert visitor.visit["utm_source"] == "pinterest"


def test_the_cookie_of_the_click_is_the_one_that_pinterest_uses(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)

    (kept,) = [c for c in visitor.context.cookies() if c.get("name") == "_epik"]
    assert kept.get("value") == EPIK
    assert kept.get("expires", 0) - time.time() == pytest.approx(365 * 86_400, abs=60)


@pytest.mark.parametrize("query", ["", "?utm_source=pinterest", "?epik="])
def test_no_cookie_of_a_click_is_set_where_there_was_none(
    visitor: Visitor, theme: Shopfront, recorder: Recorder, query: str
) -> None:
    lands(visitor, theme, recorder, f"/{query}")
    visitor.wait_until(lambda: "_pin_cart" in visitor.cookies)

    assert ours(visitor) == OURS - {"_epik"}


def test_a_visit_that_cannot_be_read_is_begun_anew(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    for junk in ("%", "null", "[]", "7", "{}", "%7Bx"):
        recorder.calls.clear()
        for name, value in (("_pin_visit", junk), ("_pin_vid", "<script>")):
            visitor.context.add_cookies([{"name": name, "value": value, "url": theme.url}])
        lands(visitor, theme, recorder)

        assert visitor.visit["epik"] == EPIK, junk
        assert visitor.cookies["_pin_vid"] == recorder.calls[0]["visitor"] != "<script>", junk


# What redirects, templates and plugins make of a link. The service reads each in its own language.
LINKS = [
    "utm_source=pinterest&utm_medium=cpc&utm_source=google&utm_medium=organic",
    "utm_source=&utm_source=pinterest&UTM_SOURCE=google",
    "utm_campaign={{campaign.name}}&utm_campaign=autumn&utm_campaign=winter",
    "utm_campaign=%7Bcampaign%7D&utm_campaign=(not+set)&utm_campaign=__ID__&utm_campaign=__id__",
    "utm_campaign=%23N%2FA&utm_campaign=%5CN&utm_campaign=[object%20Object]&utm_campaign=a",
    "utm_source=undefined&utm_campaign=null&utm_term=NaN",
    "utm_campaign=[brand]&utm_campaign=autumn",
    "utm_campaign=[Unknown]&utm_campaign=unknown",
    "utm_campaign=50%&utm_term=100%25%2520off&utm_content=%E0%A4%A",
    "utm_campaign=a%252Bb+c&utm_term=a%2526b&utm_content=a=b=c",
    "utm_source=pinterest&amp;utm_medium=cpc&amp;utm_campaign=autumn",
    "ref=x?utm_source=pinterest&utm_medium=cpc",
    "utm_source%3Dpinterest%26utm_medium%3Dcpc%26utm_campaign%3Dautumn%2520sale",
    "utm_term=ada%40example.com&utm_term=mug&utm_content=bob@example.com",
    "utm_campaign=%00%E2%80%8B&utm_campaign=autumn",
    f"utm_pin_id={'7' * 65}&utm_pin_id=88&utm_campaign_id=626735565838",
    f"epik=null&epik={{epik}}&epik=short&epik={EPIK}&epik={OTHER_EPIK}",
    f"epik={'0' * 20}&epik={'-' * 20}&epik=not_provided&EPIK={EPIK}",
    f"epik={EPIK.replace('=', '%253D')}%253D",
]


def test_pixel_and_service_read_every_link_alike(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    told: list[Any] = []
    for n, link in enumerate(LINKS):
        visitor.context.clear_cookies()
        visitor.visits(f"{theme.url}/?{link}")
        visitor.wait_until(lambda: len(recorder.calls) > len(told))
        told.append(recorder.calls[-1])
        assert len(told) == n + 1
    alone = [understood({**call, "session": None}).events[0].session for call in told]
    with_session = [understood(call).events[0].session for call in told]

    for link, one, other in zip(LINKS, alone, with_session, strict=True):
        assert structs.replace(one, stamped_at=0) == structs.replace(other, stamped_at=0), link


def test_no_word_for_nothing_is_a_campaign(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    for word in sorted(PLACEHOLDERS):
        visitor.context.clear_cookies()
        recorder.calls.clear()
        text = quote(word.upper())
        link = f"/?utm_source={text}&utm_term=({text})&utm_campaign=autumn"
        lands(visitor, theme, recorder, link)

        assert visitor.visit.keys() == {"landed_at", "utm_campaign", "referrer"}, word


def test_a_junk_click_id_never_replaces_a_good_one(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)
    for junk in ("null", "undefined", "{epik}", "%7B%7Bepik%7D%7D", "x", "nan", ""):
        told = len(recorder.calls)
        visitor.visits(f"{theme.url}/?epik={junk}&utm_source={{site}}")
        hears_more(visitor, recorder, told)

        assert recorder.calls[-1]["session"] == recorder.calls[0]["session"], junk
        assert visitor.cookies["_epik"] == EPIK, junk
    touches = {e.touch.key for call in recorder.calls for e in understood(call).events if e.touch}
    assert len(touches) == 1


# --- The browser's clock, and pages that nobody sees yet


@pytest.mark.parametrize("minutes", [0, 1000, -10])
def test_a_browser_whose_clock_is_wrong_tells_the_right_time(
    visitor: Visitor, theme: Shopfront, recorder: Recorder, minutes: int
) -> None:
    visitor.context.add_init_script(
        "const Clock = Date; const now = Date.now;"
        f"Date.now = () => now() + {minutes * 60_000};"
        "self.Date = class extends Clock {"
        " constructor(...given) { super(...(given.length ? given : [Date.now()])); } };"
    )
    lands(visitor, theme, recorder)
    visitor.clicks("a")
    visitor.wait_until(lambda: len(recorder.calls) == 2)

    found = [one for call in recorder.calls for one in understood(call).events]
    assert all(abs(one.at - time.time()) < 30 for one in found)
    assert all(one.touch and abs(one.touch.at - time.time()) < 30 for one in found)
    assert len({one.touch.key for one in found if one.touch}) == 1


PRERENDERED = """
let seen = false;
Object.defineProperty(Document.prototype, 'prerendering', { get: () => !seen });
self.activate = () => { seen = true; document.dispatchEvent(new Event('prerenderingchange')); };
"""


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_a_page_that_is_prerendered_tells_and_keeps_nothing_until_it_is_seen(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    if way == "theme":
        with_tag(shop, recorder)
    shop.first = PRERENDERED
    visitor.visits(shop.url + LANDING)
    visitor.page.evaluate(f"if (self.pintrk) {{ {ADDED} }}")
    visitor.page.wait_for_timeout(300)

    assert recorder.calls == []
    assert ours(visitor) == set()

    for frame in visitor.page.frames:
        frame.evaluate("self.activate()")
    seen(visitor, recorder, "page_viewed", *(["product_added_to_cart"] if way == "theme" else []))
    assert recorder.names.count("page_viewed") == 1
    assert visitor.visit["epik"] == EPIK


def test_a_page_that_is_prerendered_and_never_seen_is_not_told(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    theme.first = PRERENDERED
    visitor.visits(theme.url + LANDING)
    leaves(visitor, recorder)

    assert recorder.calls == []


# --- The hand-over to the order


def test_the_visit_goes_along_with_the_cart_from_the_landing_on(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)
    visitor.wait_until(lambda: bool(theme.updates))

    (cart,) = theme.carts.values()
    assert cart == {
        "__pin_vid": recorder.calls[0]["visitor"],
        "__pin_epik": EPIK,
        "__pin_touch": recorder.events[0]["timestamp"],
        "__pin_consent": consent_note(),
    }


def test_a_cart_is_told_once(visitor: Visitor, theme: Shopfront, recorder: Recorder) -> None:
    lands(visitor, theme, recorder)
    visitor.wait_until(lambda: "_pin_cart" in visitor.cookies)
    visitor.clicks("[name=add]")
    visitor.clicks("a")
    visitor.wait_until(lambda: len(recorder.calls) == 2)
    visitor.clicks("[name=checkout]")
    leaves(visitor, recorder)

    assert len(theme.updates) == 1


def test_a_new_visit_replaces_in_the_cart_all_that_the_last_one_told(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)
    visitor.wait_until(lambda: "_pin_cart" in visitor.cookies)
    visitor.visits(f"{theme.url}/?utm_source=newsletter")
    visitor.wait_until(lambda: len(theme.updates) == 2)

    (cart,) = theme.carts.values()
    assert cart["__pin_touch"] == visitor.visit["landed_at"]
    assert "__pin_epik" not in cart


def test_the_next_cart_after_an_order_is_told_again(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)
    visitor.wait_until(lambda: "_pin_cart" in visitor.cookies)
    visitor.context.clear_cookies(name="cart")
    visitor.visits(theme.url)
    visitor.wait_until(lambda: len(theme.updates) == 2)

    assert len(theme.carts) == 2
    assert theme.updates[0] == theme.updates[1]


def test_a_cart_that_could_not_be_told_is_told_with_the_next_page(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    theme.is_busy = True
    visitor.visits(f"{theme.url}/cart?epik={EPIK}")
    visitor.wait_until(lambda: theme.refusals == 1)
    seen(visitor, recorder, "page_viewed")
    theme.is_busy = False
    visitor.visits(f"{theme.url}/products/mug")

    visitor.wait_until(lambda: len(theme.updates) == 1)
    assert theme.updates[0]["__pin_epik"] == EPIK


def test_where_there_is_no_shop_no_cart_is_asked_for(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    theme.is_shopify, theme.privacy = False, None
    lands(visitor, theme, recorder)
    leaves(visitor, recorder)

    assert theme.updates == []
    assert recorder.calls[0]["session"]["epik"] == EPIK


# --- Consent


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_who_refuses_is_neither_told_of_nor_remembered(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    shop.privacy = dict(NOTHING)
    visitor.visits(shop.url + LANDING)
    is_running(visitor)
    leaves(visitor, recorder)

    assert recorder.calls == []
    assert shop.updates == []
    assert ours(visitor) == set()
    assert visitor.context.storage_state()["origins"] == []


def test_a_refusal_goes_along_with_the_cart_and_nothing_else_does(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    theme.privacy = dict(NOTHING)
    visitor.visits(theme.url + LANDING)
    visitor.clicks("[name=add]")
    visitor.page.wait_for_selector("text=added")
    visitor.clicks("a")
    visitor.wait_until(lambda: bool(theme.updates))

    (cart,) = theme.carts.values()
    refused = consent_note(analytics=False, marketing=False, sale_of_data=False)
    assert cart == {"__pin_consent": refused}
    assert ours(visitor) == set()


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_consent_that_comes_later_covers_the_visit_so_far(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    shop.privacy = dict(NOTHING)
    visitor.visits(shop.url + LANDING, referrer=PIN)
    is_running(visitor)
    decides(visitor, shop, **EVERYTHING)
    seen(visitor, recorder, "page_viewed")

    (call,) = recorder.calls
    assert call["consent"] == {
        "analytics": True,
        "marketing": True,
        "sale_of_data": True,
        "gpc": False,
    }
    page_viewed = call["events"][0]
    assert call["session"] == {
        "landed_at": page_viewed["timestamp"],
        **CAMPAIGN,
        "epik": EPIK,
        "referrer": PIN,
    }


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_consent_that_is_withdrawn_ends_it(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    lands(visitor, shop, recorder)
    decides(visitor, shop, **NOTHING)
    visitor.wait_until(lambda: not ours(visitor))
    told = len(recorder.calls)
    visitor.visits(shop.url + LANDING)
    is_running(visitor)
    leaves(visitor, recorder)

    assert len(recorder.calls) == told
    assert ours(visitor) == set()


def test_what_is_withdrawn_is_not_written_again_by_what_was_under_way(
    visitor: Visitor, sandbox: Shopfront, recorder: Recorder
) -> None:
    sandbox.privacy = dict(NOTHING)
    visitor.visits(sandbox.url + LANDING)
    is_running(visitor)
    visitor.page.evaluate(
        """() => {
            window.written = '';
            const held = new Promise(go => { window.release = go; });
            const { set } = asked;
            asked.set = async cookie => {
                if (!cookie.includes('max-age=0')) { window.isHeld = true; await held; }
                window.written += cookie;
                return set(cookie);
            };
        }"""
    )
    decides(visitor, sandbox, **EVERYTHING)
    visitor.page.wait_for_function("window.isHeld")
    decides(visitor, sandbox, **NOTHING)
    visitor.page.evaluate("release()")
    visitor.page.wait_for_function("written.includes('_pin_visit=%7B')")

    visitor.wait_until(lambda: not ours(visitor))


def test_consent_that_is_withdrawn_clears_the_cart_but_for_the_refusal(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    lands(visitor, theme, recorder)
    visitor.wait_until(lambda: "_pin_cart" in visitor.cookies)
    decides(visitor, theme, **NOTHING)
    visitor.wait_until(lambda: len(theme.updates) == 2)

    (cart,) = theme.carts.values()
    refused = consent_note(analytics=False, marketing=False, sale_of_data=False)
    assert cart == {"__pin_consent": refused}


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_where_marketing_is_refused_no_click_id_and_no_buyer_is_told(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    shop.privacy = dict(MARKETING_REFUSED)
    lands(visitor, shop, recorder)
    visitor.clicks("[name=add]")
    visitor.clicks("a")
    visitor.clicks("[name=checkout]")
    visitor.clicks("[name=pay]")
    leaves(visitor, recorder)

    assert {call["consent"]["marketing"] for call in recorder.calls} == {False}
    assert recorder.calls[0]["session"]["utm_source"] == "pinterest"
    everything = json.dumps([recorder.calls, shop.updates, visitor.cookies])
    assert EPIK not in everything
    assert email_of(shop.buyer) not in everything
    assert "_epik" not in visitor.cookies


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_marketing_that_is_withdrawn_takes_the_click_id_away(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    lands(visitor, shop, recorder)
    began = visitor.visit["landed_at"]
    visitor.clicks("a")
    visitor.wait_until(lambda: recorder.names.count("page_viewed") == 2)
    decides(visitor, shop, marketingAllowed=False)

    visitor.wait_until(lambda: "_epik" not in visitor.cookies)
    visitor.wait_until(lambda: EPIK not in json.dumps([visitor.cookies, list(shop.carts.values())]))
    assert visitor.visit["landed_at"] == began
    assert visitor.visit["utm_source"] == "pinterest"


def test_a_browser_that_asks_not_to_be_sold_is_believed(
    browser: "Browser", theme: Shopfront, recorder: Recorder
) -> None:
    with visitor_of(browser, gpc=True) as visitor:
        lands(visitor, theme, recorder)
        visitor.wait_until(lambda: bool(theme.updates))
        assert visitor.errors == []

    assert recorder.calls[0]["consent"]["gpc"] is True
    assert understood(recorder.calls[0]).events[0].consent.sale_of_data is False
    assert theme.updates[0]["__pin_consent"] == consent_note(gpc=True)


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_consent_that_nobody_tells_is_told_as_unknown(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    shop.privacy = None
    lands(visitor, shop, recorder)

    unknown = {"analytics": None, "marketing": None, "sale_of_data": None, "gpc": False}
    assert recorder.calls[0]["consent"] == unknown


def test_shopifys_consent_is_waited_for(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    theme.features, theme.privacy = threading.Event(), dict(NOTHING)
    visitor.page.goto(theme.url + LANDING, wait_until="commit")
    is_running(visitor)
    theme.features.set()
    visitor.page.wait_for_function("Shopify.customerPrivacy")
    leaves(visitor, recorder)

    assert recorder.calls == []
    assert ours(visitor) == set()


def test_consent_that_shopify_tells_late_is_heeded(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    theme.features = threading.Event()
    visitor.page.goto(theme.url + LANDING, wait_until="commit")
    is_running(visitor)
    theme.features.set()
    seen(visitor, recorder, "page_viewed")

    assert recorder.calls[0]["consent"]["marketing"] is True


# --- Beside the page's own Pinterest tag

# The shape of Pinterest's own snippet: calls wait in a queue until the real tag has come.
STUB = """<script>
window.pintrk = function () { window.pintrk.queue.push(Array.prototype.slice.call(arguments)); };
pintrk.queue = [];
pintrk.version = '3.0';
pintrk('load', '2612345678901');
pintrk('page');
EARLY
</script>"""
LOOKED_AT = "pintrk('track', 'pagevisit', {product_id: '111', value: 20, currency: 'USD'});"
ADDED = "pintrk('track', 'AddToCart', {product_id: '111', value: 20, currency: 'USD'});"
QUEUE = "pintrk.queue.map(call => Array.from(call))"


def with_tag(shop: Shopfront, recorder: Recorder, early: str = "") -> None:
    shop.uses_tag(recorder.pixel_url, "data-events", STUB.replace("EARLY", early))


def test_a_product_that_the_tag_tells_of_is_told_under_the_same_id(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    with_tag(theme, recorder)
    lands(visitor, theme, recorder)
    visitor.page.evaluate(LOOKED_AT + ADDED)
    seen(visitor, recorder, "product_viewed", "product_added_to_cart")

    tagged = {call[1].lower(): call[2]["event_id"] for call in visitor.page.evaluate(QUEUE)[2:]}
    told = {event["name"]: event["id"] for event in recorder.events}
    assert told["product_viewed"] == tagged["pagevisit"]
    assert told["product_added_to_cart"] == tagged["addtocart"]
    found = {one.name: one for call in recorder.calls for one in understood(call).events}
    added = found["product_added_to_cart"].conversion
    assert added is not None
    assert (added.value, added.currency) == ("20.00", "USD")
    assert [content.id for content in added.contents] == ["111"]


def test_an_id_that_the_page_gave_is_used_as_it_is(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    with_tag(theme, recorder)
    lands(visitor, theme, recorder)
    visitor.page.evaluate(LOOKED_AT.replace("{", "{event_id: 'the-pages-own-1', "))
    seen(visitor, recorder, "product_viewed")

    assert recorder.events[-1]["id"] == "the-pages-own-1"
    assert visitor.page.evaluate(QUEUE)[-1][2]["event_id"] == "the-pages-own-1"


def test_other_calls_of_the_tag_are_left_as_they_are(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    with_tag(theme, recorder)
    lands(visitor, theme, recorder)
    for given in (
        "'track', 'checkout', {order_id: '5001'}",
        "'set', {np: 'shop'}",
        "'track', 'pagevisit'",
        "'track', 'pagevisit', {value: 20, currency: 'USD', line_items: [{}]}",
        "'track', 'pagevisit', null",
        "'track'",
        "",
    ):
        before = visitor.page.evaluate(f"[{given}]")
        visitor.page.evaluate(f"pintrk({given})")
        assert visitor.page.evaluate(QUEUE)[-1] == before
    leaves(visitor, recorder)

    assert recorder.names == ["page_viewed"]


def test_the_items_that_a_page_tells_its_tag_are_told_and_nothing_else_is(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    with_tag(theme, recorder)
    lands(visitor, theme, recorder)
    item = "{product_id: '111', product_price: 20, product_quantity: 3, note: 'canary'}"
    told = f"{{value: 60, order_quantity: 3, currency: 'usd', line_items: [{item}], em: 'canary'}}"
    visitor.page.evaluate(f"pintrk('track', 'addtocart', {told})")
    seen(visitor, recorder, "product_added_to_cart")

    (added,) = [event for event in recorder.events if event["name"] == "product_added_to_cart"]
    assert "canary" not in json.dumps(added)
    found = [e.conversion for call in recorder.calls for e in understood(call).events]
    (conversion,) = [one for one in found if one]
    assert conversion.contents == (Content("111", "", "", "20.00", 3),)
    assert (conversion.num_items, conversion.value, conversion.currency) == (3, "60.00", "USD")


def adds(visitor: Visitor, recorder: Recorder, event_id: str) -> tuple[str, str]:
    """Put something into the cart, and return the ids that the collector and the tag are told."""
    before = len(recorder.events)
    visitor.page.evaluate(ADDED.replace("{", f"{{event_id: {event_id}, "))
    visitor.wait_until(lambda: len(recorder.events) > before)
    return recorder.events[-1]["id"], visitor.page.evaluate(QUEUE)[-1][2]["event_id"]


def test_any_printable_id_of_the_page_is_used_as_it_is(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    with_tag(theme, recorder)
    lands(visitor, theme, recorder)
    for event_id in ("atc/111#1", "42", "x" * 128, "né 1"):
        assert adds(visitor, recorder, json.dumps(event_id)) == (event_id, event_id)


def test_an_id_of_the_page_that_names_nothing_is_replaced_in_both_places(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    with_tag(theme, recorder)
    lands(visitor, theme, recorder)
    nothing = ["undefined", "null", "''", "' '", "'{event_id}'", "'ada@example.com'"]
    for event_id in (*nothing, "'x'.repeat(129)"):
        told, passed_on = adds(visitor, recorder, event_id)
        assert told == passed_on
        assert len(told) > 20


LATE = {
    "assigned": "window.pintrk = function () { pintrk.queue.push([...arguments]); };",
    "declared": "var pintrk = function () { pintrk.queue.push([...arguments]); };",
    "wrapped": "window.pintrk = function () { pintrk.queue.push([...arguments]); };"
    "const inner = window.pintrk; window.pintrk = (...call) => inner(...call);",
}


@pytest.mark.parametrize("way", LATE)
def test_a_tag_that_is_defined_after_the_pixel_is_found(
    visitor: Visitor, theme: Shopfront, recorder: Recorder, way: str
) -> None:
    theme.uses_tag(recorder.pixel_url, "data-events")
    lands(visitor, theme, recorder)
    visitor.page.add_script_tag(content=f"{LATE[way]} pintrk.queue = [];")
    visitor.page.evaluate(ADDED)
    seen(visitor, recorder, "product_added_to_cart")

    told = {event["id"] for event in recorder.events if event["name"] != "page_viewed"}
    assert {call[2]["event_id"] for call in visitor.page.evaluate(QUEUE)} == told


def test_a_tag_that_cannot_be_told_of_works_on(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    with_tag(theme, recorder)
    lands(visitor, theme, recorder)
    visitor.page.evaluate(
        "const odd = {product_id: '1'}; odd.line_items = odd; pintrk('track', 'addtocart', odd)"
    )

    assert visitor.page.evaluate("pintrk.queue.length") == 3


def test_without_data_events_the_tag_is_not_touched(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    theme.uses_tag(recorder.pixel_url, more=STUB.replace("EARLY", LOOKED_AT))
    lands(visitor, theme, recorder)
    leaves(visitor, recorder)

    assert recorder.names == ["page_viewed"]


# --- The shop never notices


@pytest.mark.parametrize("way", ["sandbox", "theme"])
def test_a_collector_that_is_down_makes_no_error(
    visitor: Visitor, recorder: Recorder, way: str, request: pytest.FixtureRequest
) -> None:
    shop: Shopfront = request.getfixturevalue(way)
    shop.uses_tag(f"{shop.url}/pixel.js")
    shop.pixel = recorder.pixel
    recorder.stop()
    failed: list[str] = []
    visitor.context.on("requestfailed", lambda request: failed.append(request.url))
    visitor.visits(shop.url + LANDING)

    visitor.wait_until(lambda: f"{recorder.url}/collect" in failed)
    assert "_pin_visit" in visitor.cookies


def test_without_storage_the_landing_is_still_told(
    browser: "Browser", theme: Shopfront, recorder: Recorder, tmp_path: Path
) -> None:
    with visitor_without_storage(browser, tmp_path) as visitor:
        lands(visitor, theme, recorder)
        leaves(visitor, recorder)
        assert visitor.errors == []
        assert visitor.cookies == {}

    assert recorder.calls[0]["session"]["epik"] == EPIK
    assert theme.updates == []


@pytest.mark.parametrize("breakage", ["delete window.fetch", "window.fetch = () => { throw 1 }"])
def test_without_fetch_a_beacon_is_sent(
    visitor: Visitor, theme: Shopfront, recorder: Recorder, breakage: str
) -> None:
    visitor.context.add_init_script(breakage)
    lands(visitor, theme, recorder)

    assert recorder.names == ["page_viewed"]


def test_a_tag_that_is_there_twice_acts_once(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    theme.head *= 2
    lands(visitor, theme, recorder)
    leaves(visitor, recorder)

    assert recorder.names == ["page_viewed"]


def test_the_page_gets_one_name_more(
    visitor: Visitor, theme: Shopfront, recorder: Recorder
) -> None:
    names = "Object.getOwnPropertyNames(window)"
    with_pixel, theme.head = theme.head, ""
    visitor.visits(theme.url)
    before = set(visitor.page.evaluate(names))
    theme.head = with_pixel
    visitor.visits(theme.url)
    seen(visitor, recorder, "page_viewed")

    assert set(visitor.page.evaluate(names)) - before == {"__pinPixel"}


# --- The whole way, through the real service


@pytest.fixture(scope="module")
def pinterest() -> Iterator[FakePinterest]:
    """The Pinterest that the running service talks to."""
    with FakePinterest() as stand_in:
        yield stand_in


@pytest.fixture(scope="module")
def service(pinterest: FakePinterest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with its collector open."""
    folder = tmp_path_factory.mktemp("collecting")
    env = {
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "API_TOKEN": API_TOKEN,
        "COLLECTOR_KEY": KEY,
        "DATABASE_URL": f"sqlite:///{folder}/tracking.db",
        "PINTEREST_ACCESS_TOKEN": pinterest.token,
        "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
        "PINTEREST_API_BASE": pinterest.url,
        "WEB_CONCURRENCY": "1",
    }
    with serving(folder, env) as running:
        yield running


def funnel(service: Server) -> dict[str, int]:
    """How many events each stage has."""
    report = service.reads("/conversion-funnel?traffic=pinterest")
    return {stage["stage"]: stage["events"] for stage in report["stages"]}


def buys(shop: Shopfront, service: Server, **changes: Any) -> str:
    """The id of the order that Shopify makes of the one cart and tells of, signed."""
    ((cart, attributes),) = shop.carts.items()
    now = instant(time.time())
    email = email_of(shop.buyer)
    known = {
        "id": shop.buyer,
        "email": email,
        "contact_email": email,
        "customer": {"id": shop.buyer, "email": email},
        "billing_address": {"country_code": "US", "phone": phone_of(shop.buyer)},
        "cart_token": cart,
        "checkout_token": checkout_token(cart),
        "note_attributes": [{"name": name, "value": value} for name, value in attributes.items()],
        **dict.fromkeys(("created_at", "processed_at", "updated_at"), now),
    }
    body = order(**(known | changes))
    assert service.sends("orders/create", json.dumps(body).encode()).status_code == 200
    return str(shop.buyer)


def counts(visitor: Visitor, service: Server, stage: str, before: dict[str, int]) -> None:
    """Wait until the service has counted one more event of this stage."""
    visitor.wait_until(lambda: funnel(service)[stage] > before[stage])


def goes_to_checkout(visitor: Visitor, shop: Shopfront, service: Server) -> None:
    """From a product to the thank-you page, as fast as the service counts."""
    before = funnel(service)
    visitor.visits(f"{shop.url}/products/mug")
    counts(visitor, service, "product_view", before)
    visitor.clicks("[name=add]")
    counts(visitor, service, "add_to_cart", before)
    visitor.clicks("a")
    visitor.clicks("[name=checkout]")
    counts(visitor, service, "checkout_initiation", before)
    visitor.clicks("[name=pay]")


def names_of(fake: FakePinterest) -> set[str]:
    """Returns the names of the events that Pinterest has taken."""
    return {event["event_name"] for event in fake.events.values()}


def test_a_journey_from_a_pin_to_the_order_is_counted_credited_and_told_to_pinterest(
    visitor: Visitor, shop: Shopfront, service: Server, pinterest: FakePinterest
) -> None:
    before = funnel(service)
    shop.uses_tag(f"{service.url}/pixel.js")
    visitor.visits(shop.url + LANDING, referrer=PIN)
    visitor.wait_until(lambda: "_pin_cart" in visitor.cookies)
    shop.custom_pixel = requests.get(f"{service.url}/pixel.js", timeout=PATIENCE).text
    goes_to_checkout(visitor, shop, service)
    number = buys(shop, service)
    pinterest.wait_until(lambda fake: f"checkout-{number}" in fake.accepted, timeout=PATIENCE)

    stages = {stage: count - before[stage] for stage, count in funnel(service).items()}
    assert stages == dict.fromkeys(before, 1)
    journey = service.reads(f"/orders/{number}/journey")
    visits = {(touch["at"], touch["campaign_id"]) for touch in journey["touches"]}
    assert {campaign for _, campaign in visits} == {"626735565838"}
    assert len(visits) == 1
    assert journey["visitor"] == visitor.cookies["_pin_vid"]
    assert journey["why"].startswith("Credited to Pinterest: a click of campaign autumn")
    sent = pinterest.events[f"checkout-{number}"]
    assert sent["user_data"]["click_id"] == EPIK
    # A browser on this machine has no address that may be sent: the others name nobody.
    pinterest.wait_until(
        lambda fake: names_of(fake) >= {"initiate_checkout", "checkout"}, timeout=PATIENCE
    )
    assert names_of(pinterest) == {"initiate_checkout", "checkout"}


def test_the_cart_alone_tells_the_order_where_it_came_from(
    visitor: Visitor, shop: Shopfront, service: Server, pinterest: FakePinterest
) -> None:
    shop.uses_tag(f"{service.url}/pixel.js")
    visitor.visits(shop.url + LANDING, referrer=PIN)
    visitor.wait_until(lambda: "_pin_cart" in visitor.cookies)
    number = buys(shop, service, landing_site="/", checkout_token=None, cart_token=None)
    pinterest.wait_until(lambda fake: f"checkout-{number}" in fake.accepted, timeout=PATIENCE)

    journey = service.reads(f"/orders/{number}/journey")
    assert journey["session"]["click_id"] == EPIK
    assert [one["campaign_id"] for one in journey["credits"]["last_touch"]] == ["626735565838"]
    assert journey["visitor"] == visitor.cookies["_pin_vid"]


def test_the_custom_pixel_alone_tells_the_order_where_it_came_from(
    visitor: Visitor, shop: Shopfront, service: Server, pinterest: FakePinterest
) -> None:
    shop.custom_pixel = requests.get(f"{service.url}/pixel.js", timeout=PATIENCE).text
    visitor.visits(shop.url + LANDING, referrer=PIN)
    visitor.wait_until(lambda: "_pin_visit" in visitor.cookies)
    goes_to_checkout(visitor, shop, service)
    number = buys(shop, service, landing_site="/")
    pinterest.wait_until(lambda fake: f"checkout-{number}" in fake.accepted, timeout=PATIENCE)

    assert pinterest.events[f"checkout-{number}"]["user_data"]["click_id"] == EPIK


def test_the_order_of_somebody_who_refused_is_recorded_and_not_sent(
    visitor: Visitor, shop: Shopfront, service: Server, pinterest: FakePinterest
) -> None:
    shop.uses_tag(f"{service.url}/pixel.js")
    visitor.visits(shop.url + LANDING, referrer=PIN)
    visitor.wait_until(lambda: "_pin_cart" in visitor.cookies)
    decides(visitor, shop, **NOTHING)
    visitor.wait_until(lambda: len(shop.updates) == 2)
    number = buys(shop, service, landing_site=LANDING)

    journey = service.reads(f"/orders/{number}/journey")
    assert journey["consent"]["marketing"] is False
    assert journey["reason"] == "consent_refused"
    assert f"checkout-{number}" not in pinterest.accepted
