"""A start that is interrupted while it migrates the database."""

import shutil
import subprocess
import sys
from pathlib import Path
from shutil import ignore_patterns

import pytest

from tests.servers import ROOT
from tests.store_contents import is_complete, tables_of
from tracking.store.migrations import head, migrate
from tracking.store.schema import metadata

NEWEST = """\
import os
import sys

from alembic import op

revision = "9999"
down_revision = "{head}"


def upgrade() -> None:
    op.execute("CREATE TABLE half (id INTEGER)")
    op.execute("INSERT INTO half VALUES (1)")
    op.execute("ALTER TABLE spend ADD COLUMN half INTEGER")
    if os.environ["THEN"] == "fail":
        raise ZeroDivisionError
    if os.environ["THEN"] == "wait":
        print("half-way", flush=True)
        sys.stdin.read()
"""


@pytest.fixture
def next_release(tmp_path: Path) -> Path:
    """The code with one more migration, which can fail in the middle, or stop there for good."""
    shutil.copytree(ROOT / "tracking", tmp_path / "tracking", ignore=ignore_patterns("*.pyc"))
    for module in ("config.py", "environment.py"):
        shutil.copy(ROOT / module, tmp_path)
    versions = tmp_path / "tracking" / "store" / "migrations" / "versions"
    (versions / "9999_next.py").write_text(NEWEST.replace("{head}", head()))
    return tmp_path


def start(release: Path, url: str, then: str) -> subprocess.Popen[str]:
    """A process of that release that begins as every process does."""
    begin = "import sys; from tracking.store.migrations import migrate; migrate(sys.argv[1])"
    return subprocess.Popen(
        [sys.executable, "-c", begin, url],
        cwd=release,
        env={"PYTHONPATH": str(release), "THEN": then},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def errors_of(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=60)
    return errors


def test_a_migration_that_fails_takes_all_of_its_start_with_it(
    new_url: str, next_release: Path
) -> None:
    assert "ZeroDivisionError" in errors_of(start(next_release, new_url, "fail"))
    assert tables_of(new_url) == set()
    migrate(new_url)
    assert is_complete(new_url)


def test_a_start_that_is_killed_in_the_middle_leaves_what_was_there_before(
    new_url: str, next_release: Path
) -> None:
    migrate(new_url)
    killed = start(next_release, new_url, "wait")
    assert killed.stdout is not None
    assert killed.stdout.readline() == "half-way\n"
    killed.kill()
    errors_of(killed)
    assert is_complete(new_url)

    assert errors_of(start(next_release, new_url, "finish")) == ""
    assert tables_of(new_url) == {*metadata.tables, "alembic_version", "half"}
