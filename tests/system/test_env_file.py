"""A file `.env` that is not UTF-8 is told in one line by whatever reads it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from environment import leave_file_to_service
from tests.servers import PATIENCE, ROOT

COMMANDS = ("doctor", "purge", "privacy", "routes")
# Each in a process of its own, which need not read the code anew.
_FLASK = """
import os, site, sys
site.addsitedir(sys.argv[1])
from flask.cli import main
import app
for name in sys.argv[2:]:
    if os.fork() == 0:
        with open(name + ".said", "wb") as said:
            for stream in (1, 2):
                os.dup2(said.fileno(), stream)
        sys.argv = ["flask", "--app", "app", name]
        sys.exit(main())
    _, status = os.wait()
    with open(name + ".said", "a") as said:
        said.write(f"ended with {os.waitstatus_to_exitcode(status)}")
"""


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with an `.env` as an old editor writes it, and with what the installation adds."""
    (tmp_path / ".env").write_bytes(b"SHOPIFY_WEBHOOK_SECRET=0123456789abcdef\n# gr\xfc\xdfe\n")
    (tmp_path / "packages").mkdir()
    leave_file_to_service(tmp_path / "packages")
    return tmp_path


def test_a_command_names_the_line(folder: Path) -> None:
    run(folder, "-c", _FLASK, "packages", *COMMANDS).check_returncode()

    for command in COMMANDS:
        assert_line_is_named((folder / f"{command}.said").read_text("utf-8", "replace"))


def assert_line_is_named(said: str) -> None:
    assert "ended with" in said and not said.endswith("ended with 0"), said
    assert ".env: cannot be read (not UTF-8: line 2); accepted: UTF-8 text" in said
    assert "Traceback" not in said
    assert "0123456789abcdef" not in said


def test_gunicorn_names_the_line(folder: Path) -> None:
    config = str(ROOT / "gunicorn.conf.py")
    told = run(folder, "-m", "gunicorn", "--config", config, "app:create_app()")

    assert told.returncode != 0
    assert ".env: cannot be read (not UTF-8: line 2)" in told.stderr
    assert "Traceback" not in told.stderr
