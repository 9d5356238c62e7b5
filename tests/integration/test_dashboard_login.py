"""Nobody gets into the dashboard without the token, and with it only for as long as it holds."""

from collections.abc import Callable
from http.cookies import SimpleCookie
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from api.auth import WRONG_TOKENS
from api.dashboard.routes import POLICY
from api.dashboard.sessions import COOKIE, SESSION_SECONDS
from app import assemble
from config import ConfigurationError, Settings
from server.login_links import LINK_SECONDS, login_path
from tests.actors import API_TOKEN, SECRET, Clock, bearer
from tests.conftest import BuildService
from tests.dashboard import Owner, form_token_in
from tests.openapi import assert_as_described

Assemble = Callable[..., Flask]
OTHER_TOKEN = "another-token-of-the-shop"
LOCAL = {"REMOTE_ADDR": "127.0.0.1"}


@pytest.fixture
def assembled(build_service: BuildService, sqlite_url: str) -> Assemble:
    """Makes applications over one database: `assembled(API_TOKEN="…")`."""
    return lambda **env: assemble(build_service(sqlite_url, **env))


@pytest.fixture
def client(assembled: Assemble) -> FlaskClient:
    """A browser at a shop's service, not logged in."""
    return assembled().test_client()


def logs_in(client: FlaskClient, token: str = API_TOKEN, **form: str) -> TestResponse:
    return client.post("/dashboard/login", data={"token": token, **form})


def cookie_of(answer: TestResponse) -> Any:
    """What the service told the browser to keep."""
    return SimpleCookie(answer.headers["Set-Cookie"])[COOKIE]


# --- In with the token


def test_the_token_opens_the_dashboard(client: FlaskClient) -> None:
    answer = logs_in(client)

    assert_as_described(answer, "/dashboard/login", "post")
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    assert client.get("/dashboard/funnel", follow_redirects=True).status_code == 200


def test_each_of_several_tokens_opens_it(assembled: Assemble) -> None:
    app = assembled(API_TOKEN=f"{API_TOKEN},{OTHER_TOKEN}")

    for token in (API_TOKEN, OTHER_TOKEN):
        assert logs_in(app.test_client(), token).status_code == 303


def test_a_token_is_taken_as_it_was_copied(client: FlaskClient) -> None:
    assert logs_in(client, f"  {API_TOKEN}\n").status_code == 303


@pytest.mark.parametrize("token", ["", "guessed", f"{API_TOKEN}x", API_TOKEN[:-1], "\udcff é"])
def test_nothing_else_opens_it(client: FlaskClient, token: str) -> None:
    answer = logs_in(client, token.encode(errors="replace").decode())

    assert_as_described(answer, "/dashboard/login", "post")
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers
    assert client.get("/dashboard").status_code == 401


def test_without_a_session_a_page_is_the_form_to_log_in(client: FlaskClient) -> None:
    answer = client.get("/dashboard/funnel?traffic=all")

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"].startswith('Cookie form-action="/dashboard/login"')
    assert 'name="token"' in answer.get_data(as_text=True)


def test_whoever_logs_in_gets_to_the_page_that_was_asked_for(client: FlaskClient) -> None:
    page = client.get("/dashboard/funnel?campaign=%23%22%3E1&traffic=all").get_data(as_text=True)
    assert 'name="next" value="/dashboard/funnel?campaign=%23%22%3E1&amp;traffic=all"' in page

    answer = logs_in(client, next="/dashboard/funnel?traffic=all")
    assert answer.location == "/dashboard/funnel?traffic=all"


