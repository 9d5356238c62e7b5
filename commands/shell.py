"""Helpers of the commands: their service, tables and one-line errors."""

import functools
import logging
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from typing import Any, Protocol, TypeVar

import click
from flask import current_app
from flask.cli import with_appcontext

from config import ConfigurationError, Settings
from server.log_lines import begin_log
from tracking.domain.validation import ValidationError
from tracking.service import Service, open_service
from tracking.store import StoreUnavailable, backup
from tracking.store.engine.statement import Connection

DAY = 86_400
_PAGE = 100


class _RowWithId(Protocol):
    """A row with an id, by which pages are ordered."""

    @property
    def id(self) -> int: ...


_Row = TypeVar("_Row", bound=_RowWithId)


def table(columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> str:
    """Returns the rows under their titles; "<" aligns a column left, ">" right."""
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, columns.values(), widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def plural(count: int, noun: str, many: str = "") -> str:
    """Returns a count with its noun: "1 event", "2 events"."""
    return f"{count} {noun}" if count == 1 else f"{count} {many or f'{noun}s'}"


def printable(text: str) -> str:
    """Returns a text of others with escapes for what a terminal would obey and not show."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def only_one(**given: object) -> None:
    """Checks that at most one of these options was given.

    Raises:
        click.UsageError: more were.
    """
    names = [f"--{name.replace('_', '-')}" for name, value in given.items() if value]
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(names)}: give one of them")


@contextmanager
def opened_service() -> Iterator[Service]:
    """Yields the application's service, or one opened from the environment for this command.

    Raises:
        click.ClickException: the service cannot be opened; one line says why.
    """
    known = current_app.extensions.get("service")
    if known is not None:
        yield known
        return
    service = service_from_environment()
    with ExitStack() as closed:
        closed.enter_context(closing(service.store))
        for destination in service.destinations.values():
            closed.enter_context(closing(destination))
        yield service


def service_from_environment() -> Service:
    """Opens the service that the environment configures.

    Raises:
        click.ClickException: the service cannot be opened; one line says why.
    """
    try:
        settings = Settings.load()
        begin_log(settings.log_level, settings.log_format)
        # The check for migrations is of no interest to the user of a command.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        return open_service(settings, time.time)
    except ConfigurationError as error:
        raise click.ClickException("; ".join(error.problems)) from None
    except Exception as error:
        # The driver of the configured database may raise any class.
        raise click.ClickException(f"the service cannot be opened: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """Returns the first line of an error, without the hints that drivers add."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def with_service(command: Callable[..., None]) -> Callable[..., None]:
    """Passes the service to the command, and turns its expected errors into one line."""

    @with_appcontext
    @functools.wraps(command)
    def run(**options: Any) -> None:
        with opened_service() as service:
            try:
                command(service, **options)
            except (ValidationError, StoreUnavailable, backup.NoBackup) as error:
                raise click.ClickException(first_line(error)) from error

    return run


@contextmanager
def terminable() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP end the command as Ctrl-C does, so that it cleans up."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def pages(
    service: Service, page: Callable[[Connection, int, int], Sequence[_Row]]
) -> Iterator[_Row]:
    """Yields all rows, read page by page, so that no transaction lasts while they are handled."""
    last = 0
    while True:
        with service.store.read() as conn:
            rows = page(conn, last, _PAGE)
        if not rows:
            return
        yield from rows
        last = rows[-1].id
