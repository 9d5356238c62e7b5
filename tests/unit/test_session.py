"""The visit of an order: each source in its order, and what must not come through."""

import json
import re
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote, unquote, urlencode, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.domain.consent import Consent, consent_of
from tracking.domain.order import Browser, Buyer, Order
from tracking.domain.pinterest_traffic import media_with
from tracking.domain.referrers import is_same_site, source_of
from tracking.domain.session import Session, fill_from_pixel
from tracking.domain.session_reader import hints_of_visit, session_and_page_of, session_from
from tracking.domain.shopify_order import order_of
from tracking.domain.web_text import query_pairs

EPIK = "dj0yJnU9Q2xpY2tPZkFQaW5PbkFQaG9uZSZwPTAmbj1leGFtcGxl"
OTHER_EPIK = "dj0yJnU9QW5vdGhlckNsaWNrT2ZBbm90aGVyUGluJnA9MCZuPXI"
VISITOR = "5f1c2a9e-visitor_1"
Notes = tuple[tuple[str, str], ...]


def page_url_of(order: Order) -> str:
    _, page = session_and_page_of(order)
    return page


def session_of(order: Order, stored: Session | None = None) -> Session:
    """The session of an order, with what the pixel `stored` of its checkout."""
    session, _ = session_and_page_of(order)
    return session if stored is None else fill_from_pixel(session, stored)


def an_order(
    landing: str = "",
    referring: str = "",
    notes: Notes = (),
    origin: str = "https://mugs.example",
) -> Order:
    return Order(
        id="7",
        name="#7",
        placed_at=1_770_000_000,
        processed_at=1_770_000_000,
        updated_at=1_770_000_000,
        cancelled_at=None,
        currency="EUR",
        net=1000,
        total=1190,
        test=False,
        financial_status="paid",
        source_name="web",
        locale="de",
        origin=origin,
        landing_site=landing,
        referring_site=referring,
        checkout_token="",
        cart_token="",
        notes=notes,
        lines=(),
        refunds=(),
        buyer=Buyer(),
        browser=Browser(),
        digest="",
    )


def noted(**notes: str) -> Session:
    return session_of(an_order(notes=tuple(notes.items())))


def landed(query: str) -> Session:
    return session_of(an_order(landing=f"/products/mug?{query}"))


def landing_of(length: int, tail: str) -> str:
    """A landing page of exactly this length that ends with `tail`."""
    head = "/products/mug?utm_source=pinterest&x="
    return head + "p" * (length - len(head) - len(tail)) + tail


def any_text(max_size: int = 300) -> st.SearchStrategy[str]:
    """Any text at all, lone surrogates and control characters included."""
    return st.text(st.characters(), max_size=max_size)


def addresses() -> st.SearchStrategy[str]:
    marks = st.sampled_from([*"?&=#%+;:/@é🔥\x00", "%4", "%40", "%2540", "//", "&amp;"])
    words = st.sampled_from(["utm_source", "utm_campaign", "epik", "EPIK", "a.b"])
    built = st.lists(st.one_of(marks, words, any_text(5)), max_size=80).map("".join)
    return st.one_of(any_text(), built)


# --- where a field comes from


NAMES = [
    ("utm_source", "source", "pinterest"),
    ("utm_medium", "medium", "cpc"),
    ("utm_campaign", "campaign", "Spring Sale"),
    ("utm_campaign_id", "campaign_id", "626750000001"),
    ("utm_pin_id", "pin_id", "9988776655"),
    ("utm_ad_id", "ad_id", "687000000002"),
    ("utm_term", "term", "stone mug"),
    ("utm_content", "content", "carousel 2"),
    ("epik", "click_id", EPIK),
    ("track_ai_store_id", "store_id", "pinterest_store"),
    ("track_ai_pixel_id", "pixel_id", "pinterest_pixel"),
]
OURS = [
    ("pin_source", "source", "pinterest"),
    ("pin_medium", "medium", "paid"),
    ("pin_campaign", "campaign", "Spring Sale"),
    ("pin_campaign_id", "campaign_id", "626750000001"),
    ("pin_pin_id", "pin_id", "9988776655"),
    ("pin_ad_id", "ad_id", "687000000002"),
    ("pin_term", "term", "stone mug"),
    ("pin_content", "content", "carousel 2"),
    ("pin_epik", "click_id", EPIK),
    ("pin_vid", "visitor", VISITOR),
]


@pytest.mark.parametrize("underscores", ["", "_", "__"])
@pytest.mark.parametrize(("name", "field", "value"), NAMES + OURS)
def test_a_note_fills_its_field_in_any_spelling(
    name: str, field: str, value: str, underscores: str
) -> None:
    for spelling in (name, name.upper(), name.title()):
        session = noted(**{underscores + spelling: value})
        assert getattr(session, field) == value
        assert session.origins == ((field, "note_attributes"),)


@pytest.mark.parametrize(("name", "field", "value"), NAMES)
def test_the_landing_page_fills_its_fields(name: str, field: str, value: str) -> None:
    session = landed(urlencode({name.upper(): value}))
    assert getattr(session, field) == value
    assert session.origins == ((field, "landing_site"),)


@pytest.mark.parametrize(("name", "field", "value"), NAMES)
def test_the_referrer_fills_its_fields(name: str, field: str, value: str) -> None:
    session = session_of(an_order(referring="https://news.example/?" + urlencode({name: value})))
    assert getattr(session, field) == value
    assert session.origins == tuple((f, "referring_site") for f in sorted((field, "referrer")))


