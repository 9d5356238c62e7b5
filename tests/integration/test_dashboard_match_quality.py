"""The match quality page: coverage by field as the report has it, advice, Pinterest's verdict."""

from typing import Any
from zoneinfo import ZoneInfo

import pytest

from api.dashboard.formats import time_text
from app import assemble
from tests.actors import NOW, Shop, deliver, order, pinned
from tests.conftest import BuildService
from tests.dashboard import Owner, cells_in
from tests.standins.pinterest import FakePinterest
from tracking.service import Service
from tracking.store import match_verdicts
from tracking.store.match_verdicts import LookbackVerdicts, VerdictRow

NO_BUYER: dict[str, Any] = {
    "email": None,
    "contact_email": None,
    "customer": None,
    "billing_address": None,
}


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    return build_service(sqlite_url, pinterest, PINTEREST_SEND="all")


@pytest.fixture
def shop(service: Service) -> Shop:
    """A shop that sold something to one buyer who is known, and to six who are not."""
    shop = Shop(assemble(service).test_client())
    shop.sends("orders/create", order(id=1, landing_site=pinned()))
    for id in range(2, 8):
        shop.sends("orders/create", order(id=id, **NO_BUYER))
    deliver(service)
    return shop


def test_the_shares_are_those_of_the_report(shop: Shop) -> None:
    (kind,) = shop.reads("/match-quality")["events"]

    rows = cells_in(Owner(shop.client).page("/dashboard/match-quality"), "fields-checkout-web")
    assert [row[3] for row in rows] == [str(field["events"]) for field in kind["fields"]]
    assert [row[2] for row in rows] == [f"{field['coverage']:.1f}%" for field in kind["fields"]]
    assert rows[1][:1] == ["E-mail (digest)"]


def test_a_weak_field_has_its_advice_and_orders_that_lack_it(shop: Shop) -> None:
    page = Owner(shop.client).page("/dashboard/match-quality")

    told = {row[0]: row[3] for row in cells_in(page, "advice")}
    advice = shop.reads("/match-quality")["advice"]
    assert sorted(told.values()) == sorted(" ".join(each["advice"].split()) for each in advice)
    assert "E-mail (digest)" in told
    assert 'href="/dashboard/orders/' in page


def test_a_verdict_was_read_at_a_time_of_the_shop(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(
        *(sqlite_url, pinterest),
        PINTEREST_ADS_TOKEN="ads-token",
        SHOP_TIMEZONE="Asia/Tokyo",
    )
    read = [LookbackVerdicts("1d", [VerdictRow("1d", "WEB", "TAG", "FAIR", NOW)], [])]
    service.store.commit(lambda conn: match_verdicts.put(conn, read))

    page = Owner(assemble(service).test_client()).page("/dashboard/match-quality")
    (row,) = cells_in(page, "verdicts")
    assert row[-1] == time_text(NOW, ZoneInfo("Asia/Tokyo"))


def test_without_pinterests_verdict_the_page_says_why(shop: Shop) -> None:
    page = Owner(shop.client).page("/dashboard/match-quality")

    assert "No verdict of Pinterest&#39;s" in page
    assert "PINTEREST_ADS_TOKEN" in page
