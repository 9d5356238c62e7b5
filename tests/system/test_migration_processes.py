"""A start that is interrupted while it migrates the database."""

import shutil
import subprocess
import sys
from pathlib import Path
from shutil import ignore_patterns

import pytest

from app import assemble
from tests.actors import Shop, order
from tests.conftest import BuildService
from tests.servers import ROOT
from tests.store_contents import everything, is_complete, rows, tables_of
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
    for module in ("combinations.py", "config.py", "environment.py", "value_forms.py"):
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


def test_after_a_migration_that_fails_the_last_release_goes_on(
    build_service: BuildService, database_url: str, next_release: Path
) -> None:
    service = build_service(database_url)
    shop = Shop(assemble(service).test_client())
    shop.sends("orders/create", order(id=1))
    before = everything(service.store)

    assert "ZeroDivisionError" in errors_of(start(next_release, database_url, "fail"))

    assert is_complete(database_url)
    assert everything(service.store) == before
    # A process that runs, and one that starts.
    after = build_service(database_url)
    migrate(database_url)
    for number, each in enumerate((service, after), 2):
        client = assemble(each).test_client()
        assert Shop(client).sends("orders/create", order(id=number)).status_code == 200
        assert client.get("/ready").status_code == 200
    assert {row["id"] for row in rows(after.store, "orders")} == {"1", "2", "3"}


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
