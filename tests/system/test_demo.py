"""The demo, as whoever tries the service first meets it."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from app import assemble
from commands.demo import demo
from tests.actors import SECRET, Shop, order
from tests.image_layout import lay_out
from tracking.service import Service

ROOT = Path(__file__).parents[2]
COMMAND = (sys.executable, "-m", "flask", "--app", "app", "demo")
PATIENCE = 180

BuildService = Callable[..., Service]

# The least that a process needs, and nothing of what configures the service.
NOTHING = {"PATH": os.environ["PATH"], "FLASK_SKIP_DOTENV": "1"}


@dataclass(frozen=True, slots=True)
class Served:
    """A demo that stays up, on a machine that is configured for a shop.

    `lines` are what it said until then, and `folder` is where it keeps what it needs.
    """

    process: subprocess.Popen[str]
    lines: list[str]
    database: Path
    folder: Path

    @property
    def address(self) -> str:
        return self._said(r"http://127\.0\.0\.1:\d+")

    @property
    def login(self) -> str:
        return self._said(r"http://\S+/dashboard/login/\S+")

    @property
    def token(self) -> str:
        return self._said(r"Bearer (\w+)")

    @property
    def port(self) -> int:
        return int(self.address.rpartition(":")[2])

    def reads(self, path: str) -> Any:
        """A report, asked for as the demo says."""
        bearer = {"Authorization": f"Bearer {self.token}"}
        answer = requests.get(f"{self.address}/{path}", headers=bearer, timeout=PATIENCE)
        answer.raise_for_status()
        return answer.json()

    def _said(self, pattern: str) -> str:
        found = re.search(pattern, "\n".join(self.lines))
        assert found is not None, pattern
        return found[found.re.groups]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo from the image. That it ends by itself without --serve, and needs no settings,
    `.ci/run` shows with a second one."""
    image = lay_out(tmp_path_factory.mktemp("image") / "app")
    database = tmp_path_factory.mktemp("shop") / "shop.db"
    folder = tmp_path_factory.mktemp("temporary")
    env = {
        **NOTHING,
        "TMPDIR": str(folder),
        "SHOPIFY_WEBHOOK_SECRET": SECRET,
        "DATABASE_URL": f"sqlite:///{database}",
        "DELIVER": "false",
        "TRACK_AI_ENDPOINT": "http://127.0.0.1:1/events",
    }
    with staying(image, env) as (process, lines):
        yield Served(process, lines, database, folder)


@contextmanager
def staying(image: Path, env: dict[str, str]) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """A demo that stays up, and what it said until then."""
    words = [*COMMAND, "--serve"]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        words, env=env, cwd=image, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            assert process.stdout is not None
            lines: list[str] = []
            while not lines or "/_control" not in lines[-1]:
                line = process.stdout.readline()
                assert line, f"it ended: {lines}"
                lines.append(line.rstrip("\n"))
            yield process, lines
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.communicate(timeout=PATIENCE)


def table(lines: list[str], *titles: str) -> list[list[str]]:
    """The rows of the printed table that has these titles, split where two blanks are."""
    rows = [re.split(r"\s{2,}", line.strip()) for line in lines]
    begin = rows.index(list(titles)) + 1
    end = next(i for i, row in enumerate(rows[begin:], begin) if len(row) < 2)
    return rows[begin:end]


