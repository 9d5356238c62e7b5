"""What the short forms share: a PostgreSQL of their own, and one service on each store."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.postgres import FLUSHES_LATE, Cluster, NoPostgres, cluster
from tests.faults.world import World, world


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "faults: puts faults into the running service")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker("faults")


@pytest.fixture(scope="module")
def postgres() -> Iterator[Cluster]:
    """A server that may be stopped; skipped where there is none."""
    try:
        with cluster(FLUSHES_LATE) as server:
            yield server
    except NoPostgres as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The service on SQLite."""
    with world(tmp_path_factory.mktemp("faults"), "sqlite", None) as there:
        yield there


@pytest.fixture(scope="module")
def on_postgresql(tmp_path_factory: pytest.TempPathFactory, postgres: Cluster) -> Iterator[World]:
    """The service on PostgreSQL."""
    with world(tmp_path_factory.mktemp("faults"), "postgresql", postgres) as there:
        yield there