@pytest.mark.parametrize(
    "given",
    [
        *("https://evil.example", "//evil.example", "/\\evil.example", "\\\\evil.example"),
        *("/dashboardx", "/dashboard.evil.example", "/dashboard@evil.example", "dashboard"),
        *(
            "/dashboard\r\nSet-Cookie: a=b",
            "/dashboard/\x00",
            "/dashboard/ü",
            "javascript:alert(1)",
        ),
        *("/", "/events", "", " /dashboard", "/dashboard/\\evil", "/dashboard\t//evil.example"),
        # A browser takes each of these for a step upwards.
        *("/dashboard/../events", "/dashboard/..", "/dashboard/orders/.%2E/../events?x=1"),
        *("/dashboard/%2e%2e/events", "/dashboard/%2E./events"),
    ],
)
def test_login_leads_nowhere_but_to_the_dashboard(client: FlaskClient, given: str) -> None:
    assert logs_in(client, next=given).location == "/dashboard"
    assert client.get("/dashboard/login", query_string={"next": given}).location == "/dashboard"


def test_without_a_token_in_the_settings_the_dashboard_is_closed(assembled: Assemble) -> None:
    client = assembled(API_TOKEN="").test_client()

    for answer in (client.get("/dashboard"), logs_in(client, ""), client.get("/dashboard/login")):
        assert answer.status_code == 503
        assert "API_TOKEN" in answer.get_data(as_text=True)


# --- Guessing


def test_of_many_guesses_ten_are_answered_and_the_others_have_to_wait(client: FlaskClient) -> None:
    answers = [logs_in(client, f"guess-{number}") for number in range(30)]

    assert [a.status_code for a in answers].count(401) == WRONG_TOKENS.burst
    assert answers[-1].status_code == 429
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 6


def test_guesses_here_and_at_the_api_add_up(client: FlaskClient) -> None:
    for number in range(WRONG_TOKENS.burst):
        logs_in(client, f"guess-{number}")

    assert client.get("/events", headers=bearer("guessed")).status_code == 429


def test_a_guesser_does_not_lock_out_the_owner_behind_the_same_proxy(client: FlaskClient) -> None:
    for number in range(30):
        logs_in(client, f"guess-{number}")

    assert logs_in(client).status_code == 303


def test_an_old_cookie_is_no_guess(client: FlaskClient) -> None:
    client.set_cookie(COOKIE, "1790000000.old.old", path="/dashboard")

    assert {client.get("/dashboard").status_code for _ in range(30)} == {401}
    assert logs_in(client, "a-guess").status_code == 401


# --- The cookie


def test_no_script_and_no_other_site_gets_the_cookie(client: FlaskClient) -> None:
    cookie = cookie_of(logs_in(client))

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Lax", "/dashboard")
    assert (cookie["secure"], cookie["max-age"]) == ("", str(SESSION_SECONDS))
    assert API_TOKEN not in cookie.value


def test_where_the_service_is_reached_by_https_the_cookie_goes_nowhere_else(
    assembled: Assemble,
) -> None:
    app = assembled(PUBLIC_URL="https://tracking.example")

    assert cookie_of(logs_in(app.test_client()))["secure"] is True


def test_a_session_ends_after_twelve_hours(client: FlaskClient, clock: Clock) -> None:
    logs_in(client)
    cookie = client.get_cookie(COOKIE, path="/dashboard")
    assert cookie is not None

    clock.tick(seconds=SESSION_SECONDS - 1)
    assert client.get("/dashboard/login").status_code == 303
    clock.tick(seconds=1)
    # The browser forgets it by itself; whoever keeps it does not get in either.
    client.set_cookie(COOKIE, cookie.value, path="/dashboard")
    assert client.get("/dashboard/funnel").status_code == 401


def test_a_session_ends_with_its_token(assembled: Assemble) -> None:
    both = assembled(API_TOKEN=f"{API_TOKEN},{OTHER_TOKEN}").test_client()
    value = cookie_of(logs_in(both, OTHER_TOKEN)).value

    for tokens, status in ((f"new-{API_TOKEN},{OTHER_TOKEN}", 303), (API_TOKEN, 200)):
        client = assembled(API_TOKEN=tokens).test_client()
        client.set_cookie(COOKIE, value, path="/dashboard")
        assert client.get("/dashboard/login").status_code == status, tokens


