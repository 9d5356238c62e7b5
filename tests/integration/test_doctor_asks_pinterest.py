"""Pinterest's token, about which doctor asks Pinterest before the first event fails."""

import socket

import pytest

from app import assemble
from tests.actors import NOW, Operator
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest, Mode
from tracking.destinations.pinterest_test_call import try_token
from tracking.service import Service


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    return build_service(sqlite_url, pinterest=pinterest)


def said_of_token(service: Service, *words: str) -> str:
    """The doctor's line about the token, as one text."""
    output = Operator(assemble(service)).types("doctor", *words).stdout
    lines = [" ".join(line.split()) for line in output.splitlines()]
    return next((line for line in lines if line.split()[1:2] == ["token"]), "")


def test_a_good_token_is_told_with_its_account(service: Service, pinterest: FakePinterest) -> None:
    assert said_of_token(service).startswith("ok token Pinterest accepts it for ad account 5497558")
    assert [(call.is_test, call.status) for call in pinterest.calls] == [(True, 200)]
    assert pinterest.accepted == {}


def test_a_wrong_token_fails_before_any_event(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    token = "pina_a-token-that-was-revoked"
    service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_ACCESS_TOKEN=token)

    line = said_of_token(service)

    assert line.startswith("FAIL token Pinterest does not accept it for ad account 549755885175")
    assert "make a new token in Pinterest's Ads Manager" in line
    assert token not in line


def test_a_token_of_another_account_asks_for_the_account(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_AD_ACCOUNT_ID="123")

    line = said_of_token(service)

    assert line.startswith("FAIL token Pinterest does not accept it for ad account 123")
    assert "is PINTEREST_AD_ACCOUNT_ID the account that the token was made in?" in line


def test_without_a_token_doctor_says_where_to_make_one(
    build_service: BuildService, sqlite_url: str
) -> None:
    line = said_of_token(build_service(sqlite_url))

    assert line.startswith("note token none: make one in Pinterest's Ads Manager")


def test_a_pinterest_that_fails_is_told(service: Service, pinterest: FakePinterest) -> None:
    pinterest.mode = "down"

    assert said_of_token(service).startswith("FAIL token not known: Pinterest does not answer")


def test_a_refused_made_up_event_is_no_fault_of_the_token(
    service: Service, pinterest: FakePinterest
) -> None:
    pinterest.mode = "echo"

    line = said_of_token(service)

    assert line.startswith("note token accepted for ad account 549755885175")
    assert pinterest.token not in line


def test_a_pinterest_that_asks_to_wait_is_a_note(
    service: Service, pinterest: FakePinterest
) -> None:
    pinterest.mode = Mode("throttle", limit=1, window=60)
    said_of_token(service)

    assert said_of_token(service).startswith("note token Pinterest takes no more calls now")


@pytest.mark.parametrize("env", [{"PINTEREST_SEND": "off"}, {}])
def test_pinterest_is_not_asked_where_nothing_is_sent_or_offline(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, env: dict[str, str]
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, **env)

    assert said_of_token(service, *([] if env else ["--offline"])) == ""
    assert pinterest.calls == []


def test_doctor_does_not_wait_for_a_pinterest_that_never_answers(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        service = build_service(sqlite_url, pinterest=pinterest, PINTEREST_API_BASE=base)
        status, outcome = try_token(service.settings, NOW, patience=0.1)

    assert status == 0
    assert "no answer within 0.1 s" in str(outcome)
