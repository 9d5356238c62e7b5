"""The variables of the environment: where each value comes from, and which form it must have."""

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
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

from dotenv import dotenv_values, find_dotenv
from dotenv.parser import Binding, parse_stream

T = TypeVar("T")
Network = IPv4Network | IPv6Network

_BOOLEANS = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}
# Guides and examples print these where the secret goes; here without case and punctuation.
_PLACEHOLDERS = frozenset(
    {
        *("changeme", "changethis", "replaceme", "placeholder", "password", "secret"),
        *("yoursecret", "yourwebhooksecret", "yourshopifywebhooksecret", "shopifywebhooksecret"),
    }
)
_YOURS = ("your_", "your-", "your ", "<your")
# How like one of our names another must be, from 0 to 1; less where its first word is one of ours.
_LIKE, _LIKE_FAMILY = 0.85, 0.75
# A token that is compared at any time, however many wrong ones came before.
_SHORTEST_TOKEN = 16
_SHOP = re.compile(r"[a-z0-9][a-z0-9-]*\.myshopify\.com")
# No user, no query, no fragment: nothing that could carry a key or lead to another host.
_URL = re.compile(
    r"(?P<scheme>https?)://(?P<host>(?:[a-z0-9-]+\.)*[a-z0-9-]+|\[::1\])(?::(?P<port>[0-9]{1,5}))?"
    r"(?P<path>(?:/[A-Za-z0-9._~%-]+)*)/?"
)
_PORTS = {"https": 443, "http": 80}
_ACCEPTED_ORIGIN = "https://HOST without a path, or http on a loopback address"
_SQLITE_FILE = re.compile(r"sqlite:///(?!:memory:|\?).+")
_POSTGRES = re.compile(r"postgres(?:ql)?(?:\+psycopg)?://(\S+)")


class ConfigurationError(Exception):
    """All problems with the environment, one a line; no line repeats a value."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__(problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class _BadValue(Exception):
    """A value that its variable does not accept, and a description of the accepted ones."""

    def __init__(self, wrong: str, accepted: str) -> None:
        super().__init__(f"{wrong}; accepted: {accepted}")


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
            raise _BadValue("given twice", f"either {self.name} or {self.name}_FILE")
        return self._file_text(path) if path else value

    def _file_text(self, path: str) -> str:
        accepted = f"{self.name}_FILE names a readable text file"
        try:
            return Path(path).read_text("utf-8-sig").strip()
        except OSError as error:
            raise _BadValue(f"its file cannot be read ({error.strerror})", accepted) from None
        except ValueError:
            raise _BadValue("its file is not UTF-8 text", accepted) from None


def _checked(value: str) -> str:
    """Returns the value unchanged, unless an env file or a shell has visibly damaged it."""
    if not value.isprintable():
        raise _BadValue("holds a character that cannot be seen", "printable text on one line")
    if len(value) > 1 and value[0] == value[-1] and value[0] in "\"'":
        # Docker's --env-file keeps quotes, and every signature would then be wrong.
        raise _BadValue("is wrapped in quotes that were not taken off", "the value without quotes")
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
        except _BadValue as bad:
            problems.append(f"{variable.name}: {bad}")
    return values, problems


# --- The forms of the values


def boolean(value: str) -> bool:
    """Returns the truth value of a word such as yes, off or 1."""
    found = _BOOLEANS.get(value.lower())
    if found is None:
        raise _BadValue("neither yes nor no", ", ".join(_BOOLEANS))
    return found


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Returns a parser of decimal numbers from `low` to `high`, both included."""

    def parse(value: str) -> int:
        # int() alone would also take "1_000" and digits of other scripts.
        if not re.fullmatch(r"[0-9]{1,9}", value) or not low <= int(value) <= high:
            raise _BadValue("not a number of this range", f"a whole number from {low} to {high}")
        return int(value)

    return parse


def listening_address(value: str) -> str:
    """Returns the IP address of this machine, or of all its networks, to listen on."""
    try:
        return str(ip_address("127.0.0.1" if value.lower() == "localhost" else value))
    except ValueError:
        raise _BadValue(
            "not an address to listen on", "127.0.0.1, 0.0.0.0, or another IP address"
        ) from None


def networks(value: str) -> tuple[Network, ...]:
    """Returns networks of addresses, none of which holds every address."""
    parts = _comma_separated(value)
    try:
        found = tuple(map(ip_network, parts))
    except ValueError:
        found = ()
    if len(found) < len(parts) or (value and not parts) or any(n.prefixlen == 0 for n in found):
        raise _BadValue("not a list of networks", "10.0.0.5 or 10.0.0.0/24, separated by commas")
    return found


def one_of(*choices: T) -> Callable[[str], T]:
    """Returns a parser that accepts the choices in any case."""
    by_name = {str(choice).lower(): choice for choice in choices}

    def parse(value: str) -> T:
        if value.lower() not in by_name:
            raise _BadValue("not one of the choices", ", ".join(map(str, choices)))
        return by_name[value.lower()]

    return parse