def test_every_machine_knows_the_session(assembled: Assemble) -> None:
    value = cookie_of(logs_in(assembled().test_client())).value
    other = assembled().test_client()
    other.set_cookie(COOKIE, value, path="/dashboard")

    assert other.get("/dashboard/login").status_code == 303


def test_a_cookie_that_was_changed_opens_nothing(client: FlaskClient) -> None:
    value = cookie_of(logs_in(client)).value
    end, name, mac = value.split(".")

    changed = (
        *(f"{int(end) + 60}.{name}.{mac}", f"{end}.{name[::-1]}.{mac}", f"{end}.{name}.{mac[:-2]}"),
        *(f"{end}.{name}", f"{end}.{name}.", "", "...", "a" * 3_000, f"{value}.{mac}", "é"),
    )
    for text in changed:
        client.set_cookie(COOKIE, text, path="/dashboard")
        assert client.get("/dashboard/login").status_code == 200, text


def test_a_session_does_not_open_the_api(client: FlaskClient) -> None:
    cookie = cookie_of(logs_in(client))
    for path in ("/", "/dashboard"):
        client.set_cookie(COOKIE, cookie.value, path=path)

    for path in ("/events", "/conversion-funnel", "/metrics"):
        assert client.get(path).status_code == 401, path
    assert client.get("/events", headers=bearer(cookie.value)).status_code == 401


def test_the_bearer_token_is_not_for_pages(client: FlaskClient) -> None:
    assert client.get("/dashboard/funnel", headers=bearer()).status_code == 401


# --- Out again, and forms


def test_logging_out_ends_the_session_of_the_browser(client: FlaskClient) -> None:
    owner = Owner(client)
    answer = client.post("/dashboard/logout", data={"form_token": owner.form_token})

    assert (answer.status_code, answer.location) == (303, "/dashboard/login")
    assert client.get_cookie(COOKIE, path="/dashboard") is None
    assert client.get("/dashboard").status_code == 401


def test_two_browsers_have_sessions_of_their_own(assembled: Assemble) -> None:
    app = assembled()
    one, other = Owner(app.test_client()), Owner(app.test_client())
    one.posts("/dashboard/logout")

    assert one.client.get("/dashboard/funnel").status_code == 401
    assert other.gets("/dashboard/funnel").status_code == 200


def test_a_form_of_another_page_changes_nothing(assembled: Assemble) -> None:
    owner, stranger = Owner(assembled().test_client()), Owner(assembled().test_client())

    for token in ("", "guessed", "é", stranger.form_token):
        answer = owner.client.post("/dashboard/logout", data={"form_token": token})
        assert answer.status_code == 403
        assert "Set-Cookie" not in answer.headers
    assert owner.client.get("/dashboard/login").status_code == 303


def test_every_form_that_changes_something_asks_for_its_token(assembled: Assemble) -> None:
    app = assembled()
    owner = Owner(app.test_client())
    rules = [r.rule for r in app.url_map.iter_rules() if "POST" in (r.methods or ())]
    forms = [
        rule for rule in rules if rule.startswith("/dashboard/") and rule != "/dashboard/login"
    ]

    assert "/dashboard/logout" in forms
    for rule in forms:
        assert owner.client.post(rule).status_code == 403, rule
        assert app.test_client().post(rule).status_code == 401, rule


def test_a_large_form_is_refused(client: FlaskClient) -> None:
    assert logs_in(client, "x" * 100_000).status_code == 413


# --- Signed in by a proxy


HEADER, PROXY, PERSON = "X-Forwarded-User", "10.1.2.3", "ada@example.com"
BY_PROXY = {"DASHBOARD_AUTH_HEADER": HEADER, "DASHBOARD_AUTH_PEERS": "10.1.2.0/24, ::1"}


def proxied(client: FlaskClient, *people: str, peer: str = PROXY, **headers: str) -> TestResponse:
    """A page asked for through a proxy that names these people."""
    told = [(HEADER, person) for person in people] + list(headers.items())
    return client.get(
        "/dashboard/funnel",
        headers=told,
        environ_overrides={"REMOTE_ADDR": peer},
        follow_redirects=False,
    )


