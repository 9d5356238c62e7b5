"""Nobody gets in and nothing leaks: headers, tokens, guessing, and the paper that says so."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.auth import ALL_WRONG_TOKENS, WRONG_TOKENS, BearerAuth
from api.openapi import DESCRIPTION
from app import PUBLIC, assemble
from commands.doctor import findings
from server.security_headers import HEADERS
from tests.actors import API_TOKEN, Clock, Shop, bearer, order
from tests.conftest import BuildService
from tests.dashboard import Owner
from tests.openapi import is_page
from tests.watched_store import WatchedStore
from tracking.operate.rate_limiter import RateLimiter
from tracking.service import Service
from tracking.store import open_store

ROOT = Path(__file__).parents[2]
GUESSER, OWNER = "198.51.100.9", "203.0.113.7"


@pytest.fixture
def lite(build_service: BuildService, sqlite_url: str) -> Service:
    """A service on SQLite that sends nothing."""
    return build_service(sqlite_url)


@pytest.fixture
def front(lite: Service) -> Flask:
    """The HTTP face of that service."""
    return assemble(lite)


def asked(client: FlaskClient, token: str, address: str = GUESSER) -> TestResponse:
    """A report asked for with a token, from an address."""
    return client.get("/events", headers=bearer(token), environ_overrides={"REMOTE_ADDR": address})


# --- What every answer says to browsers


ANSWERS: dict[str, Callable[[FlaskClient], TestResponse]] = {
    "a report": lambda client: client.get("/events", headers=bearer()),
    "a report as CSV": lambda client: client.get("/events?format=csv", headers=bearer()),
    "figures": lambda client: client.get("/metrics", headers=bearer()),
    "a refusal": lambda client: client.get("/events"),
    "a wrong parameter": lambda client: client.get("/events?x=1", headers=bearer()),
    "an address that is none": lambda client: client.get("/nowhere"),
    "a wrong method": lambda client: client.delete("/health"),
    "health": lambda client: client.get("/health"),
    "the page for people": lambda client: client.get("/"),
    "readiness": lambda client: client.get("/ready"),
    "the description": lambda client: client.get("/openapi.json"),
    "a webhook": lambda client: Shop(client).sends("orders/create", order()),
    "a webhook nobody signed": lambda client: client.post("/webhooks/orders/create", data=b"{}"),
    "a collector that is off": lambda client: client.post("/collect", data=b"{}"),
}


@pytest.mark.parametrize("what", ANSWERS)
def test_every_answer_keeps_browsers_from_misusing_it(front: Flask, what: str) -> None:
    answer = ANSWERS[what](front.test_client())

    kept = {**dict(HEADERS), "Content-Security-Policy": answer.headers["Content-Security-Policy"]}
    assert {name: answer.headers[name] for name in kept} == kept
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in answer.headers["Content-Security-Policy"]


def test_no_page_may_run_anything_or_be_framed() -> None:
    policy = dict(HEADERS)["Content-Security-Policy"]

    assert policy == "default-src 'none'; frame-ancestors 'none'"


def test_no_answer_redirects(front: Flask) -> None:
    for path in ("/health/", "/events/", "/EVENTS", "/webhooks"):
        assert not 300 <= front.test_client().get(path, headers=bearer()).status_code < 400


@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        *("//health", "/health//", "//evil.example/health", "//events", "/webhooks//orders/create"),
        *("//webhooks/orders/create", "/orders//1/journey", "//pixel.js", "//collect"),
    ],
)
def test_a_path_with_two_slashes_is_no_path_of_ours(front: Flask, path: str, method: str) -> None:
    # As a path, which the client would take for a host.
    answer = front.test_client().open(
        method=method,
        headers={"Host": "evil.example", **bearer()},
        environ_overrides={"PATH_INFO": path},
    )
    assert answer.status_code == 404
    assert "evil.example" not in f"{answer.headers}"


def test_the_host_header_gets_into_no_answer(front: Flask) -> None:
    for path in ("/health", "/ready", "/openapi.json", "/nowhere", "/events"):
        answer = front.test_client().get(path, headers={"Host": "evil.example", **bearer()})
        assert "evil.example" not in f"{answer.headers}{answer.get_data(as_text=True)}"


PARAMETERS = {
    (path, parameter["name"])
    for path, item in DESCRIPTION["paths"].items()
    for parameter in item.get("get", {}).get("parameters", ())
}
BREAKS_OUT = (
    *("%0d%0aSet-Cookie:%20a=b", "%0aX-Injected:%20y", "1%27%20OR%20%271%27=%271"),
    *("1;DROP%20TABLE%20orders", "-1%20UNION%20SELECT%20sql%20FROM%20sqlite_master", "%00", "%ff"),
)


@pytest.mark.parametrize(("path", "name"), sorted(PARAMETERS))
def test_no_parameter_breaks_out_of_its_place(front: Flask, path: str, name: str) -> None:
    for text in BREAKS_OUT:
        address = f"{path.replace('{order_id}', '1')}?{name}={text}"
        client = front.test_client()
        if is_page(path):
            Owner(client)
        answer = client.get(address, headers=bearer())
        assert answer.status_code in (200, 303, 400, 404), text
        assert not {"Set-Cookie", "X-Injected"} & {*answer.headers.keys()}
        assert "CREATE TABLE" not in answer.get_data(as_text=True)


@pytest.mark.parametrize(
    "address",
    [
        *("/orders/%00/journey", "/orders/1%00/journey", "/events?event_id=%00"),
        *("/conversion-funnel?campaign=%00", "/events?state=%00"),
    ],
)
def test_a_text_that_no_database_can_hold_is_an_error_of_the_caller(
    address: str, build_service: BuildService, database_url: str
) -> None:
    client = assemble(build_service(database_url)).test_client()

    assert client.get(address, headers=bearer()).status_code in (400, 404)


# --- What strangers learn of the state of the service


def test_strangers_learn_whether_it_is_ready_and_nothing_else(shop: Shop) -> None:
    shop.sends("orders/create", order())

    assert shop.client.get("/health").get_json() == {"status": "ok"}
    assert shop.client.get("/ready").get_json() == {"status": "ok"}


def test_strangers_do_not_learn_why_it_is_not_ready(
    build_service: BuildService, tmp_path: Path
) -> None:
    client = assemble(build_service(f"sqlite:///{tmp_path}/gone/tracking.db")).test_client()
    answer = client.get("/ready")

    assert (answer.status_code, answer.get_json()) == (503, {"status": "unavailable"})


def test_the_owner_learns_in_what_state_it_is(front: Flask) -> None:
    state = front.test_client().get("/ready", headers=bearer()).get_json()

    assert {"store_writable", "migrations_at_head", "oldest_waiting_seconds"} <= state.keys()


def test_readiness_tells_nobody_with_a_wrong_token_anything(front: Flask) -> None:
    answer = front.test_client().get("/ready", headers=bearer("guessed"))

    assert answer.status_code == 401
    assert "store_writable" not in answer.get_data(as_text=True)


def test_every_address_that_is_not_public_asks_for_a_token(front: Flask) -> None:
    client = front.test_client()
    for rule in front.url_map.iter_rules():
        if rule.endpoint not in PUBLIC:
            path = rule.rule.replace("<order_id>", "1")
            for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
                assert client.open(path, method=method).status_code == 401, f"{method} {path}"


def test_a_token_in_the_address_opens_nothing(front: Flask) -> None:
    for name in ("token", "api_token", "access_token", "key"):
        assert front.test_client().get(f"/events?{name}={API_TOKEN}").status_code == 401


# --- Guessing


def test_of_a_thousand_guesses_ten_are_answered_and_the_others_have_to_wait(front: Flask) -> None:
    client = front.test_client()
    answers = [asked(client, f"guess-{number}") for number in range(1_000)]

    statuses = [answer.status_code for answer in answers]
    assert statuses.count(401) == WRONG_TOKENS.burst
    assert statuses.count(429) == 1_000 - WRONG_TOKENS.burst
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 6


def test_guesses_from_many_addresses_have_to_wait_as_well(front: Flask) -> None:
    client = front.test_client()
    statuses = [asked(client, "guess", f"203.0.113.{n % 200}").status_code for n in range(400)]

    assert 0 < statuses.count(401) <= ALL_WRONG_TOKENS.burst


def test_a_guesser_does_not_lock_out_the_owner_behind_the_same_proxy(front: Flask) -> None:
    client = front.test_client()
    for number in range(100):
        asked(client, f"guess-{number}")

    assert asked(client, API_TOKEN).status_code == 200


def test_a_guesser_does_not_lock_out_the_owner_at_another_address(front: Flask) -> None:
    client = front.test_client()
    for number in range(100):
        asked(client, f"guess-{number}")

    assert asked(client, API_TOKEN, OWNER).status_code == 200


def test_whoever_gives_no_token_does_not_guess(front: Flask) -> None:
    client = front.test_client()
    statuses = {client.get("/events").status_code for _ in range(50)}

    assert statuses == {401}


def test_the_right_token_may_be_used_as_often_as_one_likes(front: Flask) -> None:
    client = front.test_client()

    assert {asked(client, API_TOKEN).status_code for _ in range(50)} == {200}


def test_readiness_is_no_way_around_the_limit(front: Flask) -> None:
    client = front.test_client()
    statuses = [client.get("/ready", headers=bearer(f"no-{n}")).status_code for n in range(20)]

    assert statuses == [401] * 10 + [429] * 10


def test_guesses_add_up_over_processes(database_url: str, clock: Clock) -> None:
    stores = [open_store(database_url) for _ in range(2)]
    limiters = [RateLimiter(store, clock, b"key", WRONG_TOKENS, None) for store in stores]
    refused = [bool(limiter.refusal(GUESSER)) for _ in range(10) for limiter in limiters]
    for store in stores:
        store.close()

    assert refused == [False] * 10 + [True] * 10


def test_a_flood_of_guesses_is_refused_from_memory(lite: Service, clock: Clock) -> None:
    store = WatchedStore(lite.store)
    gate = BearerAuth((b"the-token",), RateLimiter(store, clock, b"key", WRONG_TOKENS, None))
    for number in range(500):
        with pytest.raises(Exception, match=r"wrong tokens|bearer token"):
            gate.check(f"Bearer {number}", GUESSER)

    assert store.commits <= WRONG_TOKENS.burst + 1


# --- A proxy nobody told of


def test_a_proxy_that_is_not_believed_is_told_once(
    front: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    for address in (GUESSER, OWNER):
        front.test_client().get("/health", headers={"X-Forwarded-For": address})

    assert caplog.text.count("TRUSTED_PROXIES") == 1
    assert GUESSER not in caplog.text


@pytest.mark.parametrize(("proxies", "is_told"), [("0", True), ("1", False)])
def test_the_doctor_notices_a_proxy_that_is_not_believed(
    build_service: BuildService, sqlite_url: str, proxies: str, is_told: bool
) -> None:
    service = build_service(
        sqlite_url, PUBLIC_URL="https://tracking.example", TRUSTED_PROXIES=proxies
    )

    assert is_told == any("TRUSTED_PROXIES" in found.text for found in findings(service))


# --- No debugger, whatever the environment says


# --- The paper


def promised() -> list[tuple[str, str]]:
    """The tests that docs/security.md names: file and test."""
    text = (ROOT / "docs/security.md").read_text("utf-8")
    return re.findall(r"`(test_\w+\.py|\w+/test_\w+\.py)::(\w+)`", text)


def test_the_paper_names_a_test_for_every_promise() -> None:
    text = (ROOT / "docs/security.md").read_text("utf-8")
    rows = re.findall(r"^\| (?!promise|---)(.+) \| (.*) \|$", text, re.MULTILINE)

    assert len(rows) > 20
    assert [promise for promise, test in rows if "::" not in test] == []


@pytest.mark.parametrize(("file", "test"), promised())
def test_every_test_the_paper_names_is_there(file: str, test: str) -> None:
    source = (ROOT / "tests" / file).read_text("utf-8")

    assert re.search(rf"^def {test}\(", source, re.MULTILINE)
