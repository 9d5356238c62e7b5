"""The variables of the environment: where the value of each comes from, and which are misspelt."""

import contextlib
import os
import re
import sys
import sysconfig
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from io import StringIO
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from dotenv import dotenv_values, find_dotenv
from dotenv.parser import Binding, parse_stream

from value_forms import BadValue

T = TypeVar("T")

# How like one of our names another must be, from 0 to 1; less where its first word is one of ours.
_LIKE, _LIKE_FAMILY = 0.85, 0.75


class ConfigurationError(Exception):
    """All problems with the environment, one a line; no line repeats a value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


@dataclass(frozen=True, slots=True)
class Variable(Generic[T]):
    """A variable of the environment. `default` is text, as the environment would hold it."""

    name: str
    default: str
    parse: Callable[[str], T]
    help: str

    def read(self, env: Mapping[str, str]) -> T:
        """Returns the value of `NAME`, or of the file that `NAME_FILE` names, or the default."""
        return self.parse(_checked(self._text(env)) or self.default)

    def _text(self, env: Mapping[str, str]) -> str:
        value, path = env.get(self.name, "").strip(), env.get(f"{self.name}_FILE", "").strip()
        if value and path:
            raise BadValue("given twice", f"either {self.name} or {self.name}_FILE")
        return self._file_text(path) if path else value

    def _file_text(self, path: str) -> str:
        accepted = f"{self.name}_FILE names a readable text file"
        try:
            return Path(path).read_text("utf-8-sig").strip()
        except OSError as error:
            raise BadValue(f"its file cannot be read ({error.strerror})", accepted) from None
        except ValueError:
            raise BadValue("its file is not UTF-8 text", accepted) from None


def _checked(value: str) -> str:
    """Returns the value unchanged, unless an env file or a shell has visibly damaged it."""
    if not value.isprintable():
        raise BadValue("holds a character that cannot be seen", "printable text on one line")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        # Docker's --env-file keeps quotes, and every signature would then be wrong.
        raise BadValue("is wrapped in quotes that were not taken off", "the value without quotes")
    return value


class EnvironmentRead(NamedTuple):
    """The variables of the environment and of a file, a line for each problem with the file, and
    one on its lines that set nothing."""

    variables: dict[str, str]
    problems: list[str]
    doubts: list[str]


def read_env(path: str | os.PathLike[str], environ: Mapping[str, str]) -> EnvironmentRead:
    """Returns the variables of the environment and of the file; the environment wins.

    A missing file has no variables, and of one that cannot be read as text they are incomplete.
    """
    text, problems = _text_of(Path(path))
    # Nothing is interpolated: a secret may hold "${".
    lines = list(parse_stream(StringIO(text)))
    told = {line.key: line.value for line in lines if line.key and line.value is not None}
    doubts = [f"{path}: {doubt}" for doubt in _lines_without_effect(lines)]
    return EnvironmentRead(told | _without_files_of_flask(environ), problems, doubts)


def _lines_without_effect(lines: Sequence[Binding]) -> Iterator[str]:
    """Yields one sentence on the lines of a file that are neither a comment nor NAME=value."""
    numbers = [
        line.original.line + _blank_lines_before(line.original.string)
        for line in lines
        if line.error or (line.key and line.value is None)
    ]
    if numbers:
        listed = ", ".join(map(str, numbers))
        told = f"line {listed} sets" if len(numbers) == 1 else f"lines {listed} set"
        yield f"{told} nothing; accepted: NAME=value"


def _blank_lines_before(text: str) -> int:
    return text[: len(text) - len(text.lstrip())].count("\n")


def _text_of(path: Path) -> tuple[str, list[str]]:
    """Returns the readable lines of a file, and a problem if there are others."""
    accepted = "accepted: UTF-8 text of NAME=value lines"
    try:
        content = path.read_bytes() if path.is_file() else b""
    except OSError as error:
        return "", [f"{path}: cannot be read ({error.strerror}); {accepted}"]
    if content.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        # As Windows writes it. It is read so that its other problems are told as well.
        return content.decode("utf-16", "replace"), [f"{path}: cannot be read (UTF-16); {accepted}"]
    lines = [line.decode("utf-8", "surrogateescape") for line in content.splitlines(keepends=True)]
    wrong = [n for n, line in enumerate(lines, 1) if not _is_utf8(line)]
    text = "".join(filter(_is_utf8, lines)).removeprefix("\ufeff")
    numbers = ", ".join(map(str, wrong))
    return text, [f"{path}: cannot be read (not UTF-8: line {numbers}); {accepted}"] * bool(wrong)


def _is_utf8(line: str) -> bool:
    return not re.search("[\ud800-\udfff]", line)


def _without_files_of_flask(environ: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment without what `flask` has read into it from files.

    It reads `.flaskenv` and `.env`, of parent folders too, and fills in "${…}": the commands would
    run with other settings than gunicorn.
    """
    skips = environ.get("FLASK_SKIP_DOTENV", "no").lower() not in ("0", "false", "no", "")
    if environ.get("FLASK_RUN_FROM_CLI") != "true" or skips:
        return dict(environ)
    read: dict[str, str | None] = {}
    for name in (".flaskenv", ".env"):
        with contextlib.suppress(OSError, UnicodeDecodeError):
            read |= dotenv_values(find_dotenv(name, usecwd=True) or os.devnull, encoding="utf-8")
    own = _environment_at_start()
    return {
        name: value for name, value in environ.items() if name in own or read.get(name) != value
    }


