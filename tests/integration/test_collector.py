"""The storefront's way in: who may call, what is answered, and what no call can bring about."""

import gzip
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from app import assemble
from config import Settings
from tests.actors import API_TOKEN, COLLECTOR_KEY, NOW, SECRET, Clock, Shop, instant, order
from tests.conftest import BuildService
from tests.pixel_events import call, view
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, folder_in_memory, rows
from tests.watched_store import WatchedStore
from tracking.service import Service, service_of
from tracking.store import open_store
from webhooks.collector import MAX_CALL

ORIGIN = "https://shop.example"
VISITOR = "visitor-0001"
BROWSER = {"User-Agent": "Mozilla/5.0 (Macintosh)"}


Told = Mapping[str, Any] | list[Any] | bytes


class Page:
    """A browser that tells the collector of its visit."""

    def __init__(self, client: FlaskClient) -> None:
        self.client = client

    def tells(
        self,
        told: Told,
        *,
        path: str = "/collect",
        kind: str | None = "text/plain;charset=UTF-8",
        origin: str | None = "null",
        peer: str = "203.0.113.7",
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        """Post a call as the pixel does."""
        given = {**BROWSER, **({"Origin": origin} if origin is not None else {}), **(headers or {})}
        return self.client.post(
            path,
            data=told if isinstance(told, bytes) else json.dumps(told),
            content_type=kind,
            headers=given,
            environ_overrides={"REMOTE_ADDR": peer},
        )


def page_of(service: Service) -> Page:
    return Page(assemble(service).test_client())


def stored(service: Service) -> dict[str, list[dict[str, Any]]]:
    """Everything but the rate limits, of which every call leaves a trace."""
    return {name: found for name, found in everything(service.store).items() if name != "limits"}


def is_empty(service: Service) -> bool:
    return not any(stored(service).values())


def assert_problem(response: TestResponse, status: int) -> None:
    """A problem as the contract describes it."""
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    problem = response.get_json()
    assert set(problem) == {"type", "title", "status", "detail", "errors", "request_id"}
    assert problem["status"] == status


@pytest.fixture
def lite(build_service: BuildService, sqlite_url: str) -> Service:
    """A service for tests in which the database makes no difference."""
    return build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY)


@pytest.fixture
def page(lite: Service) -> Page:
    """A browser in front of it."""
    return page_of(lite)


@pytest.fixture
def watched(sqlite_template: Path, clock: Clock) -> Iterator[Callable[..., Service]]:
    """Makes services on a watched store in memory, for tests of thousands of calls."""
    with folder_in_memory() as folder:
        shutil.copy(sqlite_template, folder / "tracking.db")
        store = WatchedStore(open_store(f"sqlite:///{folder}/tracking.db"))

        def build(**env: str) -> Service:
            known = {
                "SHOPIFY_WEBHOOK_SECRET": SECRET,
                "API_TOKEN": API_TOKEN,
                "COLLECTOR_KEY": COLLECTOR_KEY,
            }
            return service_of(Settings.from_env(known | env), store, {}, clock)

        yield build
        store.close()


# --- The pixel


def test_the_pixel_knows_its_key_and_where_to_call(page: Page) -> None:
    found = page.client.get("/pixel.js", base_url="http://tracking.example:8000")

    text = found.get_data(as_text=True)
    assert found.status_code == 200
    assert f'"{COLLECTOR_KEY}"' in text
    assert '"http://tracking.example:8000/collect"' in text
    assert "__COLLECTOR" not in text


