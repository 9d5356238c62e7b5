"""What the house asks of each module beside its imports: purity, names, first lines, tests."""

import ast
import re
from collections import Counter

import pytest

from tests.house import TESTS, TREES, imports_of, is_in

# Values in, values out: besides the domain, the decisions of each line.
PURE = {
    "tracking.domain",
    "tracking.clients.outcome",
    "tracking.deliver.retry",
    "tracking.operate.alerts.messages",
    "tracking.operate.alerts.rules",
    "tracking.operate.alerts.states",
    "tracking.operate.prometheus",
    "tracking.receive.event_input",
    "tracking.receive.pixel",
    "tracking.receive.planner",
    "tracking.receive.rows",
    "tracking.report.campaigns",
    "tracking.report.funnel",
    "tracking.report.journey",
    "tracking.report.roi",
}
REACHES_OUT = {
    "asyncio", "concurrent", "flask", "http", "io", "logging", "multiprocessing", "os", "pathlib",
    "psycopg", "queue", "random", "requests", "secrets", "shutil", "signal", "socket",
    "sqlalchemy", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib3",
    "werkzeug",
}  # fmt: skip
READS_THE_WORLD = {"now", "utcnow", "today", "open", "input", "print", "__import__"}


@pytest.mark.parametrize("module", [module for module in TREES if is_in(module, PURE)])
def test_what_is_pure_touches_nothing(module: str) -> None:
    assert not {name.split(".")[0] for name in imports_of(module)} & REACHES_OUT
    called = [node.func for node in ast.walk(TREES[module]) if isinstance(node, ast.Call)]
    assert not {getattr(f, "id", getattr(f, "attr", "")) for f in called} & READS_THE_WORLD


def test_nothing_is_printed_past_click() -> None:
    printing = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print"
    }
    assert printing == set()


def test_no_trace_is_logged() -> None:
    """Its text may quote personal data, secrets or SQL: `error_line` says enough."""
    tracing = {
        f"{module}:{node.lineno}"
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and (
            ast.unparse(node.func) in ("logger.exception", "logging.exception")
            or getattr(node.func, "attr", "") in ("print_exc", "format_exc", "format_tb")
            or any(keyword.arg == "exc_info" for keyword in node.keywords)
        )
    }
    assert tracing == set()


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
def test_no_docstring_begins_with_a_question(module: str) -> None:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    nodes = [node for node in ast.walk(TREES[module]) if isinstance(node, kinds)]
    texts = [text for node in nodes if (text := ast.get_docstring(node))]
    questions = [text for text in texts if re.match(r"(What|Who|Whether|Where|How)\b", text)]
    assert questions == []


@pytest.mark.parametrize("module", TREES)
def test_no_module_uses_the_private_names_of_another(module: str) -> None:
    packages = {name.split(".")[0] for name in TREES}
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module} imports relatively"
            if str(node.module).split(".")[0] in packages:
                assert [alias.name for alias in node.names if alias.name.startswith("_")] == []


# --- The tests

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
