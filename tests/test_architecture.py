"""The house keeps its own order: floors, purity, and one home for everything that reaches out."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

import pytest

from tracking.destinations import TABLE

ROOT = Path(__file__).parents[1]

# Top to bottom. A module imports only from floors below its own; what stands beside it on a
# floor, it does not know. A package is one place, whatever its modules import of one another.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("app",),
    ("cli", "openapi"),
    ("demo", "doctor", "filing"),
    ("reports", "webhooks"),
    ("tracking",),
    ("tracking.library",),
    ("tracking.wiring",),
    ("tracking.monitoring",),
    ("tracking.importing", "tracking.exporting"),
    ("tracking.eventing",),
    ("tracking.privacy", "tracking.disclosure", "tracking.reconciling"),
    (
        "tracking.tracker",
        "tracking.delivery",
        "tracking.spending",
        "tracking.spend_sync",
        "tracking.subscribing",
        "tracking.reporting",
        "tracking.limiting",
        "tracking.purging",
    ),
    ("tracking.sightings", "tracking.spend_desk"),
    ("tracking.erasing",),
    ("tracking.crediting",),
    ("tracking.planning", "tracking.given"),
    ("tracking.store", "tracking.destinations"),
    (
        "tracking.outcome",
        "tracking.metrics",
        "tracking.analysis",
        "tracking.journey",
        "tracking.storefront",
    ),
    ("tracking.conversion",),
    ("tracking.attribution",),
    ("tracking.session", "tracking.identity"),
    ("tracking.order",),
    ("tracking.money", "tracking.invalid", "config"),
)
PACKAGES = (
    "webhooks",
    "tracking.store",
    "tracking.destinations",
    "tracking.given",
    "tracking.importing",
    "tracking.storefront",
)

# Values in, values out: no clock, no environment, no file, no network, no SQL, no log.
CORE = (
    "tracking.order",
    "tracking.session",
    "tracking.identity",
    "tracking.attribution",
    "tracking.conversion",
    "tracking.outcome",
    "tracking.money",
    "tracking.metrics",
    "tracking.analysis",
    "tracking.journey",
    "tracking.planning",
    "tracking.storefront",
    "tracking.storefront.basket",
    "tracking.storefront.event",
    "tracking.storefront.visit",
    "tracking.storefront.wire",
    "tracking.given",
    "tracking.given.columns",
    "tracking.given.event",
    "tracking.given.fields",
    "tracking.given.rows",
    "tracking.invalid",
)
HANDS = {
    "asyncio", "concurrent", "flask", "http", "io", "logging", "multiprocessing", "os", "pathlib",
    "psycopg", "queue", "random", "requests", "secrets", "shutil", "signal", "socket",
    "sqlalchemy", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib3",
    "werkzeug",
}  # fmt: skip
# What a module may call to learn what time it is, or to reach out without an import.
READS_THE_WORLD = {"now", "utcnow", "today", "open", "input", "print", "__import__"}

# Who may import what reaches out. The demo plays Shopify to the service that it starts.
HOMES: Mapping[str, tuple[str, ...]] = {
    "sqlalchemy": ("tracking.store",),
    "alembic": ("tracking.store",),
    "sqlite3": ("tracking.store",),
    "psycopg": ("tracking.store",),
    "psycopg_pool": ("tracking.store",),
    "requests": ("tracking.destinations", "demo"),
    "urllib3": ("tracking.destinations",),
    "http.client": ("tracking.destinations",),
    "urllib.request": ("tracking.destinations",),
    "socket": ("tracking.destinations", "demo", "webhooks.worker", "webhooks.wire"),
    "flask": ("app", "cli", "reports", "webhooks"),
    "werkzeug": ("app", "reports", "webhooks"),
    "click": ("app", "cli", "demo", "filing"),
}
_SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|PRAGMA\s|CREATE\s+TABLE\s)"
)


def _modules() -> Iterator[tuple[str, Path]]:
    """Every module that is delivered, by its name."""
    for path in sorted((*ROOT.glob("*.py"), *(ROOT / "tracking").rglob("*.py"))):
        yield _name(path), path
    for path in sorted((ROOT / "webhooks").rglob("*.py")):
        yield _name(path), path


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# gunicorn reads its file, nobody imports it; a migration's name is a number.
MODULES = {
    name: path
    for name, path in _modules()
    if name != "gunicorn.conf" and "versions" not in path.parts
}
TREES = {name: ast.parse(path.read_text("utf-8")) for name, path in MODULES.items()}


@cache
def imported(name: str) -> frozenset[str]:
    """What a module imports, our own modules by their exact names."""
    found: set[str] = set()
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            base = node.module or ""
            whole = {f"{base}.{alias.name}" for alias in node.names}
            found |= whole & MODULES.keys()
            if not whole <= MODULES.keys():
                found.add(base)
    return frozenset(found)


def place_of(name: str) -> str:
    """The place in the house a module belongs to: its own, or its package's."""
    return next((p for p in PACKAGES if name == p or name.startswith(f"{p}.")), name)