def test_the_pixel_fits_into_three_and_a_half_kilobytes_of_gzip(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(
        sqlite_url, COLLECTOR_KEY="0f" * 16, PUBLIC_URL="https://tracking.a-long-name.example"
    )
    found = assemble(service).test_client().get("/pixel.js")

    assert len(gzip.compress(found.data)) < 3_500


def test_the_pixel_calls_the_public_address_if_there_is_one(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(
        sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY, PUBLIC_URL="https://t.shop.example/"
    )
    found = assemble(service).test_client().get("/pixel.js", base_url="http://10.0.0.5:8000")

    assert '"https://t.shop.example/collect"' in found.get_data(as_text=True)
    assert "10.0.0.5" not in found.get_data(as_text=True)


@pytest.mark.parametrize(
    ("proxies", "address"),
    [("1", "https://t.shop.example/collect"), ("0", "http://localhost/collect")],
)
def test_the_pixel_calls_what_the_browser_called_as_far_as_proxies_are_believed(
    build_service: BuildService, sqlite_url: str, proxies: str, address: str
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY, TRUSTED_PROXIES=proxies)
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "t.shop.example"}
    found = assemble(service).test_client().get("/pixel.js", headers=told)

    assert f'"{address}"' in found.get_data(as_text=True)


@pytest.mark.parametrize(
    "host", ['x"+alert(1)+"', "x</script>", "x y", "a@b", "x/y", "", "\u2028", "x\\", "x'"]
)
def test_no_host_header_gets_into_the_script_as_script(page: Page, host: str) -> None:
    given = host.encode().decode("latin-1")
    found = page.client.get("/pixel.js", environ_overrides={"HTTP_HOST": given})

    assert_problem(found, 400)


def test_any_site_may_load_the_pixel_and_browsers_keep_it_for_a_while(page: Page) -> None:
    headers = page.client.get("/pixel.js", headers={"Origin": ORIGIN}).headers

    assert headers.get_all("Content-Type") == ["text/javascript; charset=utf-8"]
    assert "max-age=300" in headers["Cache-Control"]
    assert headers.get_all("Access-Control-Allow-Origin") == ["*"]
    assert headers.get_all("Cross-Origin-Resource-Policy") == ["cross-origin"]
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("public_url", "cache"), [("https://t.shop.example", "public"), ("", "private")]
)
def test_no_shared_cache_hands_on_an_address_that_one_caller_gave(
    build_service: BuildService, sqlite_url: str, public_url: str, cache: str
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY, PUBLIC_URL=public_url)
    found = assemble(service).test_client().get("/pixel.js", headers={"Host": "evil.example"})

    assert [set(line.split(", ")) for line in found.headers.get_all("Cache-Control")] == [
        {cache, "max-age=300"}
    ]


def test_a_browser_that_has_the_pixel_is_not_sent_it_again(page: Page) -> None:
    first = page.client.get("/pixel.js")
    again = page.client.get("/pixel.js", headers={"If-None-Match": first.headers["ETag"]})
    other = page.client.get("/pixel.js", headers={"If-None-Match": '"another"'})

    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["Cache-Control"] == first.headers["Cache-Control"]
    assert again.headers["Access-Control-Allow-Origin"] == "*"
    assert (other.status_code, other.data) == (200, first.data)


def test_another_key_is_another_version_of_the_pixel(
    build_service: BuildService, sqlite_url: str
) -> None:
    services = [build_service(sqlite_url, COLLECTOR_KEY=f"{COLLECTOR_KEY}-{n}") for n in range(2)]
    found = [assemble(one).test_client().get("/pixel.js").headers["ETag"] for one in services]

    assert found[0] != found[1]


@pytest.mark.parametrize(
    ("method", "path"), [("GET", "/pixel.js"), ("POST", "/collect"), ("OPTIONS", "/collect")]
)
def test_without_a_key_the_collector_is_off(
    build_service: BuildService, sqlite_url: str, method: str, path: str
) -> None:
    service = build_service(sqlite_url)
    client = assemble(service).test_client()

    for key in ("", "?key=", f"?key={COLLECTOR_KEY}"):
        found = client.open(f"{path}{key}", method=method, json=call(key=""))
        assert_problem(found, 503)
        assert found.get_json()["title"] == "Not configured"
    assert is_empty(service)


# --- What is taken


