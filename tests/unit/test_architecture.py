"""The house keeps its order: who imports whom, and one home for everything that reaches out."""

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tracking.destinations import TABLE

ROOT = Path(__file__).parents[2]
LINES = ("tracking.receive", "tracking.deliver", "tracking.report")
_LINE = {"tracking.destinations", "tracking.clients", "tracking.store", "tracking.domain"}

# Each part of the house and the parts that it may import. Nothing else is allowed.
MAY_IMPORT: dict[str, set[str]] = {
    "environment": set(),
    "config": {"environment"},
    "server": set(),
    "tracking.domain": set(),
    "tracking.store": {"tracking.domain"},
    "tracking.clients": {"tracking.domain"},
    "tracking.destinations": {"tracking.clients", "tracking.domain"},
    "tracking.operate": {"tracking.clients", "tracking.store", "tracking.domain"},
    **dict.fromkeys(LINES, _LINE | {"tracking.operate"}),
    "tracking.service": {*LINES, *_LINE, "tracking.operate", "config"},
    "tracking.python_api": {*LINES, "tracking.service", "tracking.domain", "config"},
    "tracking": {"tracking.python_api"},
    "webhooks": {*_LINE, "tracking.receive", "tracking.operate", "server", "config"},
    "api": {*LINES, *_LINE, "tracking.service", "tracking.operate", "webhooks", "server"},
    "commands": {*LINES, *_LINE, "tracking.service", "tracking.operate", "webhooks", "config"},
}
MAY_IMPORT["app"] = MAY_IMPORT.keys() - {"environment", "tracking", "tracking.python_api"}

# Where a library that reaches out may be imported.
HOMES = {
    "sqlalchemy": {"tracking.store"},
    "alembic": {"tracking.store"},
    "sqlite3": {"tracking.store"},
    "psycopg": {"tracking.store"},
    "requests": {"tracking.clients", "tracking.destinations", "commands"},
    "urllib3": {"tracking.clients", "tracking.destinations"},
    "http.client": {"tracking.clients", "tracking.destinations"},
    "urllib.request": {"tracking.clients", "tracking.destinations"},
    "socket": {"tracking.clients", "tracking.destinations", "commands", "server"},
    "flask": {"app", "api", "webhooks", "commands"},
    "werkzeug": {"app", "api", "webhooks", "server"},
    "gunicorn": {"server"},
    "click": {"app", "commands"},
}

# Values in, values out: besides the domain, the decisions of each line.
PURE = (
    "tracking.domain",
    "tracking.clients.outcome",
    "tracking.deliver.retry",
    "tracking.operate.prometheus",
    "tracking.receive.event_input",
    "tracking.receive.pixel",
    "tracking.receive.planner",
    "tracking.receive.rows",
    "tracking.report.campaigns",
    "tracking.report.funnel",
    "tracking.report.journey",
    "tracking.report.roi",
)
HANDS = {
    "asyncio", "concurrent", "flask", "http", "io", "logging", "multiprocessing", "os", "pathlib",
    "psycopg", "queue", "random", "requests", "secrets", "shutil", "signal", "socket",
    "sqlalchemy", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib3",
    "werkzeug",
}  # fmt: skip
READS_THE_WORLD = {"now", "utcnow", "today", "open", "input", "print", "__import__"}
_SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|PRAGMA\s|CREATE\s+TABLE\s)"
)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


# gunicorn reads its file, nobody imports it; a migration's name is a number.
TREES = {
    _name(path): ast.parse(path.read_text("utf-8"))
    for folder in ("api", "commands", "server", "tracking", "webhooks", ".")
    for path in (ROOT / folder).glob("*.py" if folder == "." else "**/*.py")
    if path.name != "gunicorn.conf.py" and "versions" not in path.parts
}


def _part(module: str) -> str:
    """The part of the house that a module belongs to."""
    return (
        ".".join(module.split(".")[:2]) if module.startswith("tracking.") else module.split(".")[0]
    )


def _imports(module: str) -> Iterator[str]:
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in TREES else str(node.module) for name in names)


def _is_of(module: str, package: str) -> bool:
    return f"{module}.".startswith(f"{package}.")


# --- Who imports whom


@pytest.mark.parametrize("module", TREES)
def test_each_part_imports_only_the_parts_it_may(module: str) -> None:
    own = _part(module)
    used = {_part(name) for name in _imports(module) if name in TREES}
    assert used <= MAY_IMPORT[own] | {own}