def leave_file_to_service(packages: Path) -> Path:
    """Has `flask` leave `.env` to the service, in the environment of these installed packages.

    Otherwise it opens the file before any code of ours runs, and ends with a traceback where the
    file is not UTF-8. Returns the file that sees to it.
    """
    file = packages / "env_file_of_tracking.pth"
    file.write_text('import os; os.environ.setdefault("FLASK_SKIP_DOTENV", "1")\n', "utf-8")
    return file


def _environment_at_start() -> frozenset[str]:
    """The names of the variables that this process was started with, as far as the system tells."""
    try:
        started_with = Path("/proc/self/environ").read_bytes()
    except OSError:
        return frozenset()
    return frozenset(os.fsdecode(each).partition("=")[0] for each in started_with.split(b"\0"))


def look_alikes(names: Collection[str], env: Mapping[str, str]) -> Iterator[str]:
    """Yields a question for each variable whose name is nearly, but not quite, one of `names`.

    A variable that is given under its own name was not misspelt.
    """
    missing = [name for name in names if not (env.get(name) or env.get(f"{name}_FILE"))]
    families = {name.partition("_")[0] for name in names if "_" in name}
    for given in sorted(name for name, value in env.items() if value and name not in names):
        upper = given.upper()
        ending = "_FILE" if upper.endswith("_FILE") else ""
        word = upper.removesuffix(ending)
        if word in missing and given == upper:
            continue
        likeness = _LIKE_FAMILY if word.partition("_")[0] in families else _LIKE
        for meant in get_close_matches(word, missing, n=1, cutoff=likeness):
            yield f"{given}: did you mean {meant}{ending}?"


def read_all(
    variables: Mapping[str, Variable[Any]], env: Mapping[str, str]
) -> tuple[dict[str, Any], list[str]]:
    """Returns the value of each variable under its key, and a line for each unusable one."""
    values: dict[str, Any] = {}
    problems: list[str] = []
    for key, variable in variables.items():
        try:
            values[key] = variable.read(env)
        except BadValue as bad:
            problems.append(f"{variable.name}: {bad}")
    return values, problems


def _main() -> int:
    if sys.prefix == sys.base_prefix:
        sys.stderr.write(
            "run it by the Python of the service's own environment: .venv/bin/python\n"
        )
        return 1
    leave_file_to_service(Path(sysconfig.get_path("purelib")))
    sys.stdout.write("flask leaves .env to the service\n")
    return 0


if __name__ == "__main__":
    sys.exit(_main())
