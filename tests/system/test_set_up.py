"""Whoever follows docs/install.md sees what stands there."""

import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.servers import ROOT, Server

PAGE = (ROOT / "docs/install.md").read_text("utf-8")
# In the order of step 2.
SETTINGS = {
    "SHOPIFY_WEBHOOK_SECRET": secrets.token_hex(32),
    "SHOPIFY_STORE_URL": "my-shop.myshopify.com",
    "API_TOKEN": secrets.token_hex(32),
    "PUBLIC_URL": "https://shop.example",
    "TRUSTED_PROXIES": "1",
    "SHOP_TIMEZONE": "Europe/Berlin",
    "COLLECTOR_KEY": secrets.token_hex(16),
}
# The other commands of the transcript are those of the system, or of other steps.
TYPED = (".venv/bin/flask ", 'curl "')
PROXIED = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service as it is after step 4, whose settings stand in `.env` alone."""
    folder = tmp_path_factory.mktemp("set-up")
    text = (ROOT / ".env.example").read_text("utf-8")
    for name, value in SETTINGS.items():
        text, count = re.subn(rf"^#?{name}=.*$", f"{name}={value}", text, flags=re.MULTILINE)
        assert count == 1, name
    (folder / ".env").write_text(text)
    running = Server(folder, {})
    try:
        running.start()
        yield running
    finally:
        running.end()


def transcript() -> dict[str, list[str]]:
    """The lines that each command of the transcript shows."""
    (block,) = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    parts = re.split(r"^\$ (.*)\n", block, flags=re.MULTILINE)[1:]
    return {
        command: shown.splitlines() for command, shown in zip(parts[::2], parts[1::2], strict=True)
    }


def matches(said: str, shown: str) -> bool:
    """True if a line is the one that is shown."""
    return re.fullmatch(re.escape(shown).replace("…", ".+?"), said) is not None


def run(server: Server, command: str) -> list[str]:
    """What a command says as it stands on the page; the proxy is not there."""
    command = command.replace(".venv/bin/flask", f"{sys.executable} -m flask")
    command = command.replace("https://YOUR-HOST", server.url)
    proxied = " ".join(f'-H "{name}: {value}"' for name, value in PROXIED.items())
    command = re.sub(r"\bcurl ", f"curl -sS -w '\\\\n' {proxied} ", command)
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=server.folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout.splitlines()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("command", [c for c in transcript() if c.startswith(TYPED)])
def test_a_step_answers_as_the_page_shows(server: Server, command: str) -> None:
    said, shown = run(server, command), transcript()[command]

    assert len(said) == len(shown), said
    for line, shown_line in zip(said, shown, strict=True):
        assert matches(line, shown_line), line


def test_the_service_logs_what_the_page_shows(server: Server) -> None:
    lines = server.log.splitlines()
    for shown in transcript()["journalctl -u tracking"]:
        assert any(matches(line, shown) for line in lines), shown


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_first_order_is_answered_as_the_page_shows(server: Server) -> None:
    (block,) = re.findall(r"^```sh\n(\. \./\.env\n.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    shown = [lines for command, lines in transcript().items() if command.startswith("curl …")]

    for line, (shown_line,) in zip(run(server, block), shown, strict=True):
        assert matches(line, shown_line), line


def test_the_installation_says_what_the_page_shows() -> None:
    (shown,) = transcript()[".venv/bin/python environment.py"]
    assert shown in (ROOT / "environment.py").read_text("utf-8")
