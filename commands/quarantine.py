"""The command `quarantine`, for signed bodies that could not be understood."""

import functools

import click

from commands.shell import pages, table, with_service
from tracking.domain.instants import instant
from tracking.service import Service
from tracking.store import StoreUnavailable, quarantine
from tracking.store.quarantine import QuarantinedBody
from webhooks.shopify import TOPICS, Receivers


@click.command("quarantine")
@click.option("--replay", "replays", is_flag=True, help="Try to understand them once more.")
@with_service
def quarantine_(service: Service, replays: bool) -> None:
    """List the signed bodies that could not be understood, or try them again."""
    if replays:
        _replay_quarantine(service)
        return
    rows = list(pages(service, quarantine.page))
    if not rows:
        click.echo("nothing in quarantine")
        return
    columns = {"id": ">", "received": "<", "topic": "<", "bytes": ">", "reason": "<"}
    listed = [(r.id, instant(r.received_at), r.topic, r.size, r.reason) for r in rows]
    click.echo(table(columns, listed))


def _replay_quarantine(service: Service) -> None:
    kept = released = 0
    for row in pages(service, quarantine.bodies):
        if _is_understood(service, row):
            now = int(service.clock())
            service.store.commit(functools.partial(quarantine.release, id=row.id, now=now))
            released += 1
        else:
            kept += 1
    click.echo(f"{released} understood and released, {kept} kept")


def _is_understood(service: Service, row: QuarantinedBody) -> bool:
    handler = TOPICS.get(row.topic)
    if handler is None:
        return False
    receivers = Receivers(service.tracker, service.privacy)
    try:
        return handler(receivers, row.body, row.topic).status != "quarantined"
    except StoreUnavailable:
        raise
    except Exception as error:
        # One body must not keep the others from being replayed; it stays in quarantine.
        click.echo(f"{row.id} still fails: {type(error).__name__}", err=True)
        return False