def test_notes_win_over_landing_page_over_referrer_over_pixel() -> None:
    stored = Session(source="d", medium="d", campaign="d", term="d", visitor="visitor-d")
    order = an_order(
        notes=(("utm_source", "a"),),
        landing="/?utm_source=b&utm_medium=b",
        referring="https://news.example/?utm_source=c&utm_medium=c&utm_campaign=c",
    )
    session = session_of(order, stored)
    assert (session.source, session.medium, session.campaign) == ("a", "b", "c")
    assert (session.term, session.visitor) == ("d", "visitor-d")
    assert session.origins == (
        ("campaign", "referring_site"),
        ("medium", "landing_site"),
        ("referrer", "referring_site"),
        ("source", "note_attributes"),
        ("term", "pixel"),
        ("visitor", "pixel"),
    )


def test_what_the_pixel_stored_fills_every_gap() -> None:
    stored = Session(
        source="pinterest",
        medium="cpc",
        campaign="c",
        campaign_id="1",
        pin_id="2",
        ad_id="3",
        term="t",
        content="x",
        click_id=EPIK,
        visitor=VISITOR,
        referrer="www.pinterest.com",
        store_id="s",
        pixel_id="p",
        stamped_at=1_769_000_000,
    )
    session = session_of(an_order(), stored)
    assert {origin for _, origin in session.origins} == {"pixel"}
    for field in (field for field in Session.__struct_fields__ if field != "origins"):
        assert getattr(session, field) == getattr(stored, field)


def test_of_two_notes_of_one_field_the_first_that_says_something_counts() -> None:
    notes = (("utm_source", " "), ("UTM_Source", "pinterest"), ("_utm_source", "google"))
    assert session_of(an_order(notes=notes)).source == "pinterest"


def test_a_note_that_does_not_fit_leaves_the_field_to_the_next_source() -> None:
    order = an_order(notes=(("__pin_epik", "not a click id"),), landing=f"/?epik={EPIK}")
    session = session_of(order)
    assert (session.click_id, session.origins) == (EPIK, (("click_id", "landing_site"),))


def test_notes_as_list_and_as_dict_are_the_same_session() -> None:
    body = {
        "id": 7,
        "created_at": "2026-02-02T10:00:00Z",
        "currency": "EUR",
        "total_price": "10.00",
        "line_items": [],
    }
    notes = {"utm_source": "pinterest", "__pin_epik": EPIK, "gift": None}
    as_list = [{"name": name, "value": value} for name, value in notes.items()]
    sessions = [
        session_of(order_of(json.dumps({**body, "note_attributes": kind}).encode()))
        for kind in (notes, as_list)
    ]
    assert sessions[0] == sessions[1]
    assert sessions[0].click_id == EPIK


def test_an_order_without_any_trace_is_direct_and_empty() -> None:
    assert session_of(an_order()) == Session()
    assert Session().is_direct
    assert not Session().is_from_pinterest()


def test_a_shared_link_does_not_make_one_visitor_of_many_people() -> None:
    session = landed(f"pin_vid={VISITOR}&__pin_vid={VISITOR}&pin_touch=1770000000")
    assert session == Session()


def test_names_sent_by_the_pixel_are_read_like_notes() -> None:
    told = [("utm_source", "pinterest"), ("epik", EPIK), ("pin_vid", VISITOR), ("other", "x")]
    session = session_from(told, "https://www.Pinterest.com/pin/1/")
    assert session == Session(
        source="pinterest",
        click_id=EPIK,
        visitor=VISITOR,
        referrer="www.pinterest.com",
        origins=tuple((f, "pixel") for f in ("click_id", "referrer", "source", "visitor")),
    )


# --- the referrer


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("https://WWW.Pinterest.com/pin/12/?x=1", "www.pinterest.com"),
        ("http://news.example:8080", "news.example"),
        ("android-app://com.pinterest/", "com.pinterest"),
        ("//in.pinterest.com/", "in.pinterest.com"),
        ("www.pinterest.com/pin/12", "www.pinterest.com"),
        ("https://jane@news.example./", "news.example"),
        ("https://news.example#top", "news.example"),
        ("/products/mug", ""),
        ("about:blank", ""),
        ("https://", ""),
        ("https://[::1]/", ""),
        ("https://not a host/", ""),
        ("", ""),
    ],
)
def test_the_referrer_is_the_host_alone(address: str, host: str) -> None:
    assert session_of(an_order(referring=address)).referrer == host


@pytest.mark.parametrize(
    "own",
    [
        "https://mugs.example/cart",
        "https://www.mugs.example/",
        "https://checkout.mugs.example/checkouts/cn/x",
        "https://de.shop.mugs.example",
    ],
)
def test_the_shop_itself_is_no_referrer(own: str) -> None:
    assert session_of(an_order(referring=own)) == Session()


@pytest.mark.parametrize(
    ("host", "other"),
    [
        ("www.mugs.example", "checkout.mugs.example"),
        ("mugs.co.uk", "checkout.mugs.co.uk"),
        ("mugs.com.au", "www.mugs.com.au"),
        ("mugs.myshopify.com", "mugs.myshopify.com"),
        ("mugs.vercel.app", "www.mugs.vercel.app"),
        ("mugs.uk.com", "checkout.mugs.uk.com"),
        ("203.0.113.9", "203.0.113.9"),
    ],
)
def test_hosts_of_one_domain_are_one_site(host: str, other: str) -> None:
    assert is_same_site(host, other)
    assert source_of(f"https://{host}/", [other]) == ""


@pytest.mark.parametrize(
    ("host", "other"),
    [
        ("mugs.example", "cups.example"),
        ("mugs.co.uk", "cups.co.uk"),
        ("mugs.com", "mugs.de"),
        ("mymugs.com", "mugs.com"),
        *(
            (f"mugs.{shared}", f"cups.{shared}")
            for shared in ("vercel.app", "netlify.app", "web.app", "pages.dev", "uk.com")
        ),
        ("mugs.my.canva.site", "cups.my.canva.site"),
        ("203.0.113.9", "198.51.113.9"),
    ],
)
def test_hosts_of_two_domains_are_two_sites(host: str, other: str) -> None:
    assert not is_same_site(host, other)
    assert source_of(f"https://{host}/", [other]) == host