@pytest.mark.parametrize("page", ["README.md", "docs/reports.md"])
def test_the_demo_is_what_the_docs_show_of_it(served: Served, page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    (shown,) = re.findall(r"^```text\n(what .*?)```$", text, re.MULTILINE | re.DOTALL)
    printed = " ".join(" ".join(served.lines).split())

    for paragraph in shown.split("\n\n"):
        is_prose = paragraph.startswith(("Why", "The stand-in"))
        for line in [paragraph] if is_prose else paragraph.splitlines():
            assert " ".join(line.split()) in printed


def test_the_demo_answers_each_webhook_as_shopify_wants_it(served: Served) -> None:
    rows = table(served.lines, "what", "webhooks", "answered")
    answers = {answered for _, _, answered in rows}

    assert "1 accepted, 2 duplicate" in answers
    assert "1 accepted, 1 stale" in answers
    assert "1 quarantined" in answers
    assert "1 refused (401)" in answers


def test_the_demo_sends_each_attributed_event_once(served: Served) -> None:
    (said,) = [line for line in served.lines if line.startswith("The stand-in")]
    sent = next(row for row in table(served.lines, "events", "fate") if row[1] == "sent")

    assert said == f"The stand-in for Pinterest took {sent[0]} events, none of them twice."


def test_the_demos_funnel_has_all_four_stages_and_narrows(served: Served) -> None:
    rows = table(served.lines, "stage", "events", "visitors", "of those before")
    visitors = [int(row[2]) for row in rows]

    stages = [row[0] for row in rows]
    assert stages == ["product_view", "add_to_cart", "checkout_initiation", "purchase"]
    assert visitors == sorted(visitors, reverse=True)
    assert visitors[-1] > 0


def test_the_demos_campaigns_sum_to_the_total(served: Served) -> None:
    rows = table(served.lines, "campaign", "orders", "revenue", "spend", "ROAS", "ROI", "CPA")
    *campaigns, total = [[float(cell) for cell in row[1:4]] for row in rows]

    assert rows[-1][0] == "all orders"
    sums = [sum(column) for column in zip(*campaigns, strict=True)]
    assert sums == pytest.approx(total)


def test_the_demo_explains_the_whole_difference_to_pinterests_figures(served: Served) -> None:
    rows = table(served.lines, "what", "orders", "value")
    (here, *parts, pinterest) = [(float(orders), float(value)) for _, orders, value in rows]

    assert rows[-2] == ["not explained", "0", "0.00"]
    assert len(parts) > 3
    for figure in (0, 1):
        assert here[figure] + sum(part[figure] for part in parts) == pytest.approx(
            pinterest[figure]
        )


# --- It stays up


def test_a_served_demo_can_be_looked_around_in(served: Served) -> None:
    assert served.reads("roi-analysis")["currency"] == "USD"
    assert served.reads("orders/5900000000052/journey")["why"].startswith("Credited to Pinterest")
    assert served.reads("ready")["status"] == "ok"


def test_a_served_demo_opens_on_its_dashboard_once(served: Served) -> None:
    with requests.Session() as browser:
        page = browser.get(served.login, timeout=PATIENCE)
        assert page.url.startswith(f"{served.address}/dashboard?start_date=")
        assert page.ok
        assert "autumn mugs" in browser.get(f"{served.address}/dashboard/orders").text

    assert requests.get(served.login, timeout=PATIENCE).status_code == 404


def test_the_demo_keeps_away_from_the_shops_own_settings(served: Served) -> None:
    assert not served.database.exists()
    destinations = {
        delivery["destination"]
        for event in served.reads("events?limit=1000")["events"]
        for delivery in event["deliveries"]
    }
    assert destinations == {"pinterest"}


def test_the_images_health_check_tells_a_living_service_from_a_dead_one(served: Served) -> None:
    dockerfile = (ROOT / "Dockerfile").read_text("utf-8")
    (code,) = re.findall(r'CMD \["python", "-c", "(.*)"\]', dockerfile)

    def is_healthy(port: str) -> bool:
        check = [sys.executable, "-c", code]
        done = subprocess.run(check, env={"PORT": port}, capture_output=True, check=False)
        return done.returncode == 0

    assert is_healthy(str(served.port))
    assert not is_healthy("1")


# The last of them: nobody can look around in it afterwards.
def test_a_demo_that_is_told_to_stop_takes_everything_with_it(served: Served) -> None:
    assert list(served.folder.iterdir()) != []

    served.process.send_signal(signal.SIGTERM)
    last, errors = served.process.communicate(timeout=PATIENCE)

    assert served.process.returncode == 0
    assert errors == ""
    assert last.endswith("Everything is stopped and removed.\n")
    assert list(served.folder.iterdir()) == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", served.port))


# --- When it cannot run


def refused(*words: str) -> str:
    """The one line of a demo that cannot run."""
    result = CliRunner().invoke(demo, words)
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    return line


def test_a_port_that_is_taken_is_not_shared() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]

        assert refused("--port", str(port)) == f"Error: port {port}: Address already in use"


def test_a_database_that_holds_events_is_left_alone(
    build_service: BuildService, sqlite_url: str
) -> None:
    Shop(assemble(build_service(sqlite_url)).test_client()).sends("orders/create", order())

    assert "the demo wants an empty one" in refused("--database-url", sqlite_url)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("mysql://localhost/shop", "DATABASE_URL: not a database this service can keep"),
        ("postgresql+psycopg://nobody@127.0.0.1:1/shop", "the database cannot be used: "),
    ],
)
def test_a_database_that_cannot_be_used_is_said_to_be_so(url: str, reason: str) -> None:
    assert refused("--database-url", url).startswith(f"Error: {reason}")
