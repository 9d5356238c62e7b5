"""The world of the tests: two real databases, a clock that is turned by hand, and the actors."""

import gc
import itertools
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import settings as hypothesis_settings
from werkzeug.routing import Rule

from app import assemble
from config import Settings
from tests.actors import API_TOKEN, NOW, SECRET, Clock, Shop
from tests.canaries import PINTEREST_TOKEN
from tests.standins.pinterest import FakePinterest
from tests.store_contents import Database
from tracking.destinations import connect_all
from tracking.service import Service, service_of
from tracking.store import Store, backup, open_store
from tracking.store.migrations import migrate
from tracking.store.schema import figures, metadata

# Two busy cores may take any single example over the default of 200 ms.
hypothesis_settings.register_profile("shared-machine", deadline=None)
hypothesis_settings.load_profile("shared-machine")

# What the folders of all tests under way may hold.
_MOST_BYTES_AT_ONCE = 2 * 1024**3

POSTGRES = os.environ.get("TEST_POSTGRES", "postgresql:///test")


def pytest_addoption(parser: pytest.Parser) -> None:
    told = "how many random shops are told of, on both databases"
    parser.addoption("--shops", type=int, help=told)
    every = "tell messages in every order of arrival, and each history on both databases"
    parser.addoption("--every-order", action="store_true", help=every)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Gives a test of random histories their seeds, every day each on one database by turns."""
    for mark in metafunc.definition.iter_markers("histories"):
        told = [
            (kind, seed)
            for seed in range(*mark.args)
            for n, kind in enumerate(("sqlite", "postgresql"), seed)
            if metafunc.config.getoption("--every-order") or n % 2 == 0
        ]
        # As a mark, which takes the place of the fixture's own parameters.
        by_turns = pytest.mark.parametrize(
            ("database_url", "seed"), told, indirect=["database_url"]
        )
        metafunc.definition.add_marker(by_turns)


ArrivalsOf = Callable[[Iterable[Any]], list[tuple[Any, ...]]]


@pytest.fixture
def arrivals_of(request: pytest.FixtureRequest) -> ArrivalsOf:
    """The orders in which messages may arrive: all, or those in which each comes in each place,
    right before and right behind its neighbours."""

    def arrivals(messages: Iterable[Any]) -> list[tuple[Any, ...]]:
        told = tuple(messages)
        if request.config.getoption("--every-order"):
            return list(itertools.permutations(told))
        turns = [told[n:] + told[:n] for n in range(len(told))]
        return turns + [turn[::-1] for turn in turns]

    return arrivals


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays until the end: the garbage collector has nothing to find in it."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One worker more than there are cores: a test waits for processes and databases, too."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(scope="session", autouse=True)
def routes_compiled_once() -> Iterator[None]:
    """Thousands of services have the same routes, whose compilation takes longer than many a test.
    None of our routes has a converter that knows its map."""
    compile_rule, compiled = Rule.compile, dict[tuple[str, str | None], dict[str, Any]]()
    own = ("_parts", "_trace", "_converters", "arguments", "_build", "_build_unknown")

    def compiled_once(rule: Rule) -> None:
        key = (rule.rule, rule.subdomain)
        if key not in compiled:
            compile_rule(rule)
            compiled[key] = {name: getattr(rule, name) for name in own}
        vars(rule).update(compiled[key])
        for name in ("_build", "_build_unknown"):
            setattr(rule, name, compiled[key][name].__func__.__get__(rule))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "compile", compiled_once)
        yield


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty SQLite file to copy."""
    path = tmp_path_factory.mktemp("template") / "empty.db"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def kept_stores() -> dict[str, Store]:
    """By its URL, a store whose connections stay open from one test to the next. For each new
    connection PostgreSQL reads its catalogs anew, which takes it longer than most tests do."""
    return {}


