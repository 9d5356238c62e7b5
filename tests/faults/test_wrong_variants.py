"""A check that cannot fail proves nothing: each service that is broken on purpose is caught."""

import os
from collections.abc import Callable
from pathlib import Path
from shutil import which

import pytest

from tests.faults.finding import Finding
from tests.faults.postgres import Cluster
from tests.faults.scenarios import crowds, flushing, kills
from tests.faults.world import World, world

needs_strace = pytest.mark.skipif(
    which("strace") is None and not os.environ.get("CI"), reason="strace is not installed"
)


def found_in(folder: Path, variant: str, put_in: Callable[[World], Finding]) -> Finding:
    """What a fault shows of a service on SQLite that is broken in one way."""
    with world(folder, "sqlite", None, app=f"tests.faults.wrong.{variant}:create_app()") as there:
        return put_in(there)


@needs_strace
@pytest.mark.parametrize("variant", ["acknowledge_first", "flush_sometimes", "flush_never"])
def test_an_answer_ahead_of_the_disk_is_caught_by_the_trace(tmp_path: Path, variant: str) -> None:
    found = found_in(tmp_path, variant, lambda there: flushing.before_answering(there, orders=5))
    assert any(promise.startswith("none answered before the flush") for promise in found.broken)


@needs_strace
def test_a_commit_that_postgresql_need_not_flush_is_caught_by_the_trace(
    tmp_path: Path, postgres: Cluster
) -> None:
    app = "tests.faults.wrong.flush_sometimes:create_app()"
    with world(tmp_path, "postgresql", postgres, app=app) as there:
        found = flushing.before_answering(there, orders=10)
    assert any(promise.startswith("none answered before the flush") for promise in found.broken)


def test_an_answer_ahead_of_the_store_is_caught_by_a_kill(tmp_path: Path) -> None:
    found = found_in(tmp_path, "acknowledge_first", kills.one_topic)
    assert found.lost > 0


def test_an_event_removed_before_it_is_sent_is_caught_by_a_kill(tmp_path: Path) -> None:
    found = found_in(tmp_path, "remove_before_sending", kills.under_way)
    assert found.lost > 0


def test_an_id_for_each_webhook_is_caught_by_webhooks_of_one_order(tmp_path: Path) -> None:
    found = found_in(tmp_path, "id_per_webhook", crowds.one_order)
    assert any(promise.startswith("one event for each order") for promise in found.broken)
