"""Fixtures of the tests that run the service in this process."""

import pytest

from tests.actors import BuildWorld, World
from tests.conftest import BuildService
from tests.standins.pinterest import FakePinterest


@pytest.fixture
def world(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> BuildWorld:
    """Makes the world: `world(PINTEREST_SEND="all")`."""
    return lambda **env: World(build_service(sqlite_url, pinterest=pinterest, **env), pinterest)


@pytest.fixture
def everywhere(
    build_service: BuildService, database_url: str, pinterest: FakePinterest
) -> BuildWorld:
    """The same on each database."""
    return lambda **env: World(build_service(database_url, pinterest=pinterest, **env), pinterest)
