"""The command `demo`: a made-up shop's day through the real service."""

import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from typing import TYPE_CHECKING

import click

from commands.shell import table, terminable

if TYPE_CHECKING:
    from commands.demo.day import Section


@click.command()
@click.option("--serve", is_flag=True, help="Stay up until Ctrl-C, to look around.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port to listen on; any free one.")
@click.option("--database-url", help="An empty database to use instead of a temporary file.")
def demo(serve: bool, port: int | None, database_url: str | None) -> None:
    """A made-up shop's month and day, with the real service and a local stand-in for Pinterest."""
    # Imported here because no other command needs the HTTP server of the stand-in.
    from commands.demo.day import run_day
    from commands.demo.service import DemoError

    began = time.monotonic()
    click.echo("A made-up shop's month and day. Nothing is real, and nothing leaves this machine.")
    click.echo("The service plays it now, which takes up to a minute; then come its figures.")
    try:
        with terminable(), run_day(port, database_url) as day:
            for section in day.sections:
                _print(section)
            click.echo(f"\nAll of it took {time.monotonic() - began:.0f} s.")
            if serve:
                _wait_until_interrupted(day.addresses)
    except DemoError as error:
        raise click.ClickException(str(error)) from error
    click.echo("Everything is stopped" + ("." if database_url else " and removed."))
    if not serve:
        click.echo("To look around in it: flask --app app demo --serve")


def _print(section: "Section") -> None:
    parts = [section.title, section.remark]
    if section.rows:
        parts.insert(1, table(section.columns, section.rows))
    click.echo("\n" + "\n\n".join(filter(None, parts)))


def _wait_until_interrupted(addresses: Iterable[str]) -> None:
    # The text announces Ctrl-C as the end, so Ctrl-C is no abort here.
    with suppress(KeyboardInterrupt):
        click.echo("\nStill up until Ctrl-C. To look around:\n")
        for address in addresses:
            click.echo(f"  {address}")
        threading.Event().wait()
