"""The purchase event of an order: its goods, their number, and its worth."""

from typing import Any

import pytest

from tracking.domain.consent import Consent
from tracking.domain.conversion import (
    Content,
    Conversion,
    Policy,
    conversion_of,
    event_id_of,
)
from tracking.domain.identity import Identity
from tracking.domain.order import Browser, Buyer, Line, Order

PLACED_AT = 1_795_176_000
MUG = Line("111", "222", "MUG-1", "Mug", "Kiln", "20.00", 2)
CUP = Line("112", "223", "CUP-1", "Cup", "Kiln", "5.50", 3)
IDENTITY = Identity(external_id=())


def order(**changes: Any) -> Order:
    """An order of two mugs and three cups for 56.50, and 8.50 of tax and shipping."""
    known: dict[str, Any] = {
        "id": "5001",
        "name": "#1001",
        "placed_at": PLACED_AT,
        "processed_at": PLACED_AT + 1,
        "updated_at": PLACED_AT + 2,
        "cancelled_at": None,
        "currency": "USD",
        "net": 5_650,
        "total": 6_500,
        "test": False,
        "financial_status": "paid",
        "source_name": "web",
        "locale": "en-US",
        "origin": "webhook",
        "landing_site": "/",
        "referring_site": "",
        "checkout_token": "",
        "cart_token": "",
        "notes": (),
        "lines": (MUG, CUP),
        "refunds": (),
        "buyer": Buyer(),
        "browser": Browser("203.0.113.7", "Mozilla/5.0"),
        "digest": "d",
    }
    return Order(**{**known, **changes})


def purchase(
    policy: Policy | None = None, consent: Consent | None = None, **changes: Any
) -> Conversion:
    return conversion_of(
        order(**changes),
        IDENTITY,
        consent or Consent(),
        policy or Policy(),
        "https://shop.example/products/mug",
        "epik",
    )


def test_a_purchase_holds_what_the_order_says() -> None:
    assert purchase() == Conversion(
        event_id="checkout-5001",
        event_name="checkout",
        action_source="web",
        event_time=PLACED_AT,
        identity=IDENTITY,
        event_source_url="https://shop.example/products/mug",
        partner_name="",
        language="en",
        opt_out=False,
        limited=False,
        click_id="epik",
        ip="203.0.113.7",
        user_agent="Mozilla/5.0",
        currency="USD",
        value="56.50",
        order_id="5001",
        contents=(
            Content("111", "Mug", "Kiln", "20.00", 2),
            Content("112", "Cup", "Kiln", "5.50", 3),
        ),
        num_items=5,
    )


def test_a_purchase_without_a_visit_has_neither_page_nor_click() -> None:
    found = conversion_of(order(origin=""), IDENTITY, Consent(), Policy())
    assert (found.event_source_url, found.click_id) == ("", "")


def test_the_number_of_items_is_the_sum_of_all_quantities() -> None:
    assert purchase().num_items == 2 + 3
    assert purchase(lines=(MUG,)).num_items == 2
    assert purchase(lines=()).num_items == 0


def test_a_line_that_was_removed_is_no_content() -> None:
    removed = Line("113", "224", "JUG-1", "Jug", "Kiln", "9.00", 0)
    single = Line("114", "225", "BOWL-1", "Bowl", "Kiln", "7.00", 1)

    found = purchase(lines=(MUG, removed, single))

    assert [content.id for content in found.contents] == ["111", "114"]
    assert found.num_items == 3


def test_of_more_than_250_lines_the_first_are_listed_and_all_are_counted() -> None:
    lines = tuple(Line(str(n), "", "", "", "", "1.00", 1) for n in range(251))

    found = purchase(lines=lines)

    assert [content.id for content in found.contents] == [str(n) for n in range(250)]
    assert found.num_items == 251


def test_contents_are_known_by_the_id_that_the_catalogue_uses() -> None:
    def ids(**policy: Any) -> list[str]:
        return [content.id for content in purchase(Policy(**policy)).contents]

    assert ids(content_id="product") == ["111", "112"]
    assert ids(content_id="variant") == ["222", "223"]
    assert ids(content_id="sku") == ["MUG-1", "CUP-1"]


def test_the_worth_is_that_of_the_goods_or_of_the_whole_order() -> None:
    assert purchase(Policy(value="net")).value == "56.50"
    assert purchase(Policy(value="total")).value == "65.00"


def test_an_order_over_the_counter_has_no_page() -> None:
    found = purchase(source_name="pos")
    assert (found.action_source, found.event_source_url) == ("offline", "")


@pytest.mark.parametrize(
    ("locale", "language"),
    [
        *[
            ("en-US", "en"),
            ("DE", "de"),
            ("pt_BR", "pt"),
            ("zh-Hant-TW", "zh"),
            ("fr_CA.utf8", "fr"),
        ],
        *[("", ""), ("e", ""), ("1x", ""), ("ñe", ""), ("fil-PH", ""), ("fil", ""), ("haw-US", "")],
        *[("und", ""), ("english", ""), ("C", ""), ("*", "")],
    ],
)
def test_the_language_is_two_letters_or_none(locale: str, language: str) -> None:
    assert purchase(locale=locale).language == language


@pytest.mark.parametrize(
    ("consent", "unknown", "is_limited"),
    [
        (Consent(marketing=True, sale_of_data=False), "send", True),
        (Consent(marketing=True, sale_of_data=True), "limit", False),
        (Consent(marketing=None), "limit", True),
        (Consent(marketing=None), "send", False),
    ],
)
def test_a_limited_event_opts_out(consent: Consent, unknown: Any, is_limited: bool) -> None:
    found = purchase(Policy(consent_unknown=unknown), consent)
    assert (found.opt_out, found.limited) == (is_limited, is_limited)


def test_what_a_content_does_not_know_is_left_out() -> None:
    assert Content("111") == Content("111", name="", brand="", price="", quantity=1)


def test_an_event_without_goods_holds_no_worth() -> None:
    bare = Conversion("page-1", "page_visit", "web", PLACED_AT, IDENTITY)
    assert bare == Conversion(
        "page-1",
        "page_visit",
        "web",
        PLACED_AT,
        IDENTITY,
        event_source_url="",
        partner_name="",
        language="",
        opt_out=False,
        limited=False,
        click_id="",
        ip="",
        user_agent="",
        currency="",
        value="",
        order_id="",
        contents=(),
        num_items=0,
    )


def test_an_order_has_one_event_id() -> None:
    assert event_id_of("5001") == "checkout-5001"