def test_a_proxy_that_is_believed_signs_people_in(assembled: Assemble) -> None:
    client = assembled(**BY_PROXY).test_client()

    for peer in (PROXY, "::1", f"::ffff:{PROXY}"):
        assert proxied(client, PERSON, peer=peer).status_code == 303, peer


@pytest.mark.parametrize("people", [[], [""], [" "], [PERSON, PERSON], ["a,b"], ["a" * 300]])
def test_a_header_that_names_nobody_or_several_signs_nobody_in(
    assembled: Assemble, people: list[str]
) -> None:
    assert proxied(assembled(**BY_PROXY).test_client(), *people).status_code == 401


@pytest.mark.parametrize("peer", ["10.1.3.3", "203.0.113.7", "127.0.0.1", "", "unix", "::2"])
def test_nobody_but_the_proxy_is_believed(assembled: Assemble, peer: str) -> None:
    assert proxied(assembled(**BY_PROXY).test_client(), PERSON, peer=peer).status_code == 401


def test_the_address_that_counts_is_that_of_the_connection(assembled: Assemble) -> None:
    client = assembled(**BY_PROXY, TRUSTED_PROXIES="1").test_client()
    forwarded = {"X-Forwarded-For": PROXY}

    assert proxied(client, PERSON, peer="203.0.113.7", **forwarded).status_code == 401
    behind = {"X-Forwarded-For": "203.0.113.7"}
    assert proxied(client, PERSON, peer=PROXY, **behind).status_code == 303


def test_without_the_setting_the_header_means_nothing(client: FlaskClient) -> None:
    assert proxied(client, PERSON).status_code == 401


def test_who_is_signed_in_by_a_proxy_sends_forms_of_the_own_pages_only(assembled: Assemble) -> None:
    client = assembled(**BY_PROXY).test_client()
    by_proxy: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": PROXY}}
    path = "/dashboard/funnel?start_date=2026-07-01&end_date=2026-07-31"
    page = client.get(path, headers={HEADER: PERSON}, **by_proxy).get_data(as_text=True)
    form = {"form_token": form_token_in(page)}

    assert PERSON in page
    for person, status in ((PERSON, 303), ("eve@example.com", 403)):
        answer = client.post("/dashboard/logout", headers={HEADER: person}, data=form, **by_proxy)
        assert answer.status_code == status, person


def test_nobodys_form_token_is_anothers_whatever_they_are_called(assembled: Assemble) -> None:
    client = assembled(**BY_PROXY).test_client()
    by_proxy: dict[str, Any] = {"environ_overrides": {"REMOTE_ADDR": PROXY}}
    path = "/dashboard/funnel?start_date=2026-07-01&end_date=2026-07-31"
    page = client.get(path, headers={HEADER: "eve person ada"}, **by_proxy)
    nonce, _, digest = form_token_in(page.get_data(as_text=True)).partition("-")

    form = {"form_token": f"{nonce} person eve-{digest}"}
    answer = client.post("/dashboard/logout", headers={HEADER: "ada"}, data=form, **by_proxy)
    assert answer.status_code == 403


@pytest.mark.parametrize(
    "wrong",
    [
        {"DASHBOARD_AUTH_HEADER": HEADER},
        {"DASHBOARD_AUTH_HEADER": HEADER, "DASHBOARD_AUTH_PEERS": "0.0.0.0/0"},
        {"DASHBOARD_AUTH_HEADER": HEADER, "DASHBOARD_AUTH_PEERS": "::/0"},
        {"DASHBOARD_AUTH_HEADER": HEADER, "DASHBOARD_AUTH_PEERS": "10.0.0.1/24"},
        {"DASHBOARD_AUTH_HEADER": HEADER, "DASHBOARD_AUTH_PEERS": "proxy.example"},
        {"DASHBOARD_AUTH_HEADER": HEADER, "DASHBOARD_AUTH_PEERS": ","},
        {**BY_PROXY, "DASHBOARD_AUTH_HEADER": "X-User: "},
    ],
)
def test_a_header_that_anybody_could_send_stops_the_start(wrong: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match="DASHBOARD_AUTH"):
        Settings.from_env({"SHOPIFY_WEBHOOK_SECRET": SECRET, **wrong})