def floor_of(name: str) -> int:
    place = place_of(name)
    found = [n for n, floor in enumerate(FLOORS) if place in floor]
    assert found, f"{place} has no place in FLOORS"
    return found[0]


def is_of(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def test_every_module_has_its_place() -> None:
    assert {place_of(name) for name in MODULES} == {place for floor in FLOORS for place in floor}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_only_from_the_floors_below(name: str) -> None:
    for other in imported(name) & MODULES.keys():
        if place_of(other) != place_of(name):
            assert floor_of(other) > floor_of(name), f"{name} imports {other}"


def test_no_import_leads_back_to_where_it_began() -> None:
    graph = {name: sorted(imported(name) & MODULES.keys()) for name in MODULES}
    done: set[str] = set()

    def follow(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path, name))
        if name not in done:
            for other in graph[name]:
                follow(other, (*path, name))
            done.add(name)

    for name in graph:
        follow(name, ())


@pytest.mark.parametrize("name", CORE)
def test_the_core_touches_nothing(name: str) -> None:
    assert not {module.split(".")[0] for module in imported(name)} & HANDS
    called = [node.func for node in ast.walk(TREES[name]) if isinstance(node, ast.Call)]
    names = {getattr(func, "id", getattr(func, "attr", "")) for func in called}
    assert not names & READS_THE_WORLD


@pytest.mark.parametrize("module", HOMES)
def test_what_reaches_out_has_one_home(module: str) -> None:
    guests = [
        name
        for name in MODULES
        if any(is_of(found, module) for found in imported(name))
        and not any(is_of(name, home) for home in HOMES[module])
    ]
    assert guests == []


def test_no_sql_is_written_outside_the_store() -> None:
    written = [
        f"{name}:{node.lineno}"
        for name in MODULES
        if not is_of(name, "tracking.store")
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.match(node.value)
    ]
    assert written == []


def test_nothing_is_printed_but_by_commands() -> None:
    printing = {
        name
        for name in MODULES
        for node in ast.walk(TREES[name])
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    }
    assert printing <= {"cli", "demo"}


@pytest.mark.parametrize("name", MODULES)
def test_a_module_says_in_its_first_line_what_it_is_for(name: str) -> None:
    if not TREES[name].body:
        return
    said = (ast.get_docstring(TREES[name]) or "").partition("\n")[0]
    assert re.match(r"\S.{9,}?[.?](\s|$)", said), f"{name}: {said!r}"


def test_a_destination_is_its_own_module_and_a_line_in_the_table() -> None:
    for name, connected in TABLE.items():
        assert connected.__module__ == f"tracking.destinations.{name}"
        knows = {n for n in MODULES if f"tracking.destinations.{name}" in imported(n)}
        outside = {n for n in knows if not is_of(n, "tracking.destinations")}
        assert outside == set(), "only the table may know a destination by its name"
