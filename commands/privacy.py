"""The commands of data protection: `data-requests`, `privacy` and `purge`."""

import functools
import json
import os
import stat
from collections.abc import Sequence
from typing import BinaryIO

import click

from commands.shell import DAY, plural, table, with_service
from tracking.domain.instants import instant
from tracking.receive.privacy.data_export import data_export_of
from tracking.service import Service
from tracking.store import pending_erasures, privacy_requests
from tracking.store.pending_erasures import SHOP_REDACT, PendingErasure
from tracking.store.privacy_requests import ANSWER_DAYS, DATA_REQUEST, PrivacyRequestRow


@click.command()
@with_service
def purge(service: Service) -> None:
    """Forget what is too old now; by itself this happens four times a day."""
    for kind, count, days in service.retention.purge():
        click.echo(f"{kind}: {count} older than {plural(days, 'day')} forgotten")


@click.command()
@click.option("--confirm", "confirmed", type=int, help="Erase every person, for this held request.")
@click.option("--drop", "dropped", type=int, help="Forget this held request: it was a mistake.")
@with_service
def privacy(service: Service, confirmed: int | None, dropped: int | None) -> None:
    """List the erasures that are not complete, or decide about one that is held."""
    pending = service.pending_erasures
    if confirmed is not None and not pending.confirm(confirmed):
        raise click.ClickException(f"no erasure {confirmed} is held")
    if dropped is not None and not pending.drop(dropped):
        raise click.ClickException(f"no erasure {dropped} is held")
    if confirmed is not None:
        click.echo("every person was erased; the sums stay")
    with service.store.read() as conn:
        rows = pending_erasures.list_all(conn)
    if not rows:
        click.echo("no erasure is left to do")
        return
    columns = {"id": ">", "received": "<", "topic": "<", "shop": "<", "what is left": "<"}
    click.echo(table(columns, [_pending(row) for row in rows]))


def _pending(row: PendingErasure) -> tuple[object, ...]:
    if row.is_held:
        left = f"held: --confirm {row.id} erases every person, which happens by itself at"
        left = f"{left} {instant(row.due_at)}"
    elif row.topic == SHOP_REDACT:
        left = "under way: every person is being erased"
    elif not row.is_searching:
        left = "under way: the person is being erased"
    else:
        left = "quarantined bodies are searched for the person"
    return row.id, instant(row.received_at), row.topic, row.asked_as, left


@click.command("data-requests")
@click.option("--export", "file", type=click.File("wb", lazy=True), help="Write the answer here.")
@click.option("--id", "number", type=int, help="The request to answer; the oldest open one.")
@with_service
def data_requests(service: Service, file: BinaryIO | None, number: int | None) -> None:
    """List what customers asked to be told, or write the answer to one for them."""
    with service.store.read() as conn:
        rows = privacy_requests.of_topic(conn, DATA_REQUEST)
    if file is not None:
        _export(service, file, rows, number)
        return
    open_ones = privacy_requests.open_of(rows)
    if not open_ones:
        click.echo("no open requests")
        return
    columns = {"id": ">", "Shopify's": "<", "received": "<", "answer until": "<", "orders": ">"}
    listed = [
        (
            *(row.id, row.asked_as, instant(row.received_at)),
            *(instant(row.received_at + ANSWER_DAYS * DAY), len(row.orders.split())),
        )
        for row in open_ones
    ]
    click.echo(table(columns, listed))


def _keep_private(file: BinaryIO) -> None:
    """Has only the file's owner read it, unless it is a pipe or a terminal.

    Raises:
        click.ClickException: the file is another user's, who would read it.
    """
    try:
        number = file.fileno()
    except OSError:
        return
    if stat.S_ISREG(os.fstat(number).st_mode):
        try:
            os.fchmod(number, 0o600)
        except OSError as error:
            raise click.ClickException(
                f"{file.name}: cannot be kept private ({error.strerror})"
            ) from None


def _export(
    service: Service, file: BinaryIO, rows: Sequence[PrivacyRequestRow], number: int | None
) -> None:
    open_ones = privacy_requests.open_of(rows)
    wanted = open_ones if number is None else [row for row in rows if row.id == number]
    row = next(iter(wanted), None)
    if row is None:
        raise click.ClickException("no such request" if number else "no open requests")
    with service.store.read() as conn:
        data = data_export_of(conn, row.links.split(), row.orders.split())
    now = int(service.clock())
    head = {"request": row.asked_as, "received": instant(row.received_at), "told": instant(now)}
    _keep_private(file)
    file.write(json.dumps({**head, **data}, indent=2).encode() + b"\n")
    file.close()
    service.store.commit(functools.partial(privacy_requests.answer, id=row.id, now=now))
    orders = plural(len(data["orders"]), "order")
    click.echo(f"{file.name}: request {row.id} with {orders}; hand it over and delete it")
