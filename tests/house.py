"""The delivered modules and their imports, read from the source, for the tests of the house."""

import ast
import re
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SQL = re.compile(
    r"\s*(SELECT\s|INSERT\s+INTO\s|UPDATE\s+\w+\s+SET\s|DELETE\s+FROM\s|PRAGMA\s|CREATE\s+TABLE\s)"
)


def _name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


class Trees(Mapping[str, ast.Module]):
    """The syntax trees of modules by their names, each parsed once it is asked for: whoever
    collects the tests needs the names alone."""

    def __init__(self, paths: Iterator[Path]) -> None:
        self._paths = {_name(path): path for path in paths}
        self._parsed: dict[str, ast.Module] = {}

    def __getitem__(self, module: str) -> ast.Module:
        if module not in self._parsed:
            self._parsed[module] = ast.parse(self._paths[module].read_text("utf-8"))
        return self._parsed[module]

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, module: object) -> bool:
        return module in self._paths


# gunicorn reads its file, no module imports it; a migration's name is a number.
TREES = Trees(
    path
    for folder in ("api", "commands", "server", "tracking", "webhooks", ".")
    for path in (ROOT / folder).glob("*.py" if folder == "." else "**/*.py")
    if path.name != "gunicorn.conf.py" and "versions" not in path.parts
)
TESTS = Trees((ROOT / "tests").rglob("*.py"))


def part_of(module: str) -> str:
    """Returns the part of the house that a module belongs to, such as `tracking.store`."""
    names = module.split(".")
    return ".".join(names[: 2 if names[0] == "tracking" else 1])


def is_in(module: str, places: frozenset[str] | set[str]) -> bool:
    """Returns True if a module is one of the places, or stands in one."""
    return any(f"{module}.".startswith(f"{place}.") for place in places)


@cache
def imports_of(module: str) -> frozenset[str]:
    """Returns all that a module imports, our own modules by their exact names."""
    return frozenset(_imports(TREES[module]))


def _imports(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            yield from (name if name in TREES else str(node.module) for name in names)


@cache
def parts_used_by(part: str) -> frozenset[str]:
    """Returns the other parts that the modules of a part import."""
    modules = [module for module in TREES if part_of(module) == part]
    names = {name for module in modules for name in imports_of(module) if name in TREES}
    return frozenset({part_of(name) for name in names} - {part})


def floor_of(part: str) -> int:
    """Returns how many floors up a part stands: one above the highest that it imports."""
    return 1 + max(map(floor_of, parts_used_by(part)), default=0)


def users_of(*libraries: str) -> set[str]:
    """Returns the modules that import one of these libraries."""
    return {m for m in TREES if any(is_in(name, {*libraries}) for name in imports_of(m))}


def modules_with_sql() -> set[str]:
    """Returns the modules in which a text begins like SQL."""
    return {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _SQL.match(node.value)
    }