@pytest.fixture(scope="session")
def postgres_url(kept_stores: dict[str, Store]) -> Iterator[str]:
    """A migrated schema of its own in a real PostgreSQL; skipped where there is none."""
    schema = f"test_{uuid.uuid4().hex[:12]}"
    try:
        with psycopg.connect(POSTGRES, autocommit=True, connect_timeout=3) as connection:
            connection.execute(f"CREATE SCHEMA {schema}")
    except psycopg.OperationalError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no PostgreSQL at TEST_POSTGRES ({POSTGRES}): {error}")
    base = POSTGRES.replace("postgresql://", "postgresql+psycopg://", 1)
    joint = "&" if "?" in base else "?"
    url = f"{base}{joint}options=-csearch_path%3D{schema}"
    migrate(url)
    _keep_out_of_the_log(schema)
    kept_stores[url] = open_store(url)
    yield url
    kept_stores.pop(url).close()
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


def _keep_out_of_the_log(schema: str) -> None:
    """A commit that changes only unlogged tables does not wait for the disk, whatever the service
    asks for. That what is acknowledged is on disk, tests/faults traces on tables as they are."""
    with psycopg.connect(POSTGRES) as connection:
        connection.execute(f"SET search_path = {schema}")
        for (table,) in connection.execute(
            "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
        ).fetchall():
            connection.execute(f"ALTER TABLE {table} SET UNLOGGED")


@pytest.fixture(scope="session")
def empty_postgres(postgres_url: str) -> Iterator[Callable[[], object]]:
    """Empties that schema, over one connection whose plans are made once.

    TRUNCATE makes new files for every table, and RESTART for every sequence, which takes twenty
    times as long.
    """
    # At the end those into which triggers write that others were emptied.
    tables = sorted(metadata.tables.values(), key=lambda table: table.name in vars(figures))
    deletes = "; ".join(str(table.delete()) for table in tables)
    with psycopg.connect(postgres_url.replace("+psycopg", "", 1), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute(
            f"""
            CREATE FUNCTION pg_temp.empty() RETURNS void LANGUAGE plpgsql AS $$ BEGIN
                {deletes};
                PERFORM setval(oid::regclass, 1, false) FROM pg_class
                    WHERE relkind = 'S' AND relnamespace = current_schema()::regnamespace;
            END $$
            """
        )
        yield lambda: connection.execute("SELECT pg_temp.empty()")


EmptyDatabase = Callable[[str], str]


@pytest.fixture
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> EmptyDatabase:
    """Makes an empty database of a kind, and tells its URL: `empty_database("sqlite")`."""

    def make(kind: str) -> str:
        if kind == "sqlite":
            template: Path = request.getfixturevalue("sqlite_template")
            path = tmp_path / "tracking.db"
            shutil.copy(template, path)
            return f"sqlite:///{path}"
        url: str = request.getfixturevalue("postgres_url")
        request.getfixturevalue("empty_postgres")()
        return url

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, empty_database: EmptyDatabase) -> str:
    """An empty database of each kind: a test that uses it runs on both."""
    return empty_database(request.param)


@pytest.fixture
def sqlite_url(empty_database: EmptyDatabase) -> str:
    """An empty SQLite file, for tests in which the database makes no difference."""
    return empty_database("sqlite")


@pytest.fixture
def clock() -> Clock:
    """The time, standing still until it is turned."""
    return Clock(NOW)


@pytest.fixture
def pinterest(clock: Clock) -> Iterator[FakePinterest]:
    """Pinterest as a real HTTP server that enforces its own rules, at the tests' time."""
    with FakePinterest("pina_test_token", "549755885175", clock=clock) as server:
        yield server


@pytest.fixture
def store(database_url: str, kept_stores: dict[str, Store]) -> Iterator[Store]:
    """A store on each database."""
    found = kept_stores.get(database_url) or open_store(database_url)
    yield found
    if database_url not in kept_stores:
        found.close()


BuildService = Callable[..., Service]