def test_a_call_is_answered_with_what_became_of_its_events(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url, COLLECTOR_KEY=COLLECTOR_KEY)
    found = page_of(service).tells(call(view(), view(id="sh-0001-0002", name="page_viewed")))

    assert found.status_code == 202
    assert found.content_type == "application/json"
    assert found.get_json() == {"accepted": 2, "ignored": 0, "refused": []}
    assert [row["event_id"] for row in rows(service.store, "conversions")] == ["sh-0001-0001"]


@pytest.mark.parametrize(
    "kind",
    [
        "text/plain",
        "text/plain;charset=UTF-8",
        "TEXT/PLAIN",
        "application/json",
        "application/json; charset=utf-8",
        "application/x-www-form-urlencoded",
        "",
        None,
    ],
)
def test_the_text_alone_shows_that_it_is_json(page: Page, lite: Service, kind: str | None) -> None:
    assert page.tells(call(), kind=kind).status_code == 202
    assert len(rows(lite.store, "conversions")) == 1


@pytest.mark.parametrize(
    "kind",
    [
        *("multipart/form-data; boundary=x", "application/xml", "text/xml", "text/html"),
        *("application/octet-stream", "image/gif", "text/plainer", "nonsense", "*/*"),
    ],
)
def test_what_says_it_is_something_else_is_refused(page: Page, lite: Service, kind: str) -> None:
    assert_problem(page.tells(call(), kind=kind), 415)
    assert is_empty(lite)


@pytest.mark.parametrize(
    "told",
    [view(), [view()], {"events": [view()]}],
    ids=["one", "list", ""],
)
def test_the_key_may_stand_in_the_address(page: Page, told: Told) -> None:
    assert page.tells(told, path=f"/collect?key={COLLECTOR_KEY}").status_code == 202


def test_an_event_that_cannot_be_used_does_not_cost_the_others(page: Page, lite: Service) -> None:
    found = page.tells(call(view(), view(id="sh-0001-0002", name="purchase")))

    (refused,) = found.get_json()["refused"]
    assert found.status_code == 202
    assert found.get_json()["accepted"] == 1
    assert refused["field"] == "/events/1/name"
    assert len(rows(lite.store, "conversions")) == 1


def test_if_no_event_can_be_used_the_problem_names_each_fault(page: Page, lite: Service) -> None:
    found = page.tells(call(view(name="purchase"), view(id="null")))

    assert_problem(found, 400)
    assert [error["field"] for error in found.get_json()["errors"]] == [
        "/events/0/name",
        "/events/1/id",
    ]
    assert is_empty(lite)


def test_of_a_visitor_who_allows_no_analytics_nothing_is_stored(page: Page, lite: Service) -> None:
    found = page.tells(call(consent={"analytics": False}))

    assert found.status_code == 202
    assert found.get_json() == {"accepted": 0, "ignored": 1, "refused": []}
    assert is_empty(lite)


def test_an_id_that_a_page_uses_again_names_an_event_of_each_browser_and_step(
    page: Page, lite: Service
) -> None:
    told = [
        call(view(id="42", clientId=visitor, name=name))
        for visitor in ("visitor-0001", "visitor-0002")
        for name in ("product_viewed", "product_added_to_cart")
    ]
    for one in told + told[::-1]:
        assert page.tells(one).get_json()["accepted"] == 1

    found = rows(lite.store, "conversions")
    assert len(found) == len({(row["visitor"], row["stage"]) for row in found}) == 4
    assert [row["event_id"] for row in found].count("42") == 1


def test_an_event_by_a_wrong_clock_that_is_told_again_changes_nothing(
    page: Page, lite: Service
) -> None:
    session = {"utm_source": "pinterest", "landed_at": instant(NOW + 580)}
    ahead = view(timestamp=instant(NOW + 590))
    page.tells(call(ahead, session=session, sent_at=instant(NOW + 600)))
    before = stored(lite)
    for sent_at in (instant(NOW + 604), instant(NOW + 900), None):
        page.tells(call(ahead, session=session, sent_at=sent_at))

    assert stored(lite) == before
    (conversion,) = rows(lite.store, "conversions")
    (touch,) = rows(lite.store, "touches")
    assert (touch["at"], conversion["at"]) == (NOW - 20, NOW - 10)