def test_the_pure_core_imports_nothing_of_ours() -> None:
    assert MAY_IMPORT["tracking.domain"] == set()


@pytest.mark.parametrize("module", TREES)
def test_no_part_imports_the_tests_or_the_benchmarks(module: str) -> None:
    assert {name.split(".")[0] for name in _imports(module)}.isdisjoint({"tests", "bench"})


@pytest.mark.parametrize("line", LINES)
def test_receive_deliver_and_report_never_import_one_another(line: str) -> None:
    assert not MAY_IMPORT[line] & set(LINES)


def test_the_house_has_at_most_eight_floors() -> None:
    def floor(part: str) -> int:
        used = {_part(n) for m in TREES if _part(m) == part for n in _imports(m) if n in TREES}
        return 1 + max(map(floor, used - {part}), default=0)

    assert floor("app") <= 8


def test_no_import_leads_back_to_where_it_began() -> None:
    done: set[str] = set()

    def follow(module: str, path: tuple[str, ...]) -> None:
        assert module not in path, " → ".join((*path, module))
        if module not in done:
            for other in sorted({name for name in _imports(module) if name in TREES}):
                follow(other, (*path, module))
            done.add(module)

    for module in TREES:
        follow(module, ())


def test_only_the_table_knows_a_destination_by_its_name() -> None:
    for name, connected in TABLE.items():
        home = f"tracking.destinations.{name}"
        assert connected.__module__ == home
        users = {_part(module) for module in TREES if home in _imports(module)}
        assert users <= {"tracking.destinations"}


# --- What reaches out has one home


@pytest.mark.parametrize("library", HOMES)
def test_what_reaches_out_is_imported_only_in_its_home(library: str) -> None:
    users = {m for m in TREES if any(_is_of(name, library) for name in _imports(m))}
    assert {_part(module) for module in users} <= HOMES[library]


def test_sql_is_written_only_in_the_store() -> None:
    written = [
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        if _part(module) != "tracking.store"
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.match(node.value)
    ]
    assert written == []


@pytest.mark.parametrize("module", [m for m in TREES if any(_is_of(m, pure) for pure in PURE)])
def test_what_is_pure_touches_nothing(module: str) -> None:
    assert not {name.split(".")[0] for name in _imports(module)} & HANDS
    called = [node.func for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    assert not {getattr(f, "id", getattr(f, "attr", "")) for f in called} & READS_THE_WORLD


def test_only_commands_print() -> None:
    printing = {
        _part(module)
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    }
    assert printing <= {"commands"}


# --- Names


def test_a_class_name_stands_once_in_the_house() -> None:
    names = Counter(
        node.name
        for tree in TREES.values()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
    )
    assert [name for name, count in names.items() if count > 1] == []


@pytest.mark.parametrize("module", TREES)
def test_a_module_says_in_its_first_line_what_it_is_for(module: str) -> None:
    if TREES[module].body:
        line = (ast.get_docstring(TREES[module]) or "").partition("\n")[0]
        assert re.match(r"\S.{9,}?[.?](\s|$)", line), f"{module}: {line!r}"


@pytest.mark.parametrize("module", TREES)
def test_no_module_uses_the_private_names_of_another(module: str) -> None:
    for node in ast.walk(TREES[module]):
        if (
            isinstance(node, ast.ImportFrom)
            and node.module
            and node.module.split(".")[0] in {_part(name).split(".")[0] for name in TREES}
        ):
            assert [a.name for a in node.names if a.name.startswith("_")] == []


# --- The tests

TESTS = {_name(path): ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests").rglob("*.py")}
STORES_AND_SERVERS = {
    "app", "build_service", "client", "database_url", "pinterest", "postgres_url", "service",
    "shop", "sqlite_template", "sqlite_url",
}  # fmt: skip


def test_no_test_file_is_imported_by_another() -> None:
    imported = [
        f"{module} imports {node.module}.{alias.name}"
        for module, tree in TESTS.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if re.match(r"tests\..*\btest_", f"{node.module}.{alias.name}")
    ]
    assert imported == []


def test_a_unit_test_uses_neither_store_nor_server() -> None:
    asked = {
        (module, node.arg)
        for module, tree in TESTS.items()
        if module.startswith("tests.unit.")
        for node in ast.walk(tree)
        if isinstance(node, ast.arg) and node.arg in STORES_AND_SERVERS
    }
    assert asked == set()