def matching(pattern: str, accepted: str) -> Callable[[str], str]:
    """Returns a parser that accepts a text of the pattern; `accepted` describes it in words."""

    def parse(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise _BadValue("not of the right form", accepted)
        return value

    return parse


def _comma_separated(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def words(value: str) -> frozenset[str]:
    """Returns the words of a list; none is an empty one."""
    parts = _comma_separated(value)
    if (value and not parts) or any(re.search("[;|=&]", part) for part in parts):
        raise _BadValue("not a list of words", "words separated by commas")
    return frozenset(parts)


def alert_addresses(value: str) -> tuple[str, ...]:
    """Returns the addresses that alerts are sent to; none sends them nowhere."""
    # An address may have commas of its own.
    parts = [part.strip(", ") for part in re.split(r"[\s,]+(?=[a-zA-Z][a-zA-Z0-9]*://)", value)]
    if value and not all(re.fullmatch(r"[a-zA-Z][a-zA-Z0-9]*://[!-~]+", part) for part in parts):
        raise _BadValue(
            "not addresses of apprise", "slack://…, mailtos://…, json://…; several by comma"
        )
    return tuple(filter(None, parts))


def webhook_secrets(value: str) -> tuple[bytes, ...]:
    """Returns the signing secrets, at least one of them."""
    accepted = "the signing secret Shopify shows"
    parts = _comma_separated(value)
    if not parts:
        raise _BadValue("missing", f"{accepted}; several separated by commas")
    if any(map(_is_placeholder, parts)):
        raise _BadValue("still a placeholder", accepted)
    return tuple(part.encode() for part in parts)


def _is_placeholder(text: str) -> bool:
    letters = re.sub(r"[^a-z0-9]", "", text.lower())
    return letters in _PLACEHOLDERS or text.lower().startswith(_YOURS)


def bearer_tokens(value: str) -> tuple[bytes, ...]:
    """Returns the tokens of the API; none closes it."""
    parts = _comma_separated(value)
    for part in parts:
        # A client sends its token in a header, behind "Bearer " and one space.
        if not re.fullmatch(r"[!-~]+", part):
            raise _BadValue(
                "a token has spaces or letters beyond ASCII",
                "random ASCII characters without spaces; several separated by commas",
            )
        if _is_placeholder(part) or len(part) < _SHORTEST_TOKEN:
            raise _BadValue(
                f"still a placeholder, or shorter than {_SHORTEST_TOKEN} characters",
                "a random token, such as openssl rand -hex 32 makes",
            )
    return tuple(part.encode() for part in parts)


def shop_names(value: str) -> frozenset[str]:
    """Returns the myshopify.com names of the shops; none accepts every shop."""
    accepted = "my-shop.myshopify.com; several separated by commas"
    shops = [_shop_name(part) for part in _comma_separated(value)]
    # A value of commas alone would otherwise accept every shop.
    if (value and not shops) or not all(_SHOP.fullmatch(shop) for shop in shops):
        raise _BadValue("not the myshopify.com name of a shop", accepted)
    return frozenset(shops)


def _shop_name(part: str) -> str:
    # Lower case of ASCII only: a letter such as the Kelvin sign would become an ASCII letter.
    name = part.lower() if part.isascii() else part
    return name.removeprefix("https://").removeprefix("http://").removesuffix("/")


def pinterest_address(value: str) -> str:
    """Returns the base address of Pinterest's API, without a slash at its end."""
    url = _url(value)
    is_pinterest = url is not None and (
        url["scheme"] == "https"
        and url["host"] == "api.pinterest.com"
        and url["port"] in (None, "443")
    )
    if not is_pinterest and not _is_local(url):
        raise _BadValue(
            "not Pinterest's address",
            "https://api.pinterest.com/v5, or http on a loopback address for tests",
        )
    return value.removesuffix("/")


def page_origins(value: str) -> frozenset[str]:
    """Returns the origins of pages; none accepts every page."""
    parts = _comma_separated(value)
    # A value of commas alone would otherwise accept every page.
    if value and not parts:
        raise _BadValue("names no origin", _ACCEPTED_ORIGIN)
    return frozenset(page_origin(part) for part in parts)


def page_origin(value: str) -> str:
    """Returns an origin as browsers write it: lower case, no default port, no path."""
    if not value:
        return ""
    # Lower case of ASCII only, as for shops.
    url = _url(value.lower() if value.isascii() else value)
    if url is None or url["path"] or not (url["scheme"] == "https" or _is_local(url)):
        raise _BadValue("not the origin of a page", _ACCEPTED_ORIGIN)
    usual = _PORTS[url["scheme"]]
    port = int(url["port"] or usual)
    return f"{url['scheme']}://{url['host']}" + ("" if port == usual else f":{port}")


def event_address(value: str) -> str:
    """Returns the https address that receives events; the empty text is none."""
    url = _url(value)
    if value and not (url is not None and url["scheme"] == "https") and not _is_local(url):
        raise _BadValue(
            "not an address events may be sent to",
            "https://HOST/PATH without user, query and fragment, or http on a loopback address",
        )
    return value


def _url(value: str) -> re.Match[str] | None:
    url = _URL.fullmatch(value)
    return url if url and 0 < int(url["port"] or 1) < 65_536 else None


def _is_local(url: re.Match[str] | None) -> bool:
    """True for http on this machine, where the network cannot read along."""
    if url is None or url["scheme"] != "http":
        return False
    try:
        return IPv4Address(url["host"]).is_loopback
    except ValueError:
        return url["host"] in ("localhost", "[::1]")


def database_address(value: str) -> str:
    """Returns the database's URL as SQLAlchemy expects it."""
    if _SQLITE_FILE.fullmatch(value):
        return value
    found = _POSTGRES.fullmatch(value)
    if found is None:
        raise _BadValue(
            "not a database this service can keep orders in",
            "sqlite:///FILE or postgresql+psycopg://USER:PASSWORD@HOST/NAME",
        )
    return f"postgresql+psycopg://{found[1]}"


def time_zone(value: str) -> ZoneInfo:
    """Returns the time zone of an IANA name."""
    try:
        return ZoneInfo(value)
    except (KeyError, ValueError, OSError):
        raise _BadValue(
            "not a time zone known here", "an IANA name such as Europe/Berlin"
        ) from None


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