def test_a_call_told_again_changes_nothing(page: Page, lite: Service) -> None:
    page.tells(call())
    before = stored(lite)

    assert page.tells(call()).get_json()["accepted"] == 1
    assert stored(lite) == before


def test_the_address_is_that_of_the_request_and_so_is_the_browser(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(
        sqlite_url, pinterest=pinterest, PINTEREST_SEND="all", COLLECTOR_KEY=COLLECTOR_KEY
    )
    liar = view(client_ip_address="198.51.100.1", ip="198.51.100.1")
    page_of(service).tells(call(liar, ip="198.51.100.1"), peer="203.0.113.7")

    told = json.loads(bytes(rows(service.store, "outbox")[0]["payload"]))["user_data"]
    assert told["client_ip_address"] == "203.0.113.7"
    assert told["client_user_agent"] == BROWSER["User-Agent"]


FORGED = [
    "198.51.100.1",
    "198.51.100.1, 198.51.100.2",
    "198.51.100.1, unknown",
    "198.51.100.1,,",
    "'; DROP TABLE touches; --",
]


@pytest.fixture
def sending(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> Callable[[int], Service]:
    """Makes a service that sends every storefront event, behind so many trusted proxies."""
    return lambda proxies: build_service(
        sqlite_url,
        pinterest=pinterest,
        PINTEREST_SEND="all",
        COLLECTOR_KEY=COLLECTOR_KEY,
        TRUSTED_PROXIES=str(proxies),
    )


def sent_addresses(service: Service) -> list[str]:
    payloads = [json.loads(bytes(row["payload"])) for row in rows(service.store, "outbox")]
    return [payload["user_data"]["client_ip_address"] for payload in payloads]


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_address_is_not_believed(sending: Callable[[int], Service], forged: str) -> None:
    service = sending(1)
    # A proxy that is believed adds whom it was called by.
    chain = f"{forged}, 203.0.113.7"
    found = page_of(service).tells(call(), peer="10.0.0.1", headers={"X-Forwarded-For": chain})

    assert found.status_code == 202
    assert sent_addresses(service) == ["203.0.113.7"]


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.1", "198.51.100.250", "::ffff:172.16.0.9"])
@pytest.mark.parametrize(
    ("proxies", "headers"),
    [
        (0, {"X-Forwarded-For": "203.0.113.7"}),
        (0, {"X-Forwarded-For": "unknown"}),
        (0, {"Forwarded": "for=203.0.113.7"}),
        (0, {"X-Real-IP": "203.0.113.7"}),
        (0, {"Via": "1.1 proxy"}),
        (1, {}),
        (1, {"X-Forwarded-For": ""}),
        (2, {"X-Forwarded-For": "203.0.113.7"}),
    ],
)
def test_the_address_of_a_proxy_is_no_visitors(
    sending: Callable[[int], Service], proxies: int, headers: dict[str, str], peer: str
) -> None:
    service = sending(proxies)
    found = page_of(service).tells(call(), peer=peer, headers=headers)

    assert found.status_code == 202
    assert rows(service.store, "conversions")[0]["reason"] == "no_identity"
    assert sent_addresses(service) == []


@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "192.168.1.20", "100.64.3.4", "fd00::7"])
def test_an_address_that_is_not_public_is_no_visitors(
    sending: Callable[[int], Service], peer: str
) -> None:
    service = sending(0)
    assert page_of(service).tells(call(), peer=peer).status_code == 202
    assert sent_addresses(service) == []


def test_an_address_of_ipv4_in_ipv6_is_sent_as_ipv4(sending: Callable[[int], Service]) -> None:
    service = sending(0)
    page_of(service).tells(call(), peer="::ffff:203.0.113.7")
    assert sent_addresses(service) == ["203.0.113.7"]