def test_two_shops_at_shopify_are_two_sites() -> None:
    assert not is_same_site("mugs.myshopify.com", "cups.myshopify.com")


@pytest.mark.parametrize(
    "page",
    [
        "https://www.paypal.com/checkoutnow?token=x",
        "https://shop.app/checkout/1/cn/x",
        "android-app://com.shopify.arrive/",
        "https://checkout.shopify.com/1/checkouts/x",
        "https://pay.shopify.com/",
        "https://shopify.com/12345678/account",
        "https://checkout.shopifycs.com/",
        "https://mugs.myshopify.com/",
        "https://payments.klarna.com/",
        "https://hooks.stripe.com/redirect",
        "https://pay.google.com/",
        "https://www.mercadopago.com.br/",
        "https://3ds.bank.example/challenge",
        "https://acs2.bank.example/",
        "https://acs1.3dsecure.example/",
        "https://acs-public.tp.bank.example/",
        "https://3ds2-challenge.bank.example/",
    ],
)
def test_a_page_that_a_buyer_only_passes_through_is_no_source(page: str) -> None:
    assert session_of(an_order(referring=page)).is_direct
    assert session_from((), page).is_direct
    assert hints_of_visit("https://mugs.example/", page, (), 1) == ()


@pytest.mark.parametrize(
    "page",
    [
        "https://www.google.com/",
        "https://notpaypal.com/",
        "https://acs.example/",
        "https://acsblog.example/",
        "https://acsblog.news.example/",
        "https://www.acsblog.example/",
        "https://3dsgames.news.example/",
        "https://blog.stripe.com/",
        "https://developers.klarna.com/",
        "https://203.0.113.9/",
    ],
)
def test_a_page_that_only_looks_like_one_is_a_source(page: str) -> None:
    assert not session_of(an_order(referring=page)).is_direct


def test_a_host_that_the_shop_configured_is_its_own() -> None:
    order = an_order(referring="https://cups.example/")
    session, _ = session_and_page_of(order, frozenset({"www.cups.example"}))
    assert session.is_direct


def test_a_payment_page_takes_nothing_from_the_campaign_in_the_link() -> None:
    landing, referring = "/?utm_source=pinterest&utm_medium=cpc", "https://www.paypal.com/"
    order = an_order(landing=landing, referring=referring)
    assert session_of(order).is_from_pinterest()


# --- Pinterest traffic


@pytest.mark.parametrize(
    "source",
    [
        "pinterest",
        "Pinterest",
        " PINTEREST ",
        "pinterest.com",
        "www.pinterest.com",
        "Pinterest.de",
        "pinterest.co.uk",
        "pinterest.com.au",
        "in.pinterest.com",
        "https://www.pinterest.com/",
        "pin",
        "PIN",
        "pin.it",
        "pinterest_ads",
        "Pinterest Ads",
        "Pinterest_Paid",
        "pinterest-organic",
        "pinterest paid social",
    ],
)
def test_a_source_that_means_pinterest_is_pinterest(source: str) -> None:
    assert noted(utm_source=source, utm_medium="cpc").is_from_pinterest()
    assert landed(urlencode({"utm_source": source})).is_from_pinterest()
    assert Session(source=source).is_from_pinterest()


@pytest.mark.parametrize(
    "source",
    [
        "google",
        "pins",
        "pinter",
        "spin",
        "notpinterest.com",
        "pinterest.com.evil.example",
        "facebook",
        "",
    ],
)
def test_another_source_is_not_pinterest(source: str) -> None:
    assert not Session(source=source, medium="cpc").is_from_pinterest()


@pytest.mark.parametrize(
    "medium",
    [
        *("cpc", "PPC", "paid", "paid_social", "paidsocial", "Paid-Social", "paid social", "cpm"),
        *("social", " Social ", "", "organic_social", "social-paid", "paid_ads"),
    ],
)
def test_a_paid_or_social_medium_or_none_counts(medium: str) -> None:
    assert Session(source="pinterest", medium=medium).is_from_pinterest()


@pytest.mark.parametrize("medium", ["email", "organic", "referral", "affiliate", "newsletter"])
def test_another_medium_does_not_count_without_a_click(medium: str) -> None:
    assert not Session(source="pinterest", medium=medium).is_from_pinterest()
    assert Session(source="pinterest", medium=medium, click_id=EPIK).is_from_pinterest()


@pytest.mark.parametrize("medium", ["influencer", "Influencer", "In-Fluencer", "e mail"])
def test_a_shop_adds_media_of_its_own_to_the_table(medium: str) -> None:
    media = media_with(["influencer", "E-Mail"])
    session = Session(source="pinterest", medium=medium)
    assert session.is_from_pinterest(media)
    assert not session.is_from_pinterest()
    assert Session(source="pinterest", medium="cpc").is_from_pinterest(media)
    assert not Session(source="google", medium=medium).is_from_pinterest(media)


def test_a_paid_medium_alone_is_not_pinterest() -> None:
    assert not Session(medium="cpc").is_from_pinterest()


def test_a_click_alone_is_pinterest_be_it_cut_or_whole() -> None:
    assert landed(f"epik={EPIK}").is_from_pinterest()
    assert Session(is_click_cut=True).is_from_pinterest()
    assert noted(__pin_epik=EPIK, utm_source="google", utm_medium="organic").is_from_pinterest()


