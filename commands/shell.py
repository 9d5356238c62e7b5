"""What every command shares: its service, its tables, its one-line errors."""

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

from config import ConfigurationError, Settings, load_env
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
    """Rows under their titles; each title comes with its side: "<" for words, ">" for numbers."""
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, columns.values(), widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def plural(count: int, noun: str) -> str:
    """ "1 event", "2 events"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@contextmanager
def opened_service() -> Iterator[Service]:
    """The app's own service, or for this one command the one the environment describes.

    Raises:
        click.ClickException: it cannot be opened; one line says why.
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
    try:
        settings = Settings.from_env(load_env())
        logging.basicConfig(
            level=settings.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
        )
        # That a migration was looked for is no news to whoever typed a command.
        logging.getLogger("alembic").setLevel(logging.WARNING)
        return open_service(settings, time.time)
    except ConfigurationError as error:
        raise click.ClickException("; ".join(error.problems)) from None
    except Exception as error:
        # Whatever the driver of the configured database raises.
        raise click.ClickException(f"the service cannot be opened: {first_line(error)}") from error


def first_line(error: Exception) -> str:
    """What an error says, without the hints that drivers add."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def with_service(command: Callable[..., None]) -> Callable[..., None]:
    """Hand the command its service; what can go wrong with it becomes one line."""

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
    """Let a polite kill and a closed terminal end things as Ctrl-C does: by cleaning up."""
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