def test_what_a_proxy_tells_that_is_no_address_is_left_out(
    build_service: BuildService, sqlite_url: str
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY, TRUSTED_PROXIES="1")

    for told in ("unknown", "203.0.113.7:4711", "x" * 8_000, "é", "::ffff:203.0.113.7", "fe80::%1"):
        found = page_of(service).tells(call(), headers={"X-Forwarded-For": told})
        assert found.status_code == 202, told


# --- What is refused


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("/collect", "pk_another"),
        ("/collect", ""),
        ("/collect", None),
        ("/collect", COLLECTOR_KEY.upper()),
        ("/collect", "ключ-of-the-tests"),
        ("/collect", [COLLECTOR_KEY]),
        ("/collect?key=", COLLECTOR_KEY),
        ("/collect?key=pk_another", COLLECTOR_KEY),
        ("/collect?key=%ff%00", COLLECTOR_KEY),
        (f"/collect?key={COLLECTOR_KEY}x", None),
    ],
)
def test_a_wrong_key_opens_nothing_and_learns_nothing(
    page: Page, lite: Service, path: str, key: Any
) -> None:
    found = page.tells(call(key=key), path=path)

    assert_problem(found, 401)
    assert found.get_json()["detail"] == ""
    assert found.get_json()["errors"] == []
    assert is_empty(lite)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"{", b"null", b"0", b'""', b"[]", b"{}", b"nonsense", b"\xff\xfe", b"\x00"),
        b'{"events": [' * 5_000,
        b"[" * 60_000,
        json.dumps(call()).encode()[:-1],
        json.dumps(call()).encode("utf-16"),
        json.dumps(call(events=[])).encode(),
        json.dumps(call(events=[view()] * 21)).encode(),
        json.dumps(call(events={"0": view()})).encode(),
        b'{"events": [{"id": 1e999}]}',
    ],
    ids=range(19),
)
def test_a_body_that_is_no_call_is_refused(page: Page, lite: Service, body: bytes) -> None:
    assert_problem(page.tells(body, path=f"/collect?key={COLLECTOR_KEY}"), 400)
    assert is_empty(lite)


def test_a_call_of_64_kib_is_taken_and_one_byte_more_is_not(page: Page, lite: Service) -> None:
    raw = json.dumps(call()).encode()
    full = raw + b" " * (MAX_CALL - len(raw))

    assert_problem(page.tells(full + b" "), 413)
    assert is_empty(lite)
    assert page.tells(full).status_code == 202


@pytest.mark.parametrize("length", ["-1", "1e3", "9" * 5_000])
def test_a_length_that_cannot_be_is_refused(page: Page, length: str) -> None:
    found = page.client.post(
        "/collect", data=json.dumps(call()), environ_overrides={"CONTENT_LENGTH": length}
    )

    assert_problem(found, 400)


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_compressed_call_is_refused_unopened(page: Page, coding: str) -> None:
    assert_problem(page.tells(call(), headers={"Content-Encoding": coding}), 415)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_calls_are_posted_and_nothing_else(page: Page, lite: Service, method: str) -> None:
    found = page.client.open("/collect", method=method, json=call(), headers={"Origin": "null"})

    assert found.status_code == 405
    assert {"POST", "OPTIONS"} == set(found.headers["Allow"].split(", "))
    assert found.headers["Access-Control-Allow-Origin"] == "null"
    assert is_empty(lite)