# --- Links


def test_a_link_logs_in_once_in_all_processes(
    build_service: BuildService, database_url: str, clock: Clock
) -> None:
    apps = [assemble(build_service(database_url)) for _ in range(2)]
    path = login_path(API_TOKEN.encode(), clock())
    client = apps[0].test_client()

    answer = client.get(path, environ_overrides=LOCAL)
    assert (answer.status_code, answer.location) == (303, "/dashboard")
    assert client.get("/dashboard/login").status_code == 303
    for app in apps:
        assert app.test_client().get(path, environ_overrides=LOCAL).status_code == 404


def test_a_link_holds_for_ten_minutes(assembled: Assemble, clock: Clock) -> None:
    path = login_path(API_TOKEN.encode(), clock())
    clock.tick(seconds=LINK_SECONDS)

    assert assembled().test_client().get(path, environ_overrides=LOCAL).status_code == 404


def test_a_link_that_the_token_did_not_make_opens_nothing(
    assembled: Assemble, clock: Clock
) -> None:
    client = assembled().test_client()
    path = login_path(API_TOKEN.encode(), clock())

    made_up = (
        *(login_path(OTHER_TOKEN.encode(), clock()), path[:-2], f"{path}x", "/dashboard/login/é"),
        login_path(API_TOKEN.encode(), clock() + 3_600),
        f"/dashboard/login/{cookie_of(logs_in(assembled().test_client())).value}",
    )
    for each in made_up:
        assert client.get(each, environ_overrides=LOCAL).status_code == 404, each
    assert client.get(path, environ_overrides=LOCAL).status_code == 303


@pytest.mark.parametrize(
    ("peer", "headers"),
    [
        ("203.0.113.7", {}),
        ("", {}),
        ("127.0.0.1", {"X-Forwarded-For": "203.0.113.7"}),
        ("127.0.0.1", {"Via": "1.1 proxy"}),
    ],
)
def test_a_link_opens_for_nobody_elsewhere(
    assembled: Assemble, clock: Clock, peer: str, headers: dict[str, str]
) -> None:
    client = assembled().test_client()
    path = login_path(API_TOKEN.encode(), clock())
    elsewhere = {"REMOTE_ADDR": peer}

    answer = client.get(path, headers=headers, environ_overrides=elsewhere)
    assert answer.status_code == 404
    # Nobody elsewhere uses it up.
    assert client.get(path, environ_overrides=LOCAL).status_code == 303


# --- What every answer says to browsers


def test_every_answer_has_the_policy_of_the_pages(client: FlaskClient) -> None:
    logged_in = Owner(client)
    answers = [
        *(logged_in.gets("/dashboard/funnel"), client.get("/dashboard/nowhere")),
        *(client.get("/dashboard/funnel?x=1"), client.get("/dashboard/login"), logs_in(client, "")),
    ]

    for answer in answers:
        assert answer.headers["Content-Security-Policy"] == POLICY
        assert answer.headers["Cache-Control"] == "no-store"
    assert POLICY == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; frame-ancestors 'none'"
    )


# --- The service's own address


def test_its_own_address_leads_a_browser_to_the_dashboard(client: FlaskClient) -> None:
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    answer = client.get("/", headers={"Accept": browser})

    assert (answer.status_code, answer.location) == (303, "/dashboard")


@pytest.mark.parametrize("accept", ["*/*", "", "application/json", "text/plain"])
def test_its_own_address_shows_everybody_else_the_page(client: FlaskClient, accept: str) -> None:
    assert client.get("/", headers={"Accept": accept}).status_code == 200


def test_where_the_dashboard_is_closed_browsers_see_the_page(assembled: Assemble) -> None:
    client = assembled(API_TOKEN="").test_client()

    assert client.get("/", headers={"Accept": "text/html"}).status_code == 200
