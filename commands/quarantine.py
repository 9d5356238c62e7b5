"""The command `quarantine`, for signed bodies that could not be understood."""

import functools
import logging
from collections.abc import Iterable

import click

from commands.shell import only_one, pages, plural, printable, table, with_service
from tracking.domain.instants import instant
from tracking.service import Service
from tracking.store import quarantine
from tracking.store.quarantine import DiscardedBody
from webhooks.quarantine_replay import replay_quarantine
from webhooks.shopify import Receivers

logger = logging.getLogger(__name__)


@click.command("quarantine")
@click.option("--replay", "replays", is_flag=True, help="Try to understand them once more.")
@click.option("--show", "shown", type=int, metavar="ID", help="Print one, in clear text.")
@click.option(
    *("--discard", "discarded"), type=int, multiple=True, metavar="ID", help="Erase one for good."
)
@click.option("--discard-all", "discards_all", is_flag=True, help="Erase all of them for good.")
@with_service
def quarantine_(
    service: Service,
    replays: bool,
    shown: int | None,
    discarded: tuple[int, ...],
    discards_all: bool,
) -> None:
    """List the signed bodies that could not be understood; try them again, or give them up."""
    only_one(replay=replays, show=shown is not None, discard=discarded, discard_all=discards_all)
    if replays:
        _replay_quarantine(service)
    elif shown is not None:
        _show(service, shown)
    elif discarded:
        _discard(service, discarded)
    elif discards_all:
        _discard(service, (row.id for row in pages(service, quarantine.page)))
    else:
        _list(service)


def _list(service: Service) -> None:
    rows = list(pages(service, quarantine.page))
    if not rows:
        click.echo("nothing in quarantine")
        return
    columns = {"id": ">", "received": "<", "topic": "<", "bytes": ">", "reason": "<"}
    listed = [(r.id, instant(r.received_at), r.topic, r.size, r.reason) for r in rows]
    click.echo(table(columns, listed))


def _show(service: Service, id: int) -> None:
    with service.store.read() as conn:
        row = quarantine.one(conn, id)
    if row is None:
        raise click.ClickException(f"nothing of id {id} is in quarantine")
    if not row.body:
        raise click.ClickException(f"of {id} only the reason was kept")
    click.echo(f"{row.topic}; this may be a person's data in clear text:", err=True)
    click.echo(printable(row.body.decode(errors="backslashreplace")))


def _discard(service: Service, ids: Iterable[int]) -> None:
    now, count = int(service.clock()), 0
    for id in ids:
        row = service.store.commit(functools.partial(quarantine.discard, id=id, now=now))
        if row is None:
            raise click.ClickException(f"nothing of id {id} is in quarantine")
        _log(row)
        count += 1
    click.echo(f"{plural(count, 'body', 'bodies')} discarded")


def _log(row: DiscardedBody) -> None:
    # At a level that no usual setting hides: nothing else tells later what was discarded.
    logger.warning(
        "quarantined body %d discarded: %s of %s, sha256 %s, %s",
        *(row.id, row.topic, instant(row.received_at), row.digest, row.reason),
    )


def _replay_quarantine(service: Service) -> None:
    receivers = Receivers(service.tracker, service.privacy)
    done = replay_quarantine(service.store, receivers, service.clock, _tell_failure)
    rest = ""
    if done.without_body:
        rest = f"; of {done.without_body} only the reason was kept: see `quarantine --discard`"
    click.echo(f"{done.released} understood and released, {done.kept} kept{rest}")


def _tell_failure(id: int, error: Exception) -> None:
    click.echo(f"{id} still fails: {type(error).__name__}", err=True)
