"""The page at the service's own address, which anybody may see."""

import re
from base64 import b64encode
from hashlib import sha256
from pathlib import Path

import pytest

from app import assemble
from tests.actors import API_TOKEN, SECRET
from tests.conftest import BuildService
from tests.openapi import assert_as_described
from tests.standins.pinterest import FakePinterest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("env", "is_connected", "said"),
    [
        ({}, True, "Purchases are sent to Pinterest."),
        ({"PINTEREST_TEST_MODE": "true"}, True, "Test mode"),
        ({"PINTEREST_SEND": "off"}, True, "Nothing is sent: PINTEREST_SEND is off."),
        ({}, False, "Report only"),
    ],
)
def test_it_says_in_which_mode_the_service_runs(
    build_service: BuildService,
    sqlite_url: str,
    pinterest: FakePinterest,
    env: dict[str, str],
    is_connected: bool,
    said: str,
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest if is_connected else None, **env)
    answer = assemble(service).test_client().get("/")

    assert_as_described(answer, "/", "get")
    assert (answer.status_code, answer.mimetype) == (200, "text/html")
    assert said in answer.get_data(as_text=True)


def test_it_says_nothing_of_the_shop_and_no_secret(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    shop = {"SHOPIFY_STORE_URL": "my-shop.myshopify.com", "PUBLIC_URL": "https://track.example"}
    service = build_service(sqlite_url, pinterest=pinterest, COLLECTOR_KEY="site-key-1", **shop)
    page = assemble(service).test_client().get("/").get_data(as_text=True)

    secrets = (SECRET, API_TOKEN, pinterest.token, pinterest.account_id, "site-key-1")
    assert not [each for each in (*secrets, "my-shop", "track.example", sqlite_url) if each in page]


def test_its_style_is_the_one_that_its_policy_allows(
    build_service: BuildService, sqlite_url: str
) -> None:
    answer = assemble(build_service(sqlite_url)).test_client().get("/")
    (style,) = re.findall("<style>(.*?)</style>", answer.get_data(as_text=True))

    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in answer.headers["Content-Security-Policy"]


def test_the_pages_that_it_names_exist(build_service: BuildService, sqlite_url: str) -> None:
    page = assemble(build_service(sqlite_url)).test_client().get("/").get_data(as_text=True)
    named = re.findall(r"<code>([\w/]+\.md)</code>", page)

    assert len(named) > 2
    assert [each for each in named if not (ROOT / each).exists()] == []