def test_no_answer_and_no_log_repeats_what_was_sent(
    build_service: BuildService,
    sqlite_url: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY, COLLECTOR_ORIGINS=ORIGIN)
    page, canary = page_of(service), "canary@example.com"
    caplog.set_level("DEBUG")

    answers = [
        page.tells(call(view(id=canary, name=canary, timestamp=canary, clientId=canary))),
        page.tells(call(view(id="sh-0001-0002", data={"email": canary})), origin=ORIGIN),
        page.tells(call(key=canary)),
        page.tells(f'{{"{canary}": '.encode()),
        page.tells(call(), kind=canary),
        page.tells(call(), origin=f"https://{canary}"),
        page.tells(call(), path=f"/collect?key={canary}"),
        page.tells(call(consent=canary)),
    ]

    assert [answer.status_code for answer in answers] == [400, 202, 401, 400, 415, 403, 401, 202]
    for answer in answers:
        assert "canary" not in answer.get_data(as_text=True) + str(answer.headers)
    assert "canary" not in caplog.text


def test_while_the_store_is_away_a_call_is_answered_503(watched: Callable[..., Service]) -> None:
    service = watched()
    page = page_of(service)
    assert isinstance(service.store, WatchedStore)
    service.store.is_away = True

    found = page.tells(call())

    assert_problem(found, 503)
    assert int(found.headers["Retry-After"]) > 0
    assert found.headers["Access-Control-Allow-Origin"] == "null"

    service.store.is_away = False
    assert page.tells(call()).status_code == 202


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        ["\x00", "\ud800", "gid://shopify/Product/1", "1e999", instant(NOW), COLLECTOR_KEY]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
PLACES = ("id", "name", "clientId", "timestamp", "context", "data", "customData", "session")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    odd=st.dictionaries(st.sampled_from(PLACES), ODD, max_size=3),
    more=st.dictionaries(st.sampled_from(["visitor", "consent", "session", "cart_token"]), ODD),
)
def test_whatever_a_call_holds_it_is_taken_or_refused(
    watched: Callable[..., Service], odd: dict[str, Any], more: dict[str, Any]
) -> None:
    page = page_of(watched(COLLECTOR_RATE="10000"))

    found = page.tells(call(view(**odd), **more))

    assert found.status_code in (202, 400)
    assert sum(row["stage"] == "purchase" for row in rows(watched().store, "conversions")) == 0


# --- Other sites' pages


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ("", None, "*"),
        ("", "", "*"),
        ("", "null", "null"),
        ("", "https://anywhere.example", "*"),
        (ORIGIN, None, None),
        (ORIGIN, "null", "null"),
        (ORIGIN, ORIGIN, ORIGIN),
        (f"https://other.example,{ORIGIN}", ORIGIN, ORIGIN),
        (f"{ORIGIN}:443/", ORIGIN, ORIGIN),
    ],
)
def test_a_page_that_may_call_may_read_the_answer(
    build_service: BuildService,
    sqlite_url: str,
    origins: str,
    origin: str | None,
    allowed: str | None,
) -> None:
    page = page_of(
        build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY, COLLECTOR_ORIGINS=origins)
    )

    for told, status in ((call(), 202), (call(key=""), 401), (b"{", 400), (b" " * 65_537, 413)):
        found = page.tells(told, origin=origin)
        assert found.status_code == status
        assert found.headers.get("Access-Control-Allow-Origin") == allowed
        assert found.headers["Vary"] == "Origin"
        assert "Access-Control-Allow-Credentials" not in found.headers


EVIL = [
    "https://evil.example",
    "https://shop.example.evil",
    "https://evil-shop.example",
    "https://evil.shop.example",
    "https://shop.example:8443",
    "https://shop.example:443",
    "https://shop.example/",
    "http://shop.example",
    "HTTPS://SHOP.EXAMPLE",
    "https://Shop.example",
    "https://shop.example, https://evil.example",
    "https://evil.example@shop.example",
    "NULL",
    "*",
    "file://",
]


@pytest.mark.parametrize("origin", EVIL)
def test_a_page_of_another_origin_is_refused(
    build_service: BuildService, sqlite_url: str, origin: str
) -> None:
    service = build_service(sqlite_url, COLLECTOR_KEY=COLLECTOR_KEY, COLLECTOR_ORIGINS=ORIGIN)
    page = page_of(service)

    posted = page.tells(call(), origin=origin)
    asked = page.client.options("/collect", headers={"Origin": origin})

    for found in (posted, asked):
        assert_problem(found, 403)
        assert "Access-Control-Allow-Origin" not in found.headers
        assert found.headers["Vary"] == "Origin"
    assert is_empty(service)


