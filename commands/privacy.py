"""The commands of data protection: `data-requests` and `purge`."""

import functools
import json
from collections.abc import Sequence
from typing import BinaryIO

import click

from commands.shell import DAY, plural, table, with_service
from tracking.domain.instants import instant
from tracking.receive.privacy.data_export import data_export_of
from tracking.service import Service
from tracking.store import privacy_requests
from tracking.store.privacy_requests import ANSWER_DAYS, DATA_REQUEST, PrivacyRequestRow


@click.command()
@with_service
def purge(service: Service) -> None:
    """Forget what is too old now; by itself this happens four times a day."""
    for kind, count, days in service.retention.purge():
        click.echo(f"{kind}: {count} older than {plural(days, 'day')} forgotten")


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
    file.write(json.dumps({**head, **data}, indent=2).encode() + b"\n")
    file.close()
    service.store.commit(functools.partial(privacy_requests.answer, id=row.id, now=now))
    orders = plural(len(data["orders"]), "order")
    click.echo(f"{file.name}: request {row.id} with {orders}; hand it over and delete it")