@pytest.mark.parametrize(
    "referring",
    [
        "https://pinterest.com",
        "https://www.pinterest.com/",
        "https://WWW.PINTEREST.COM/pin/1",
        "https://in.pinterest.com/",
        "https://www.pinterest.de/pin/1",
        "https://pinterest.co.uk/",
        "https://www.pinterest.com.mx/",
        "https://pin.it/4abc",
        "android-app://com.pinterest/",
        "android-app://com.pinterest",
        "pinterest.com",
    ],
)
def test_a_pinterest_referrer_alone_is_pinterest(referring: str) -> None:
    session = session_of(an_order(referring=referring))
    assert session.is_from_pinterest()
    assert not session.is_direct


@pytest.mark.parametrize(
    "referring",
    [
        "https://pinterest.evil.example/",
        "https://pinterest.com.evil.example/",
        "https://mypinterest.com/",
        "https://my-pin.it/",
        "https://evil.example/pinterest.com",
        "https://evil.example/?www.pinterest.com",
        "https://pinterest.com@evil.example/",
        "android-app://com.pinterest.fake/",
        "https://www.google.com/",
    ],
)
def test_a_referrer_that_only_mentions_pinterest_is_not(referring: str) -> None:
    assert not session_of(an_order(referring=referring)).is_from_pinterest()


@pytest.mark.parametrize(
    ("session", "is_direct"),
    [
        (Session(visitor=VISITOR, store_id="s"), True),
        (Session(source="direct"), True),
        (Session(source="(direct)", origins=(("source", "note_attributes"),)), True),
        (Session(source="google"), False),
        (Session(medium="email"), False),
        (Session(campaign="spring"), False),
        (Session(click_id=EPIK), False),
        (Session(is_click_cut=True), False),
        (Session(referrer="news.example"), False),
    ],
)
def test_a_visit_without_a_source_is_direct(session: Session, is_direct: bool) -> None:
    assert session.is_direct is is_direct


# --- the click id and the cut


@pytest.mark.parametrize(
    ("length", "click_id", "is_cut"),
    [(249, EPIK, False), (250, "", True), (255, "", True), (400, "", True)],
)
def test_a_click_id_at_the_end_of_a_long_landing_page_is_only_evidence(
    length: int, click_id: str, is_cut: bool
) -> None:
    landing = landing_of(length, f"&epik={EPIK}")
    assert len(landing) == length
    session = session_of(an_order(landing=landing))
    assert (session.click_id, session.is_click_cut) == (click_id, is_cut)
    assert session.is_from_pinterest()


@pytest.mark.parametrize("tail", ["&epik=", "&epik", "&EPIK=dj0", "&amp;epik=dj0yJnU9abc%"])
def test_the_shortest_rest_of_a_click_id_is_evidence(tail: str) -> None:
    session = session_of(an_order(landing=landing_of(255, tail)))
    assert (session.click_id, session.is_click_cut) == ("", True)
    assert ("is_click_cut", "landing_site") in session.origins


@pytest.mark.parametrize("tail", ["&utm_content=x", "&x", "#reviews"])
def test_a_click_id_before_the_end_is_whole(tail: str) -> None:
    session = session_of(an_order(landing=landing_of(255, f"&epik={EPIK}{tail}")))
    assert (session.click_id, session.is_click_cut) == (EPIK, False)


def test_the_first_of_two_click_ids_is_whole_where_the_second_is_cut() -> None:
    landing = landing_of(255, f"&epik={EPIK}&epik={OTHER_EPIK[:20]}")
    session = session_of(an_order(landing=landing))
    assert (session.click_id, session.is_click_cut) == (EPIK, False)


@pytest.mark.parametrize("place", ["note", "referrer", "pixel"])
def test_a_whole_click_id_from_elsewhere_wins_over_a_cut_one(place: str) -> None:
    order = an_order(
        landing=landing_of(255, f"&epik={OTHER_EPIK[:30]}"),
        notes=(("__pin_epik", EPIK),) if place == "note" else (),
        referring=f"https://www.pinterest.com/?epik={EPIK}" if place == "referrer" else "",
    )
    session = session_of(order, Session(click_id=EPIK) if place == "pixel" else None)
    assert (session.click_id, session.is_click_cut) == (EPIK, False)
    assert "is_click_cut" not in dict(session.origins)


def test_the_evidence_the_pixel_stored_is_kept() -> None:
    session = session_of(an_order(), Session(is_click_cut=True))
    assert session.is_click_cut
    assert session.origins == (("is_click_cut", "pixel"),)


def test_a_click_id_too_short_to_be_whole_is_evidence_anywhere() -> None:
    assert landed("epik=dj0yJnU9a").is_click_cut
    assert not landed("epik=dj0yJnU9a").click_id
    assert landed("epik=dj0yJnU9ab").click_id == "dj0yJnU9ab"


def test_a_click_id_too_long_to_be_one_is_evidence_and_not_shortened() -> None:
    assert landed("epik=" + "a" * 512 + "&x=1").click_id == "a" * 512
    session = landed("epik=" + "a" * 513 + "&x=1")
    assert (session.click_id, session.is_click_cut) == ("", True)


@pytest.mark.parametrize("epik", ["", "undefined", "null", "None", "[object Object]", "{{epik}}"])
def test_what_a_script_writes_for_no_click_is_no_click(epik: str) -> None:
    assert not noted(__pin_epik=epik).is_from_pinterest()
    assert not landed(urlencode({"epik": epik})).is_from_pinterest()


def test_a_click_id_copied_without_decoding_is_decoded() -> None:
    assert noted(epik=f"{EPIK}%3D%3D").click_id == f"{EPIK}=="
    assert landed(f"epik={EPIK}%3D%3D").click_id == f"{EPIK}=="


