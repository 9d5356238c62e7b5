"""What leaves the house, and what is made of the answers: over real HTTP to a stand-in."""

import json
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from commands.demo.http_server import PromptServer
from commands.demo.pinterest import ACCOUNT_ID, TOKEN, PinterestStandIn
from tests.actors import NOW
from tests.conversions import EVA, ORDER, decoded, events
from tests.reading import until
from tests.standins.pinterest import FakePinterest, Mode
from tracking.clients.http import HttpClient, safe_url
from tracking.clients.outcome import Accepted, Answered, BatchRefused, Paused, Refused, TryLater
from tracking.destinations import TABLE, connect_all
from tracking.destinations.pinterest import Pinterest, encode
from tracking.destinations.track_ai import TrackAI


@pytest.fixture
def fake() -> Iterator[FakePinterest]:
    with FakePinterest() as fake:
        yield fake


@pytest.fixture
def account(fake: FakePinterest) -> Iterator[Pinterest]:
    account = Pinterest(TOKEN, ACCOUNT_ID, fake.url, deadline=5)
    yield account
    account.close()


@pytest.fixture
def hasty(fake: FakePinterest) -> Iterator[Pinterest]:
    """The account with a fraction of a second of patience."""
    account = Pinterest(TOKEN, ACCOUNT_ID, fake.url, deadline=0.3)
    yield account
    account.close()


# --- what is sent


# --- Pinterest over HTTP


def test_accepted_events_are_known_to_pinterest_once(
    fake: FakePinterest, account: Pinterest
) -> None:
    assert account.send(events(3)) == Answered((Accepted(),) * 3)
    assert fake.accepted == {"checkout-0": 1, "checkout-1": 1, "checkout-2": 1}
    assert fake.events["checkout-1"] == json.loads(events(2)[1])


def test_a_thousand_events_go_in_one_call(fake: FakePinterest, account: Pinterest) -> None:
    assert account.max_batch == 1000
    outcome = account.send(events(1000))
    assert outcome == Answered((Accepted(),) * 1000)
    assert [(call.events, call.status) for call in fake.calls] == [(1000, 200)]


def test_calls_share_one_connection(fake: FakePinterest, account: Pinterest) -> None:
    for _ in range(5):
        account.send(events(1))
    assert fake.connections == 1


def test_a_connection_that_was_closed_meanwhile_costs_no_call(
    fake: FakePinterest, account: Pinterest
) -> None:
    account.send(events(1))
    fake.stop()
    fake.start()
    assert account.send(events(1)) == Answered((Accepted(),))


def test_a_remark_on_an_accepted_event_is_kept(fake: FakePinterest, account: Pinterest) -> None:
    anonymous = replace(ORDER, click_id="")
    assert account.send([encode(anonymous)]) == Answered((Accepted("click_id is missing"),))


def test_in_test_mode_nothing_is_recorded_and_a_call_is_small(fake: FakePinterest) -> None:
    tester = Pinterest(TOKEN, ACCOUNT_ID, fake.url, test_mode=True)
    assert tester.max_batch == 20
    assert tester.send(events(20)) == Answered((Accepted(),) * 20)
    assert fake.accepted == {}
    assert [call.is_test for call in fake.calls] == [True]


def test_outside_test_mode_no_call_says_test(fake: FakePinterest, account: Pinterest) -> None:
    account.send(events(1))
    assert [call.is_test for call in fake.calls] == [False]


