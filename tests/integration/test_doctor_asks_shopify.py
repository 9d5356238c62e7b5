"""Shopify's Admin API, about which doctor asks each shop."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from app import assemble
from tests.actors import SECRET, Clock, Operator
from tests.conftest import BuildService
from tests.standins.shopify_admin import CLIENT_ID, CLIENT_SECRET, SHOP, FakeShopifyAdmin

URL = "https://track.mug.example"


@pytest.fixture
def shopify(clock: Clock) -> Iterator[FakeShopifyAdmin]:
    with FakeShopifyAdmin(clock) as server:
        yield server


Run = Callable[..., list[str]]


@pytest.fixture
def says(build_service: BuildService, sqlite_url: str, shopify: FakeShopifyAdmin) -> Run:
    """Runs a command and returns its lines, single-spaced: `says("doctor", "--offline")`."""

    def run(*words: str, **env: str) -> list[str]:
        known = {
            "SHOPIFY_STORE_URL": SHOP,
            "SHOPIFY_CLIENT_ID": CLIENT_ID,
            "SHOPIFY_CLIENT_SECRET": CLIENT_SECRET,
            "SHOPIFY_WEBHOOK_SECRET": f"{SECRET},{CLIENT_SECRET}",
            "PUBLIC_URL": URL,
        }
        service = build_service(sqlite_url, **known | env)
        here = tuple(replace(shop, base=shopify.url) for shop in service.shops)
        output = Operator(assemble(replace(service, shops=here))).types(*words).stdout
        return [" ".join(line.split()) for line in output.splitlines()]

    return run


def answer_of_shop(lines: list[str]) -> str:
    """Returns the line about the shop's own answer."""
    return next((line for line in lines if SHOP in line and "ask" not in line), "")


def test_doctor_tells_that_the_shop_lets_the_service_in_and_sends_all_topics(says: Run) -> None:
    says("subscribe")

    assert answer_of_shop(says("doctor")).startswith(
        f"ok Shopify {SHOP} lets the service in, and the app sends all"
    )


def test_doctor_counts_the_topics_that_the_app_does_not_send(says: Run) -> None:
    line = answer_of_shop(says("doctor"))

    assert line.startswith(f"note Shopify {SHOP} lets the service in; the app does not send 9 of 9")
    assert "`subscribe` repairs it" in line


def test_doctor_says_what_to_do_about_an_app_that_is_not_installed(
    says: Run, shopify: FakeShopifyAdmin
) -> None:
    shopify.is_installed = False

    line = answer_of_shop(says("doctor"))

    assert line.startswith(f"FAIL Shopify {SHOP} does not let the service in: no access token")
    assert "app_not_installed (in the Dev Dashboard, release the app and install" in line


def test_doctor_says_what_to_do_about_a_shop_of_another_organization(
    says: Run, shopify: FakeShopifyAdmin
) -> None:
    page = b"<html>Oauth error shop_not_permitted: Client credentials cannot be performed</html>"
    shopify.troubles.append((400, page, {"Content-Type": "text/html"}))

    line = answer_of_shop(says("doctor"))

    assert "shop_not_permitted (make the app in the organization that owns this shop)" in line
    assert CLIENT_SECRET not in line


def test_doctor_asks_no_shop_offline(says: Run, shopify: FakeShopifyAdmin) -> None:
    assert answer_of_shop(says("doctor", "--offline")) == ""
    assert shopify.calls == []


def test_without_an_address_doctor_says_what_it_could_not_compare(says: Run) -> None:
    line = answer_of_shop(says("doctor", PUBLIC_URL=""))

    assert (
        line
        == f"ok Shopify {SHOP} lets the service in; set PUBLIC_URL to have its webhooks checked"
    )