def test_a_page_is_told_what_it_may_send_for_a_day(page: Page) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type",
    }
    found = page.client.options("/collect", headers=asked)

    assert (found.status_code, found.data) == (204, b"")
    assert found.headers["Access-Control-Allow-Origin"] == "*"
    assert found.headers["Access-Control-Allow-Methods"] == "POST"
    assert found.headers["Access-Control-Allow-Headers"] == "content-type"
    assert found.headers["Access-Control-Max-Age"] == "86400"
    assert found.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in found.headers


@pytest.mark.parametrize("path", ["/roi-analysis", "/webhooks/orders/create", "/health", "/ready"])
def test_no_page_may_read_anything_else(page: Page, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS"):
        found = page.client.open(path, method=method, headers={"Origin": ORIGIN})
        assert "Access-Control" not in str(found.headers)


# --- Floods and lies


def test_a_flood_from_one_address_is_refused_and_costs_the_database_nothing(
    watched: Callable[..., Service], clock: Clock
) -> None:
    service = watched()
    page, store = page_of(service), service.store
    assert isinstance(store, WatchedStore)

    answers, refusals_cost = [], 0
    for _ in range(2_000):
        before = store.commits
        answers.append(page.tells(call()).status_code)
        refusals_cost += store.commits - before if answers[-1] == 429 else 0
        clock.tick(seconds=6 / 2_000)

    assert set(answers) == {202, 429}
    assert answers.count(429) > 1_200
    assert refusals_cost < 100
    assert len(rows(store, "limits")) <= 2


def test_the_rate_counts_events_and_not_calls(watched: Callable[..., Service]) -> None:
    service = watched()
    page = page_of(service)
    full = [call(*(view(id=f"sh-{n:04}-{k:04}") for k in range(20))) for n in range(5)]

    answers = [page.tells(each).status_code for each in full]

    assert answers == [202, 202, 202, 429, 429]
    assert len(rows(service.store, "conversions")) == 60


def test_all_events_together_are_counted_as_well(watched: Callable[..., Service]) -> None:
    page = page_of(watched(COLLECTOR_TOTAL_RATE="10"))
    full = [call(*(view(id=f"sh-{n:04}-{k:04}") for k in range(20))) for n in range(5)]

    answers = [page.tells(each, peer=f"10.0.0.{n}").status_code for n, each in enumerate(full)]

    assert answers == [202, 202, 429, 429, 429]


def test_without_its_store_the_collector_is_closed(watched: Callable[..., Service]) -> None:
    service = watched()
    page = page_of(service)
    assert isinstance(service.store, WatchedStore)
    service.store.is_away = True

    # It is not even read that nobody may tell of this.
    assert page.tells(call(key="pk_guess")).status_code == 503


@pytest.mark.parametrize(
    ("signal", "limited"), [("1", True), (" 1 ", True), ("0", False), ("", False), ("true", False)]
)
def test_the_privacy_signal_of_the_request_counts_like_that_of_the_body(
    watched: Callable[..., Service], signal: str, limited: bool
) -> None:
    service = watched()

    page_of(service).tells(call(), headers={"Sec-GPC": signal})

    (visitor,) = rows(service.store, "visitors") or [{"sale_of_data": None}]
    assert (visitor["sale_of_data"] == 0) is limited


def test_a_refused_call_is_told_when_to_come_again(
    watched: Callable[..., Service], clock: Clock
) -> None:
    page = page_of(watched(COLLECTOR_RATE="1"))
    found = next(a for a in iter(lambda: page.tells(call()), None) if a.status_code != 202)

    assert_problem(found, 429)
    assert found.headers["Access-Control-Allow-Origin"] == "null"
    seconds = int(found.headers["Retry-After"])
    assert 1 <= seconds <= 60
    clock.tick(seconds=seconds)
    assert page.tells(call()).status_code == 202


def test_a_flood_is_in_no_other_visitors_way_and_in_no_webhooks(
    watched: Callable[..., Service],
) -> None:
    page = page_of(watched())
    while page.tells(call()).status_code != 429:
        pass

    assert page.tells(call(), peer="198.51.100.1").status_code == 202
    sent = Shop(page.client).sends("orders/create", order())
    assert sent.get_json()["status"] == "accepted"


def test_calls_that_are_refused_for_other_reasons_count_too(
    watched: Callable[..., Service],
) -> None:
    page = page_of(watched(COLLECTOR_RATE="1"))

    answers = [page.tells(call(key="pk_guess")).status_code for _ in range(200)]

    assert answers.count(401) <= 60
    assert set(answers[60:]) == {429}


@pytest.mark.parametrize("proxies", [0, 1])
def test_forged_addresses_evade_no_limit(watched: Callable[..., Service], proxies: int) -> None:
    page = page_of(watched(COLLECTOR_RATE="1", TRUSTED_PROXIES=str(proxies)))

    answers = []
    for n in range(200):
        forged = f"198.51.{n}.1"
        chain = f"{forged}, 203.0.113.7" if proxies else forged
        found = page.tells(call(), headers={"X-Forwarded-For": chain, "X-Real-IP": forged})
        answers.append(found.status_code)

    assert answers.count(202) <= 60


def test_all_callers_together_are_limited_too(watched: Callable[..., Service]) -> None:
    page = page_of(watched(COLLECTOR_TOTAL_RATE="10"))

    answers = [page.tells(call(), peer=f"10.0.0.{n}").status_code for n in range(200)]

    assert 0 < answers.count(202) <= 50


def test_two_services_on_one_database_share_the_limit(
    build_service: BuildService, database_url: str
) -> None:
    pages = [
        page_of(build_service(database_url, COLLECTOR_KEY=COLLECTOR_KEY, COLLECTOR_RATE="1"))
        for _ in range(2)
    ]

    answers = [pages[n % 2].tells(call()).status_code for n in range(200)]

    assert 60 - 2 * 60 // 8 <= answers.count(202) <= 60


def forged_purchases(n: int) -> dict[str, Any]:
    """A call that would like to be a sale of a hundred thousand."""
    total = {"amount": 100_000.0, "currencyCode": "USD"}
    checkout = {
        "token": f"{n:032x}",
        "currencyCode": "USD",
        "totalPrice": total,
        "subtotalPrice": total,
        "order": {"id": f"gid://shopify/OrderIdentity/{5_001 + n}", "customer": {"id": "9001"}},
        "lineItems": [{"quantity": 1, "variant": {"id": "1", "price": total}}],
    }
    names = ("checkout_completed", "purchase", "Purchase", "orders/create", "checkout")
    events = [
        view(id=f"sh-{n:04}-{k}", name=name, data={"checkout": checkout, "order_id": 5_001})
        for k, name in enumerate(names)
    ]
    return call(
        *events,
        view(id=f"checkout-{5_001 + n}"),
        view(id=f"x-{n:06}", stage="purchase"),
    )


def test_no_call_makes_a_purchase_or_changes_what_was_earned(
    watched: Callable[..., Service],
) -> None:
    service = watched(COLLECTOR_RATE="10000")
    page = page_of(service)
    shop = Shop(page.client)
    shop.sends("orders/create", order())
    before = shop.reads("/roi-analysis", scope="all")

    answers = [page.tells(forged_purchases(n)) for n in range(100)]

    assert {answer.status_code for answer in answers} == {202}
    assert shop.reads("/roi-analysis", scope="all") == before
    found = rows(service.store, "conversions")
    assert [row["event_id"] for row in found if row["stage"] == "purchase"] == ["checkout-5001"]
    assert [row["id"] for row in rows(service.store, "orders")] == ["5001"]


# --- As it runs