@pytest.mark.parametrize("name", ["utm_campaign_id", "utm_pin_id", "utm_ad_id"])
def test_an_id_that_the_cut_may_have_shortened_is_left_out(name: str) -> None:
    field = name.removeprefix("utm_")
    assert getattr(session_of(an_order(landing=landing_of(249, f"&{name}=62675"))), field)
    assert not getattr(session_of(an_order(landing=landing_of(255, f"&{name}=62675"))), field)


def test_half_the_name_of_a_campaign_is_kept() -> None:
    session = session_of(an_order(landing=landing_of(255, "&utm_campaign=spring_sa")))
    assert session.campaign == "spring_sa"


# --- Links with macros that nobody filled in

MACROS = {"utm_campaign": "{campaign_name}", "utm_campaign_id": "{campaignid}"}


@pytest.mark.parametrize(
    ("name", "macro"),
    [
        *MACROS.items(),
        *(("utm_ad_id", "{adid}"), ("utm_pin_id", "{creative_id}"), ("utm_term", "{device}")),
        *(("utm_content", "{{ad.name}}"), ("utm_id", "__CAMPAIGN_ID__"), ("epik", "{epik}")),
        *(("utm_campaign", "%7Bcampaign_name%7D"), ("utm_campaign", "{campaign_name}_{adid}")),
    ],
)
def test_an_unfilled_macro_is_no_value_and_its_parameter_is_noted(name: str, macro: str) -> None:
    link = urlencode({name: macro})
    in_notes = noted(**{name: macro})
    in_referrer = session_of(an_order(referring=f"https://news.example/?{link}"))
    visit = hints_of_visit(f"https://mugs.example/?{link}", "", (), None)
    assert visit == (("unfilled", name, "customer_journey"),)
    for session in (landed(link), in_notes):
        assert session == Session(unfilled=name, origins=session.origins)
    assert in_referrer.unfilled == name


def test_all_unfilled_parameters_of_a_link_are_noted_once() -> None:
    link = urlencode([*MACROS.items(), *MACROS.items(), ("utm_source", "pinterest")])
    session = landed(link)
    assert session.unfilled == "utm_campaign utm_campaign_id"
    assert (session.source, session.campaign, session.campaign_id) == ("pinterest", "", "")


def test_a_filled_link_and_other_placeholders_leave_no_trace_of_macros() -> None:
    link = {"utm_campaign": "(not set)", "utm_campaign_id": "null", "utm_term": "{brace} in it"}
    assert landed(urlencode(link)).unfilled == ""
    assert landed(urlencode({"color": "{color}"})) == Session()


def test_a_macro_in_a_link_takes_nothing_from_what_the_notes_say() -> None:
    order = an_order(notes=(("utm_campaign", "summer"),), landing=f"/?{urlencode(MACROS)}")
    session = session_of(order)
    assert (session.campaign, session.unfilled) == ("summer", "utm_campaign_id")


@pytest.mark.parametrize("macro", ["{campaign_na", "%7Bcampaign_name%7", "%257Bcampaign_na"])
def test_a_macro_that_was_cut_is_no_campaign(macro: str) -> None:
    session = session_of(an_order(landing=landing_of(255, f"&utm_campaign={macro}")))
    assert (session.source, session.campaign) == ("pinterest", "")


# --- shapes


@pytest.mark.parametrize(
    "visitor", ["short", "a" * 65, "has space", "jane@mail.example", "ünïcode1"]
)
def test_a_visitor_id_of_another_shape_is_left_out(visitor: str) -> None:
    assert noted(__pin_vid=visitor) == Session()


def test_a_visitor_id_that_was_never_set_is_not_shared_by_all() -> None:
    assert noted(__pin_vid="undefined") == Session()


@pytest.mark.parametrize("told", ["626735565838.0", "'626735565838", '="626735565838"'])
def test_an_id_that_a_spreadsheet_has_dressed_up_is_the_id(told: str) -> None:
    for name in ("campaign_id", "pin_id", "ad_id"):
        link = urlencode({f"utm_{name}": told})
        expected = "626735565838"
        assert getattr(landed(link), name) == expected
        assert getattr(noted(**{f"utm_{name}": told}), name) == expected
        assert getattr(session_from([(f"utm_{name}", told)], ""), name) == expected


@pytest.mark.parametrize("told", ["0", "-", "--", "unknown", "N/A", "NA"])
def test_an_id_that_names_nothing_is_no_id(told: str) -> None:
    link = {"utm_source": "pinterest", "utm_campaign_id": told, "utm_pin_id": told}
    session = landed(urlencode(link))
    assert (session.campaign_id, session.pin_id) == ("", "")


def test_an_id_too_long_is_left_out_and_not_made_another_id() -> None:
    assert noted(utm_campaign_id="9" * 64).campaign_id == "9" * 64
    assert noted(utm_campaign_id="9" * 65).campaign_id == ""


def test_a_text_too_long_is_shortened() -> None:
    assert noted(utm_campaign="c" * 2000).campaign == "c" * 256


def test_control_characters_do_not_come_through() -> None:
    assert noted(utm_campaign=" spring\x00\n\u202e sale\ufeff ").campaign == "spring sale"
    assert landed("utm_campaign=spring%00%0A%20sale").campaign == "spring sale"


@pytest.mark.parametrize("nothing", ["undefined", "NULL", "(not set)", "(none)"])
def test_words_for_nothing_are_nothing(nothing: str) -> None:
    assert noted(utm_source=nothing, utm_medium=nothing, utm_campaign=nothing) == Session()


