"""`backup` and `restore`: commands for the SQLite database."""

from datetime import UTC, datetime
from pathlib import Path

import click
from flask.cli import with_appcontext

from commands.shell import first_line, with_service
from config import ConfigurationError, Settings
from tracking.service import Service
from tracking.store import backup, open_store
from tracking.store.engine.sqlite import SqliteStore


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_service
def backup_(service: Service, file: Path) -> None:
    """Copy the SQLite database to a new FILE while the service runs."""
    if not isinstance(service.store, SqliteStore):
        raise click.ClickException("this is PostgreSQL: back it up with pg_dump --format=custom")
    size = backup.copy(service.store.path, file)
    click.echo(f"{file}: {size:,} bytes, checked")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_appcontext
def restore(file: Path) -> None:
    """Replace the SQLite database by a backup and keep the old one; stop the service first."""
    # Without the service, which would open the database that is to be replaced.
    try:
        database = _database_file(Settings.load())
        kept_as = database.with_name(f"{database.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        revision = backup.restore(file, database, kept_as)
    except ConfigurationError as error:
        raise click.ClickException("; ".join(error.problems)) from None
    except backup.NoRestore as error:
        raise click.ClickException(first_line(error)) from error
    click.echo(f"{database} is {file} now, at schema {revision}, checked")
    if kept_as.exists():
        click.echo(f"what was there before is kept as {kept_as}")
    click.echo("orders since the backup: `flask --app app reconcile` asks Shopify for them")
    click.echo("events sent since then are sent again; Pinterest merges all but offline ones")


def _database_file(settings: Settings) -> Path:
    store = open_store(settings.database_url)
    if not isinstance(store, SqliteStore):
        raise click.ClickException("this is PostgreSQL: bring a dump back with pg_restore --clean")
    return store.path.resolve()