@pytest.fixture
def build_service(clock: Clock, kept_stores: dict[str, Store]) -> Iterator[BuildService]:
    """Makes services on a migrated database: `build_service(url, PINTEREST_SEND="all")`.

    With `pinterest=server` it has the credentials of that stand-in. Each has a store of its own, as
    processes have.
    """
    opened: list[Service] = []
    kept = dict(kept_stores)

    def build(url: str, pinterest: FakePinterest | None = None, **env: str) -> Service:
        known = {"SHOPIFY_WEBHOOK_SECRET": SECRET, "API_TOKEN": API_TOKEN, "DATABASE_URL": url}
        if pinterest is not None:
            known |= {
                "PINTEREST_ACCESS_TOKEN": pinterest.token,
                "PINTEREST_AD_ACCOUNT_ID": pinterest.account_id,
                "PINTEREST_API_BASE": pinterest.url,
            }
        settings = Settings.from_env(known | env)
        store = kept.pop(url, None) or open_store(url)
        service = service_of(settings, store, connect_all(settings), clock)
        opened.append(service)
        return service

    yield build
    for service in opened:
        if service.store not in kept_stores.values():
            service.store.close()
        for destination in service.destinations.values():
            destination.close()


@pytest.fixture
def service(build_service: BuildService, database_url: str, pinterest: FakePinterest) -> Service:
    """A service on each database that sends every order to the stand-in."""
    return build_service(database_url, pinterest=pinterest, PINTEREST_SEND="all")


@pytest.fixture
def app(service: Service) -> Flask:
    """The HTTP face of the service."""
    return assemble(service)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """An HTTP client without a token."""
    return app.test_client()


@pytest.fixture
def shop(app: Flask) -> Shop:
    """A shop whose Shopify calls the service and whose owner reads its reports."""
    return Shop(app.test_client())


def pytest_configure(config: Any) -> None:
    """The environment of the machine decides nothing in a test."""
    told = "histories(count): tells so many random histories, by their seeds"
    config.addinivalue_line("markers", told)
    for name in ("SHOPIFY_WEBHOOK_SECRET", "API_TOKEN", "DATABASE_URL", "PINTEREST_ACCESS_TOKEN"):
        os.environ.pop(name, None)
    # Images set it, and every worker would compile all the tests anew.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    # Databases are filled and thrown away by the thousand: in memory no write waits for a disk.
    memory = Path("/dev/shm")
    if memory.is_dir() and shutil.disk_usage(memory).free > _MOST_BYTES_AT_ONCE:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(memory))


@pytest.fixture(params=["sqlite", "postgresql"])
def new_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database of each kind in which there is nothing yet."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/data/new.db"
        return
    request.getfixturevalue("postgres_url")
    schema = f"new_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES, autocommit=True) as connection:
        connection.execute(f"CREATE SCHEMA {schema}")
        base = POSTGRES.replace("postgresql://", "postgresql+psycopg://", 1)
        yield f"{base}{'&' if '?' in base else '?'}options=-csearch_path%3D{schema}"
        connection.execute(f"DROP SCHEMA {schema} CASCADE")


@pytest.fixture
def canary_pinterest(clock: Clock) -> Iterator[FakePinterest]:
    with FakePinterest(token=PINTEREST_TOKEN, clock=clock) as server:
        yield server


@pytest.fixture
def database(sqlite_template: Path, tmp_path: Path) -> Database:
    """A database in use for some time, with one body in it."""
    folder = tmp_path / "data"
    folder.mkdir()
    shutil.copy(sqlite_template, folder / "tracking.db")
    found = Database(folder / "tracking.db")
    found.put("early")
    return found


@pytest.fixture
def copy(database: Database, tmp_path: Path) -> Path:
    """A backup of it. What is `late` came after."""
    backup.copy(database.path, tmp_path / "copy.db")
    database.put("late")
    return tmp_path / "copy.db"


@pytest.fixture
def kept_as(database: Database) -> Path:
    return database.path.with_name("tracking.db.before")