def test_a_failed_event_among_others_is_refused_alone(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode, fake.poisoned = "partial", frozenset({"checkout-1"})
    assert account.send(events(3)) == Answered(
        (Accepted(), Refused("Invalid event_id: checkout-1 is poisoned"), Accepted())
    )


def test_an_unprocessable_call_is_read_event_by_event(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode, fake.poisoned = "unprocessable", frozenset({"checkout-0"})
    assert account.send(events(2)) == Answered(
        (Refused("Invalid event_id: checkout-0 is poisoned"), Accepted())
    )
    assert fake.accepted == {"checkout-1": 1}


def test_a_call_that_one_event_spoils_is_refused_in_pinterests_words(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode, fake.poisoned = "reject", frozenset({"checkout-1"})
    outcome = account.send(events(2))
    assert isinstance(outcome, BatchRefused)
    assert "('poison' was unexpected) (code 4196)" in outcome.reason
    assert fake.accepted == {}


def test_events_of_the_future_and_of_last_week_are_refused(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.clock = lambda: NOW
    times = (int(NOW) + 3600, int(NOW) - 8 * 86_400)
    outcome = account.send([encode(replace(ORDER, event_time=at)) for at in times])
    assert isinstance(outcome, Answered)
    reasons = [result.reason for result in outcome.results if isinstance(result, Refused)]
    assert ["future" in reasons[0], "past" in reasons[1]] == [True, True]


@pytest.mark.parametrize(("mode", "status"), [("unauthorized", 401), ("forbidden", 403)])
def test_a_locked_account_pauses_and_somebody_must_look(
    fake: FakePinterest, account: Pinterest, mode: str, status: int
) -> None:
    fake.mode = mode
    outcome = account.send(events(2))
    assert isinstance(outcome, Paused)
    assert outcome.is_credentials
    assert outcome.reason.startswith(f"HTTP {status}: ")


def test_the_wrong_token_and_the_wrong_account_pause(fake: FakePinterest) -> None:
    for stranger in (
        Pinterest("pina_other", ACCOUNT_ID, fake.url),
        Pinterest(TOKEN, "987", fake.url),
    ):
        outcome = stranger.send(events(1))
        assert isinstance(outcome, Paused)
        assert outcome.is_credentials


def test_a_wrong_address_of_the_api_pauses_rather_than_kills(fake: FakePinterest) -> None:
    outcome = Pinterest(TOKEN, ACCOUNT_ID, fake.url + "/v6").send(events(1))
    assert isinstance(outcome, Paused)
    assert outcome.is_credentials


def test_too_many_calls_pause_for_as_long_as_pinterest_says(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode = Mode("throttle", limit=1, window=600)
    assert isinstance(account.send(events(1)), Answered)
    outcome = account.send(events(1))
    assert isinstance(outcome, Paused)
    assert not outcome.is_credentials
    assert outcome.seconds in (599, 600)


def test_a_retry_after_counts_more_than_the_limits_reset(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode = Mode("throttle", limit=1, window=600, retry_after=77)
    account.send(events(1))
    outcome = account.send(events(1))
    assert isinstance(outcome, Paused)
    assert outcome.seconds == 77


LIES = ["down", "html", "empty", "short", "no_content", "redirect", "garbage"]


@pytest.mark.parametrize("mode", LIES)
def test_an_answer_that_is_not_pinterests_settles_nothing(
    fake: FakePinterest, account: Pinterest, mode: str
) -> None:
    fake.mode = mode
    assert isinstance(account.send(events(1)), TryLater)
    assert fake.strays == []


def test_an_unreadable_refusal_of_several_events_is_worth_splitting(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode = "garbage"
    assert isinstance(account.send(events(2)), BatchRefused)


def test_every_third_call_gets_through_a_flaky_pinterest(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode = Mode("flaky", n=3)
    found = [type(account.send(events(1))) for _ in range(6)]
    assert found == [TryLater, TryLater, Answered] * 2


def test_a_call_that_broke_off_may_have_arrived_and_is_made_again_with_the_same_id(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode = "reset"
    assert isinstance(account.send(events(1)), TryLater)
    fake.mode = "ok"
    assert isinstance(account.send(events(1)), Answered)
    assert fake.accepted == {"checkout-0": 2}


def test_a_pinterest_that_is_gone_is_tried_later_and_found_again(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode = "refused"
    outcome = account.send(events(1))
    assert isinstance(outcome, TryLater)
    assert outcome.reason == "no answer: ConnectionRefusedError: Connection refused"
    fake.mode = "ok"
    assert isinstance(account.send(events(1)), Answered)


@pytest.mark.parametrize("mode", ["hang", "drip", "drip_head"])
def test_a_call_ends_when_its_time_is_up_however_the_answer_drips(
    fake: FakePinterest, hasty: Pinterest, mode: str
) -> None:
    fake.mode = Mode(mode, seconds=0.05)
    # The answer itself has no end.
    assert hasty.send(events(1)) == TryLater("no complete answer within 0.3 s")


def test_a_slow_answer_within_the_time_is_an_answer(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode = Mode("slow", seconds=0.1)
    assert isinstance(account.send(events(1)), Answered)


def test_an_endless_answer_is_not_read_to_its_end(fake: FakePinterest, account: Pinterest) -> None:
    fake.mode = "endless"
    assert account.send(events(1)) == TryLater("HTTP 200 with more than 1 MiB of answer")


def test_after_a_cut_call_the_next_one_works(fake: FakePinterest, hasty: Pinterest) -> None:
    fake.mode = "hang"
    hasty.send(events(1))
    fake.mode = "ok"
    # On a busy machine an answer may take longer than it has patience.
    until(lambda: isinstance(hasty.send(events(1)), Answered))


def test_proxy_variables_do_not_divert_a_call(
    fake: FakePinterest, account: Pinterest, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert isinstance(account.send(events(1)), Answered)


def test_a_certificate_nobody_vouches_for_is_refused(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1"
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*made.split(), *name, "-keyout", key, "-out", certificate],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with Mailbox(context) as mailbox:
        answer = HttpClient(deadline=5).call(
            "POST", mailbox.url.replace("http:", "https:"), {}, b"{}"
        )
    assert isinstance(answer, TryLater)
    assert answer.reason.startswith("no answer: SSLCertVerificationError: ")
    assert mailbox.bodies == []


# --- the token


def test_nothing_shows_the_token(fake: FakePinterest) -> None:
    account = Pinterest(TOKEN, ACCOUNT_ID, fake.url, test_mode=True)
    assert repr(account) == f"<Pinterest {ACCOUNT_ID}, test mode>"
    assert TOKEN not in f"{account!s} {account!r} {[account]}"


def test_an_answer_that_quotes_the_token_is_kept_without_it(
    fake: FakePinterest, account: Pinterest
) -> None:
    fake.mode = "echo"
    outcome = account.send(events(2))
    assert isinstance(outcome, BatchRefused)
    assert "Bearer (token)" in outcome.reason
    assert TOKEN not in outcome.reason


def test_a_made_up_token_of_a_letter_does_not_maim_the_answers() -> None:
    with FakePinterest(token="t") as fake:
        assert Pinterest("t", ACCOUNT_ID, fake.url).send(events(1)) == Answered((Accepted(),))


@pytest.mark.parametrize("token", ["", "pina secret", "pina_sécret", "pina_secret\n"])
def test_a_token_that_fits_no_header_stops_the_start_and_is_not_repeated(token: str) -> None:
    with pytest.raises(ValueError, match="PINTEREST_ACCESS_TOKEN") as refusal:
        Pinterest(token, ACCOUNT_ID)
    assert "pina" not in str(refusal.value)


# --- settings


@pytest.mark.parametrize("account_id", ["", "1/../../x", "1?x=", "@evil", "1" * 19, "١٢", "1\n"])
def test_an_ad_account_that_is_no_number_stops_the_start(account_id: str) -> None:
    with pytest.raises(ValueError, match="PINTEREST_AD_ACCOUNT_ID"):
        Pinterest(TOKEN, account_id)


@pytest.mark.parametrize(
    "base",
    [
        "http://api.pinterest.com/v5",
        "https://evil.example/v5",
        "https://pinterest.com.evil.example",
        "https://api.pinterest.com@evil.example",
        "https://evilpinterest.com",
        "https://api.pinterest.com/v5?x=",
        "https://api.pinterest.com/v5#",
        "https://evil.example\\@api.pinterest.com",
        "ftp://api.pinterest.com",
        "http://localhost.evil.example",
        "http://[::1",
        "https://api.pinterest.com:port",
        "https://",
        "api.pinterest.com",
        "",
        "https://api.pinterest.com/v5\n",
    ],
)
def test_the_token_goes_to_no_other_host_and_never_in_clear(base: str) -> None:
    with pytest.raises(ValueError, match="PINTEREST_API_BASE"):
        Pinterest(TOKEN, ACCOUNT_ID, base)


@pytest.mark.parametrize(
    "base",
    [
        "https://api.pinterest.com/v5",
        "https://API.Pinterest.com/v5/",
        "http://localhost:9100/v5",
        "http://127.0.0.1:9100/v5",
        "http://[::1]:9100/v5",
    ],
)
def test_pinterest_and_this_machine_may_be_called(base: str) -> None:
    assert repr(Pinterest(TOKEN, ACCOUNT_ID, base)) == f"<Pinterest {ACCOUNT_ID}>"


def test_any_https_address_may_be_a_second_destination() -> None:
    assert safe_url("https://collect.track.example/v1", "X").hostname == "collect.track.example"


@dataclass
class Settings:
    pinterest_access_token: str = ""
    pinterest_ad_account_id: str = ""
    pinterest_api_base: str = "https://api.pinterest.com/v5"
    pinterest_test_mode: bool = False
    track_ai_endpoint: str = ""
    track_ai_store_id: str = "pinterest_store"
    track_ai_pinterest_pixel_id: str = "pinterest_pixel"


def test_without_credentials_nobody_is_told() -> None:
    assert connect_all(Settings()) == {}
    assert connect_all(Settings(pinterest_access_token=TOKEN)) == {}
    assert connect_all(Settings(pinterest_ad_account_id=ACCOUNT_ID)) == {}


def test_every_configured_destination_is_connected_under_its_own_name() -> None:
    found = connect_all(
        Settings(
            pinterest_access_token=TOKEN,
            pinterest_ad_account_id=ACCOUNT_ID,
            track_ai_endpoint="https://collect.track.example/v1",
        )
    )
    assert list(found) == list(TABLE) == ["pinterest", "track_ai"]
    assert [destination.name for destination in found.values()] == list(found)


def test_test_mode_is_passed_on() -> None:
    testing = Settings(TOKEN, ACCOUNT_ID, pinterest_test_mode=True)
    assert "test mode" in repr(connect_all(testing)["pinterest"])


# --- reading answers


# --- Track AI


class Mailbox:
    """A server that keeps what it is sent and gives the answer it was told to give."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.bodies: list[Any] = []
        self.answer: tuple[int, bytes] = (202, b"")
        mailbox = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                mailbox.bodies.append(json.loads(body))
                self.send_response(mailbox.answer[0])
                self.end_headers()
                self.wfile.write(mailbox.answer[1])

            def log_message(self, format: str, *args: Any) -> None:
                """Nobody reads it."""

        class Server(PromptServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """A client that hangs up in the handshake is what the test is about."""

        self._server = Server(0, Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/collect"
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> "Mailbox":
        self._server.start("mailbox")
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def mailbox() -> Iterator[Mailbox]:
    with Mailbox() as mailbox:
        yield mailbox


@pytest.fixture
def second(mailbox: Mailbox) -> Iterator[TrackAI]:
    second = TrackAI(mailbox.url, 'store "7"', "pixel", deadline=5)
    yield second
    second.close()


def test_track_ai_gets_events_under_the_ids_of_shop_and_pixel(
    mailbox: Mailbox, second: TrackAI
) -> None:
    assert second.send([second.encode(ORDER)] * 2) == Answered((Accepted(),) * 2)
    assert mailbox.bodies == [
        {"store_id": 'store "7"', "pixel_id": "pixel", "events": [decoded(ORDER)] * 2}
    ]


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ((400, b"bad pixel"), BatchRefused("HTTP 400: bad pixel")),
        ((422, b"bad pixel"), BatchRefused("HTTP 422: bad pixel")),
        ((401, b"who?"), Paused("HTTP 401: who?", is_credentials=True)),
        ((429, b"slow"), Paused("HTTP 429: slow")),
        ((503, b""), TryLater("HTTP 503")),
        ((302, b""), TryLater("HTTP 302")),
    ],
)
def test_track_ai_refuses_pauses_and_fails_like_pinterest(
    mailbox: Mailbox, second: TrackAI, answer: tuple[int, bytes], outcome: object
) -> None:
    mailbox.answer = answer
    assert second.send(events(1)) == outcome


def test_track_ai_strips_events_like_pinterest(second: TrackAI) -> None:
    assert second.strip(encode(ORDER)) == encode(replace(ORDER, ip="", user_agent=""))


def test_track_ai_is_not_called_in_clear() -> None:
    with pytest.raises(ValueError, match="TRACK_AI_ENDPOINT"):
        TrackAI("http://collect.track.example", "s", "p")


# --- the stand-in itself


def control(fake: PinterestStandIn, path: str = "", **wanted: object) -> Any:
    url = fake.url.replace("/v5", f"/_control{path}")
    body = json.dumps(wanted).encode() if wanted else None
    with urllib.request.urlopen(url, body) as answer:
        return json.load(answer)


@pytest.mark.parametrize(
    "spoilt",
    [
        b'{"event_name":"checkout"}',
        b"[]",
        encode(ORDER).replace(b'"checkout"', b'"purchase"'),
        encode(ORDER).replace(b'"249.00"', b"249.00"),
        encode(ORDER).replace(b'"num_items":4', b'"num_items":NaN'),
        encode(ORDER).replace(EVA.em[0].encode(), EVA.em[0].upper().encode()),
        encode(ORDER)[:-1],
    ],
)
def test_the_stand_in_refuses_a_call_with_an_event_that_breaks_the_schema(
    fake: FakePinterest, account: Pinterest, spoilt: bytes
) -> None:
    outcome = account.send([encode(ORDER), spoilt])
    assert isinstance(outcome, BatchRefused)
    assert outcome.reason.startswith("HTTP 400: Invalid request: ")
    assert fake.accepted == {}


@pytest.mark.parametrize("count", [0, 1001])
def test_the_stand_in_takes_1_to_1000_events(
    fake: FakePinterest, account: Pinterest, count: int
) -> None:
    outcome = account.send([encode(ORDER)] * count)
    assert isinstance(outcome, BatchRefused)


def test_the_stand_in_keeps_pinterests_limit_of_test_calls(fake: FakePinterest) -> None:
    fake.clock = lambda: 1_790_000_000.0
    tester = Pinterest(TOKEN, ACCOUNT_ID, fake.url, test_mode=True)
    found = [tester.send([encode(replace(ORDER, event_time=1_789_999_999))]) for _ in range(11)]
    assert [type(outcome) for outcome in found] == [Answered] * 10 + [Paused]
    assert fake.busiest(1.0) == 11


def test_the_stand_in_is_led_and_asked_over_http(fake: FakePinterest, account: Pinterest) -> None:
    control(fake, mode="partial", poison=["checkout-1"])
    account.send(events(2))
    account.send(events(1))
    assert control(fake) == {
        "mode": "partial",
        "calls": 2,
        "statuses": {"200": 2},
        "largest_call": 2,
        "busiest_minute": 2,
        "accepted": 1,
        "accepted_twice": 1,
    }
    assert control(fake, "/accepted") == {"checkout-0": 2}
    assert control(fake, forget=True)["calls"] == 0


def test_the_demos_stand_in_counts_calls_and_cannot_be_changed_over_http() -> None:
    with PinterestStandIn() as stand_in:
        account = Pinterest(TOKEN, ACCOUNT_ID, stand_in.url)
        account.send(events(2))
        account.send([b"[]"])
        account.close()

        assert control(stand_in) == {
            "calls": 2,
            "statuses": {"200": 1, "400": 1},
            "largest_call": 2,
            "busiest_minute": 2,
            "accepted": 2,
            "accepted_twice": 0,
        }
        assert control(stand_in, "/accepted") == {"checkout-0": 1, "checkout-1": 1}
        with pytest.raises(urllib.error.HTTPError) as refusal:
            control(stand_in, mode="down")
        with refusal.value as answer:
            assert answer.code == 405


@pytest.mark.parametrize("wanted", [{"mode": "nice"}, {"mode": "refused"}, {"n": 3, "x": 1}])
def test_the_stand_in_says_what_it_does_not_understand(
    fake: FakePinterest, wanted: dict[str, Any]
) -> None:
    with pytest.raises(urllib.error.HTTPError) as refusal:
        control(fake, **wanted)
    with refusal.value as answer:
        assert answer.code == 400


def test_a_test_can_wait_for_what_arrives(fake: FakePinterest, account: Pinterest) -> None:
    sender = threading.Thread(target=account.send, args=(events(2),))
    sender.start()
    fake.wait_until(lambda fake: len(fake.accepted) == 2)
    sender.join()
    with pytest.raises(TimeoutError, match="'accepted': 2"):
        fake.wait_until(lambda fake: len(fake.accepted) == 3, timeout=0.01)
