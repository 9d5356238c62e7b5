"""The match quality page: coverage by field as the report has it, advice, Pinterest's verdict."""

from typing import Any

import pytest

from app import assemble
from tests.actors import Shop, deliver, order, pinned
from tests.conftest import BuildService
from tests.dashboard import Owner, cells_in
from tests.standins.pinterest import FakePinterest
from tracking.service import Service

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


def test_without_pinterests_verdict_the_page_says_why(shop: Shop) -> None:
    page = Owner(shop.client).page("/dashboard/match-quality")

    assert "No verdict of Pinterest&#39;s" in page
    assert "PINTEREST_ADS_TOKEN" in page