@pytest.mark.parametrize(
    "text",
    [
        "1769000000",
        "1769000000.25",
        "1769000000999",
        "1769000000999.0",
        "2026-01-21T12:53:20Z",
        "2026-01-21T12:53:20",
        "2026-01-21 12:53:20",
        " 2026-01-21T13:53:20.500+01:00 ",
        "2026-01-21T07:53:20-05:00",
    ],
)
def test_the_time_of_the_visit_is_read_in_every_form(text: str) -> None:
    for name in ("track_ai_timestamp", "__pin_touch"):
        assert noted(**{name: text}).stamped_at == 1_769_000_000
    assert datetime.fromtimestamp(1_769_000_000, UTC).isoformat() == "2026-01-21T12:53:20+00:00"


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "17690000", "-1769000000", "0000000000", "9" * 400, "٣" * 10),
        *("1969-07-20", "2026-13-01", "0001-01-01T00:00+23:59", "9999-12-31T23:59-23:59x"),
    ],
)
def test_a_time_that_cannot_be_read_is_unknown(text: str) -> None:
    assert noted(track_ai_timestamp=text).stamped_at is None


# --- no address of a person


EMAILS = ["jane@mail.example", "Sale for jane.doe@mail.example!", "@shop.example"]


@pytest.mark.parametrize("email", EMAILS)
@pytest.mark.parametrize("name", [name for name, _, _ in NAMES + OURS])
def test_an_email_address_comes_through_in_no_field(name: str, email: str) -> None:
    once = quote(email, safe="")
    for text in (email, once, quote(once), quote(quote(once))):
        order = an_order(
            notes=((name, text),),
            landing=f"/?{name}={text}",
            referring=f"https://news.example/?{name}={text}",
        )
        session = session_of(order)
        assert session == Session(
            referrer="news.example", origins=(("referrer", "referring_site"),)
        )
        assert page_url_of(order) == "https://mugs.example/"


def test_an_email_address_that_only_the_cap_would_hide_is_seen() -> None:
    assert noted(utm_campaign="c" * 250 + "jane@mail.example").campaign == ""


def test_an_email_address_that_the_cut_went_through_is_left_out() -> None:
    order = an_order(landing=landing_of(255, "&utm_campaign=jane@mail"))
    assert session_of(order).campaign == ""
    assert "jane" not in page_url_of(order)


def test_an_at_sign_without_a_domain_is_a_campaign() -> None:
    assert noted(utm_campaign="Mugs @499").campaign == "Mugs @499"


@given(st.emails(), st.sampled_from([n for n, _, _ in NAMES + OURS]), any_text(20), any_text(20))
def test_no_email_address_in_any_surrounding_comes_through(
    email: str, name: str, before: str, after: str
) -> None:
    text = before + email + after
    session = session_of(an_order(notes=((name, text),), landing=f"/?{name}={text}"))
    assert email not in repr(session)


# --- the query of an address


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=9)
# A value that is itself an encoded text is decoded again, on purpose.
VALUES = st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), max_size=16).filter(
    lambda text: unquote(text) == text
)


def query_of(url: str) -> dict[str, str]:
    """The parameters of an address, each with its first value."""
    return dict(reversed(query_pairs(url)))


@given(
    st.sampled_from(["https://mugs.example/products/mug", "/products/mug", "https://mugs.example"]),
    st.lists(st.tuples(WORDS, st.lists(VALUES, max_size=2).map(" ".join)), max_size=6),
    st.sampled_from(["", "#reviews", "#?a=b&c=d"]),
)
def test_a_well_formed_query_reads_as_the_standard_library_reads_it(
    page: str, pairs: list[tuple[str, str]], fragment: str
) -> None:
    url = f"{page}?{urlencode(pairs)}{fragment}"
    expected: dict[str, str] = {}
    for name, value in parse_qsl(urlsplit(url).query):
        expected.setdefault(name.lower(), value)
    assert query_of(url) == expected


@pytest.mark.parametrize(
    ("url", "query"),
    [
        ("", {}),
        ("/products/mug", {}),
        ("/?", {}),
        ("/?a", {}),
        ("/?a=", {}),
        ("/?a=1&A=2", {"a": "1"}),
        ("/?a=&a=2", {"a": "2"}),
        ("http://mugs.example?source=abc", {"source": "abc"}),
        ("/?utm_campaign=Swim 1 - Story&x=🔥!", {"utm_campaign": "Swim 1 - Story", "x": "🔥!"}),
        ("/?a=100%&b=%zz&c=%E9", {"a": "100%", "b": "%zz", "c": "\ufffd"}),
        ("/?a=b+c%2Bd", {"a": "b c+d"}),
        ("/?a=1&amp;utm_source=pinterest", {"a": "1", "utm_source": "pinterest"}),
        ("/?utm%5Fsource=pin", {"utm_source": "pin"}),
        ("/?a=1;b=2", {"a": "1;b=2"}),
        ("/?variant=1?utm_source=pin&b=2", {"variant": "1", "utm_source": "pin", "b": "2"}),
        ("/?a=b=c", {"a": "b=c"}),
        ("/#?a=1", {}),
        ("?a=1", {"a": "1"}),
    ],
)
def test_a_query_is_read_as_it_was_meant(url: str, query: dict[str, str]) -> None:
    assert query_of(url) == query


def test_a_parameter_beyond_the_length_of_any_address_is_left_out_whole() -> None:
    url = f"/?a=1&pad={'p' * 4070}&epik={EPIK}"
    assert set(query_of(url)) == {"a", "pad"}
    assert query_of("/?a=" + "b" * 10_000) == {}


def test_a_value_has_at_most_1024_characters() -> None:
    assert query_of("/?a=" + "b" * 2000) == {"a": "b" * 1024}


@given(addresses())
def test_no_address_can_break_the_reading_of_a_query(url: str) -> None:
    for name, value in query_of(url).items():
        assert name == name.lower()
        assert 0 < len(value) <= 1024
        assert not re.search("[\x00-\x1f\x7f\ud800-\udfff]", value)


@given(
    addresses(),
    addresses(),
    st.lists(
        st.tuples(
            st.sampled_from([n for n, _, _ in NAMES + OURS] + ["pin_touch", "__pin_consent"]),
            any_text(80),
        ),
        max_size=4,
    ),
    any_text(20),
)
def test_no_order_can_break_its_session(
    landing: str, referring: str, notes: list[tuple[str, str]], origin: str
) -> None:
    order = an_order(landing, referring, tuple(notes), f"https://{origin}")
    session = session_of(order, session_from(notes, referring))
    assert session.is_from_pinterest() in (True, False)
    assert session.is_direct in (True, False)
    assert isinstance(consent_of(order), Consent)
    assert isinstance(page_url_of(order), str)
    repr(session).encode()


# --- consent


def consented(*texts: str, name: str = "__pin_consent") -> Consent:
    return consent_of(an_order(notes=tuple((name, text) for text in texts)))


@pytest.mark.parametrize(
    ("text", "marketing", "sale_of_data"),
    [
        ("marketing=yes;sale_of_data=no;gpc=1", True, False),
        ("marketing=yes,sale_of_data=yes,gpc=no", True, True),
        ("marketing=no; sale_of_data=yes", False, True),
        ("MARKETING=GRANTED ; SALE_OF_DATA=DENIED", True, False),
        ("marketing=1;sale_of_data=0", True, False),
        ("marketing=true;sale_of_data=false", True, False),
        ("marketing=allowed;sale_of_data=refused", True, False),
        ("marketingAllowed=true;saleOfDataAllowed=true", True, True),
        ('{"marketing":true,"sale_of_data":false}', True, False),
        ("marketing=yes;sale_of_data=yes;gpc=1", True, False),
        ("gpc=1", None, False),
        ("gpc=true;marketing=yes", True, False),
        ("gpc=0", None, None),
        ("marketing=yes;analytics=no", True, None),
        ("analytics=yes", None, None),
        ("marketing=;sale_of_data=", None, None),
        ("marketing=unknown", None, None),
        ("granted", True, None),
        ("Denied", False, None),
        ("yes", True, None),
        ("0", False, None),
        ("unknown", None, None),
        ("", None, None),
    ],
)
def test_the_consent_note_is_read(
    text: str, marketing: bool | None, sale_of_data: bool | None
) -> None:
    assert consented(text) == Consent(marketing, sale_of_data)


@pytest.mark.parametrize("name", ["pin_consent", "_pin_consent", "__PIN_Consent"])
def test_the_consent_note_is_known_by_its_name_in_any_spelling(name: str) -> None:
    assert consented("denied", name=name) == Consent(marketing=False)


@pytest.mark.parametrize(
    "text", ["marketing=maybe", "marketing", "gibberish", "marketng=yes", "yes please", "v=2"]
)
def test_consent_that_cannot_be_read_was_not_given(text: str) -> None:
    assert consented(text).marketing is False


def test_a_privacy_signal_that_cannot_be_read_refuses() -> None:
    assert consented("marketing=yes;gpc=?") == Consent(True, False)
    assert consented("sale_of_data=perhaps") == Consent(None, False)


def test_of_contradicting_consents_the_refusal_stands() -> None:
    assert consented("marketing=yes", "marketing=no") == Consent(marketing=False)
    assert consented("marketing=no;marketing=yes") == Consent(marketing=False)


def test_no_note_is_no_knowledge() -> None:
    assert consent_of(an_order(notes=(("consent", "yes"), ("utm_source", "x")))) == Consent()


ANSWERS = st.sampled_from([True, False, None])
CONSENTS = st.builds(Consent, ANSWERS, ANSWERS)


@given(CONSENTS, CONSENTS, CONSENTS)
def test_joining_consents_keeps_every_refusal_in_any_order(
    one: Consent, other: Consent, third: Consent
) -> None:
    joined = one.merged_with(other)
    assert joined == other.merged_with(one)
    assert joined.merged_with(third) == one.merged_with(other.merged_with(third))
    assert one.merged_with(Consent()) == one
    assert (joined.marketing is False) == (False in (one.marketing, other.marketing))
    assert (joined.sale_of_data is False) == (False in (one.sale_of_data, other.sale_of_data))


@given(any_text(60))
def test_only_a_clear_yes_is_a_yes(text: str) -> None:
    said = consented(text)
    clear = re.search(r"yes|y|true|1|on|granted|allowed|accepted", text.lower())
    assert said.marketing is not True or clear
    assert said.sale_of_data is not True or clear


# --- the page told to Pinterest


def page_of(
    landing: str, origin: str = "https://mugs.example", notes: tuple[tuple[str, str], ...] = ()
) -> str:
    return page_url_of(an_order(landing=landing, origin=origin, notes=notes))


@pytest.mark.parametrize(
    ("landing", "page"),
    [
        ("/products/mug", "https://mugs.example/products/mug"),
        ("/", "https://mugs.example/"),
        ("?utm_source=pin", "https://mugs.example/?utm_source=pin"),
        ("http://www.mugs.example?source=abc", "http://www.mugs.example/"),
        (
            "https://www.Mugs.example:443/a/b?utm_term=x#y",
            "https://www.mugs.example/a/b?utm_term=x",
        ),
        ("https://ada:word@www.mugs.example/a", "https://www.mugs.example/a"),
        ("//www.mugs.example/a", "https://www.mugs.example/a"),
        ("//products/mug?utm_term=x", "https://mugs.example/products/mug?utm_term=x"),
        ("//products", "https://mugs.example/products"),
        ("///products//mug", "https://mugs.example/products//mug"),
        ("https://checkout.shopify.com/1/checkouts/secret?utm_term=x", ""),
        ("https://shop.app/products/mug", ""),
        ("android-app://com.pinterest/", ""),
        ("/a b/ü?utm_term=a b+c%26d", "https://mugs.example/a%20b/%C3%BC?utm_term=a%20b%20c%26d"),
        ("/a%20b", "https://mugs.example/a%20b"),
        ("/login?email=jane@mail.example&token=1&utm_id=9", "https://mugs.example/login?utm_id=9"),
        ("/u/jane@mail.example/x?utm_term=y", "https://mugs.example/?utm_term=y"),
        ("/u/jane%40mail.example", "https://mugs.example/"),
        ("/?UTM_Source=Pin&utm_<b>=1", "https://mugs.example/?utm_source=Pin"),
    ],
)
def test_the_page_has_its_path_and_campaign_words_alone(landing: str, page: str) -> None:
    assert page_of(landing) == page


@pytest.mark.parametrize(
    ("landing", "path"),
    [
        (
            "/12345678/orders/0f1e2d3c4b5a69788796a5b4c3d2e1f0/authenticate?key=k",
            "/12345678/orders",
        ),
        ("/account/activate/123/abcdef0123456789-1700000000", "/account"),
        ("/en-us/account/reset/1/secret?utm_id=9", "/en-us/account?utm_id=9"),
        ("/ACCOUNT/reset/1/secret", "/ACCOUNT"),
        ("/%61ccount/reset/1/secret", "/account"),
        ("//account/reset/1/secret", "/account"),
        ("/gift_cards/1/secret", "/gift_cards"),
        ("/cart/c/secret?key=secret", "/cart"),
        ("/cart/222:1", "/cart"),
        ("/checkouts/cn/secret/information", "/checkouts"),
        ("/1/invoices/secret", "/1/invoices"),
        ("/1/order_payment/secret", "/1/order_payment"),
        ("/customer_authentication/redirect/secret", "/customer_authentication"),
        ("/apps/club/login/0f1e2d3c4b5a69788796a5b4c3d2e1f0", "/apps/club/login"),
        ("/apps/club/1fd529f6-8f05-4118-ba6b-a4e20691aa0c/x", "/apps/club"),
        ("https://mugs.example/account/activate/1/secret", "/account"),
        ("/account", "/account"),
        ("/cart?utm_id=9", "/cart?utm_id=9"),
        ("/collections/orders-of-magnitude/products/mug", None),
        ("/products/organic-cotton-t-shirt-2024-limited-blue-edition", None),
        ("/products/1234567890123", None),
    ],
)
def test_no_private_token_is_in_the_page(landing: str, path: str | None) -> None:
    assert page_of(landing) == f"https://mugs.example{landing if path is None else path}"


def test_the_whole_click_id_of_the_session_is_appended_once() -> None:
    page = page_of(f"/a?epik={OTHER_EPIK}&utm_term=x", notes=(("epik", f"{EPIK}=="),))
    assert page == f"https://mugs.example/a?utm_term=x&epik={EPIK}%3D%3D"


def test_a_cut_click_id_is_not_in_the_page() -> None:
    order = an_order(landing=landing_of(255, f"&epik={EPIK[:20]}"))
    assert page_url_of(order) == ("https://mugs.example/products/mug?utm_source=pinterest")


def test_without_shop_or_landing_page_there_is_no_page() -> None:
    assert page_of("") == ""
    assert page_of("/products/mug", origin="") == ""


@given(addresses())
def test_no_landing_page_puts_a_person_or_a_fragment_into_the_page(landing: str) -> None:
    page = page_of(landing)
    assert page.isascii()
    assert "@" not in page
    assert "#" not in page
    assert page == "" or re.match(r"https?://[a-z0-9_.-]+/", page)
    assert not re.search(r"\s", page)
    assert all(name.startswith("utm_") for name, _ in parse_qsl(urlsplit(page).query))


# --- Links as software writes them


@pytest.mark.parametrize("medium", ["paid%20social", "paid%2520social", "paid%252520social"])
def test_a_value_is_decoded_as_often_as_it_was_encoded(medium: str) -> None:
    session = landed(f"utm_source=pinterest&utm_medium={medium}")

    assert (session.medium, session.is_from_pinterest()) == ("paid social", True)


def test_a_percent_sign_that_encodes_nothing_stays() -> None:
    assert landed("utm_campaign=50%25+off").campaign == "50% off"


def test_a_query_that_is_encoded_as_a_whole_is_read() -> None:
    session = landed("utm_source%3Dpinterest%26utm_medium%3Dcpc%26utm_campaign%3Dautumn")

    assert (session.source, session.medium, session.campaign) == ("pinterest", "cpc", "autumn")


@pytest.mark.parametrize("query", ["utm_id=12&utm_source=a", "utm_source=a&utm_id=12"])
def test_utm_id_is_the_campaigns_id(query: str) -> None:
    assert landed(query).campaign_id == "12"


@pytest.mark.parametrize("query", ["utm_id=12&utm_campaign_id=7", "utm_campaign_id=7&utm_id=12"])
def test_the_campaigns_own_id_comes_before_utm_id(query: str) -> None:
    assert landed(query).campaign_id == "7"


@pytest.mark.parametrize(
    "text", ["{campaign_name}", "%7Bcampaign_name%7D", "{{campaign}}", "(not set)", "\\N", "guest"]
)
def test_a_placeholder_is_no_campaign(text: str) -> None:
    session = landed(
        f"utm_source=pinterest&utm_medium=cpc&utm_campaign={text}&utm_campaign_id={text}"
    )

    assert (session.campaign, session.campaign_id, session.is_from_pinterest()) == ("", "", True)


@pytest.mark.parametrize("text", ["{epik}", "undefined", "[object Object]"])
def test_a_placeholder_is_no_click_id(text: str) -> None:
    assert noted(epik=text).click_id == ""
