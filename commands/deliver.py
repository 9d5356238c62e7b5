"""The commands of the outbox: `deliver`, `dead-letters` and `replay`."""

import functools
import json
import logging
import signal
import time

import click

from commands.shell import only_one, plural, printable, table, with_service
from tracking.deliver.deliverer import Deliverer
from tracking.deliver.replay import oldest_replayed, own_event_id, replay_dead_letters
from tracking.deliver.retry import Breaker
from tracking.destinations import Destination
from tracking.domain.instants import instant
from tracking.operate.background import stop_all
from tracking.service import Service
from tracking.store import accounts, attempts, claims, dead_letter_queue, metrics, outbox
from tracking.store.dead_letter_queue import DeadLetter
from tracking.store.engine.statement import Connection

logger = logging.getLogger(__name__)

_STOP_SIGNALS = {signal.SIGTERM, signal.SIGINT}
_RATE_LIMIT_POLL = 0.1
_COUNTS_TWICE = "Pinterest would count it beside its app's own event; --late sends it all the same"


@click.command()
@click.option("--watch", is_flag=True, help="Go on until SIGTERM or Ctrl-C.")
@click.option(
    *("--give-up", "given_up"),
    metavar="DESTINATION",
    help="Give up what waits for a destination whose settings are gone.",
)
@with_service
def deliver(service: Service, watch: bool, given_up: str | None) -> None:
    """Send what is due, until nothing is; or go on sending with --watch.

    With --watch it also keeps the reports' figures, reads Pinterest's, forgets what is too old and
    tells of alerts, all of which goes on where nothing is sent.
    """
    only_one(watch=watch, give_up=given_up is not None)
    if given_up is not None:
        _give_up(service, given_up)
        return
    if watch:
        _deliver_until_stopped(service)
        return
    if not service.destinations:
        raise click.ClickException(
            "nobody to deliver to: set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID"
        )
    obstacles = [_deliver_due(service, each) for each in service.destinations.values()]
    if any(obstacles):
        raise click.ClickException("; ".join(filter(None, obstacles)))


def _give_up(service: Service, destination: str) -> None:
    """Gives up all events that wait for a destination without settings.

    Raises:
        click.ClickException: it has settings, so its events are sent.
    """
    if destination in service.destinations:
        raise click.ClickException(f"{destination} has its settings: `deliver` sends what is due")
    now, count = int(service.clock()), 0
    give_up = functools.partial(dead_letter_queue.give_up, destination=destination, now=now)
    while page := service.store.commit(give_up):
        count += page
    # At a level that no usual setting hides.
    logger.warning("%s to %s given up: %s", plural(count, "event"), destination, outbox.NO_SETTINGS)
    click.echo(f"{plural(count, 'event')} to {destination} given up")


def _deliver_until_stopped(service: Service) -> None:
    # Blocked in every thread and taken up here: a handler that runs right before an event is waited
    # for would not end the wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOP_SIGNALS)
    groups = [service.deliverers(), service.maintenance()]
    for group in groups:
        group.start()
    click.echo(_told_at_start(service))
    signal.sigwait(_STOP_SIGNALS)
    # Another signal ends the wait for what is under way.
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.default_int_handler)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)
    stop_all(groups)
    click.echo("stopped")


def _told_at_start(service: Service) -> str:
    """Returns what goes on until the process is stopped."""
    if service.destinations:
        return f"delivering to {', '.join(service.destinations)} until SIGTERM or Ctrl-C"
    return (
        "report only: figures, retention and alerts go on until SIGTERM or Ctrl-C, and nothing is "
        "sent, as PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID are not both set"
    )


def _deliver_due(service: Service, destination: Destination) -> str:
    """Delivers until no event is due; returns what keeps events from being sent, or ""."""
    deliverer = Deliverer(service.store, destination, service.clock)
    tried = 0
    while True:
        count = deliverer.deliver()
        tried += count
        with service.store.read() as conn:
            obstacle = _obstacle(conn, destination, int(service.clock()))
            is_due = claims.has_due(conn, destination.name, int(service.clock()))
        if obstacle or not is_due:
            break
        if not count:
            time.sleep(_RATE_LIMIT_POLL)
    with service.store.read() as conn:
        waiting, dead = (_open(conn, state, destination.name) for state in ("waiting", "dead"))
    click.echo(f"{destination.name}: {tried} tried, {waiting} waiting, {dead} dead")
    return obstacle


def _obstacle(conn: Connection, destination: Destination, now: int) -> str:
    for account in accounts.list_all(conn):
        if account.destination != destination.name:
            continue
        if account.is_paused(now):
            until = instant(account.paused_until)
            return f"{destination.name} is paused until {until}: {account.pause_reason}"
        if not Breaker(account.failures, account.opened).allowance(destination.max_batch, now):
            failures = plural(account.failures, "call")
            return f"{destination.name} does not answer: {failures} failed in a row"
    return ""


def _open(conn: Connection, state: str, destination: str) -> int:
    rows = metrics.open_events(conn, state)
    return sum(row.events for row in rows if row.destination == destination)


@click.command("dead-letters")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@click.option("--show", "shown", metavar="EVENT", help="Print one event, and every answer to it.")
@click.option(
    *("--discard", "discarded"), multiple=True, metavar="EVENT", help="Give this event up for good."
)
@click.option("--discard-all", "discards_all", is_flag=True, help="Give all of them up for good.")
@with_service
def dead_letters(
    service: Service, limit: int, shown: str | None, discarded: tuple[str, ...], discards_all: bool
) -> None:
    """List the events that were refused or expired, and why; or give them up."""
    only_one(show=shown is not None, discard=discarded, discard_all=discards_all)
    if shown is not None:
        _show(service, shown)
    elif discarded or discards_all:
        if not all(discarded):
            raise click.UsageError("--discard: the id of an event is missing")
        count = sum(_discard(service, event_id) for event_id in discarded or [""])
        click.echo(f"{plural(count, 'dead letter')} discarded")
    else:
        _list(service, limit)


def _list(service: Service, limit: int) -> None:
    with service.store.read() as conn:
        rows = dead_letter_queue.dead(conn, most=limit + 1)
    if not rows:
        click.echo("no dead letters")
        return
    columns = {"event": "<", "to": "<", "of": "<", "attempts": ">", "reason": "<"}
    click.echo(table(columns, [_dead_letter(row) for row in rows[:limit]]))
    if len(rows) > limit:
        click.echo(f"… and more: --limit {limit * 10} shows them")


def _dead_letter(row: DeadLetter) -> tuple[object, ...]:
    return row.event_id, row.destination, instant(row.event_time), row.attempts, row.reason


def _show(service: Service, event_id: str) -> None:
    own_id = own_event_id(service.store, event_id)
    with service.store.read() as conn:
        letters = [row for row in outbox.of_event(conn, own_id) if row.state == "dead"]
        tried = attempts.of_event(conn, own_id)
    if not letters:
        raise click.ClickException(f"{event_id} is no dead letter")
    for letter in letters:
        click.echo(f"{own_id} to {letter.destination}: {printable(letter.reason)}")
        for each in tried:
            if each.destination == letter.destination:
                click.echo(f"{instant(each.at)} {each.outcome}: {printable(each.detail)}")
        if letter.payload:
            click.echo(json.dumps(json.loads(letter.payload), indent=2))


def _discard(service: Service, event_id: str) -> int:
    """Discards the dead letters of an event, or all of them for ""; returns how many there were.

    Raises:
        click.ClickException: the event is no dead letter.
    """
    now, own_id, count = int(service.clock()), own_event_id(service.store, event_id), 0
    while rows := service.store.commit(
        functools.partial(dead_letter_queue.discard, now=now, event_id=own_id)
    ):
        count += len(rows)
        for row in rows:
            # At a level that no usual setting hides.
            logger.warning(
                "dead letter %s to %s discarded, of %s: %s",
                *(row.event_id, row.destination, instant(row.event_time), row.reason),
            )
    if event_id and not count:
        raise click.ClickException(f"{event_id} is no dead letter")
    return count


@click.command()
@click.option("--event-id", default="", help="Only this one, by its own id or the one sent.")
@click.option("--late", is_flag=True, help="Purchases too that count beside the app's own by now.")
@with_service
def replay(service: Service, event_id: str, late: bool) -> None:
    """Put dead letters back in line, as far as Pinterest still takes events of their age."""
    now = int(service.clock())
    count = replay_dead_letters(service.store, now, event_id, late=late)
    oldest = oldest_replayed(now)
    if event_id and not count:
        own_id = own_event_id(service.store, event_id)
        raise click.ClickException(_why_not_replayed(service, event_id, own_id, oldest))
    click.echo(f"{plural(count, 'dead letter')} put back in line")
    if not event_id:
        _say_what_is_left(service, oldest)


def _say_what_is_left(service: Service, oldest: int) -> None:
    with service.store.read() as conn:
        left = sum(row.events for row in metrics.open_events(conn, "dead"))
        late = dead_letter_queue.count_dead_since(conn, oldest)
    if left - late:
        click.echo(f"{left - late} left: their events are older than Pinterest takes")
    if late:
        click.echo(f"{late} left: {_COUNTS_TWICE}")


def _why_not_replayed(service: Service, event_id: str, own_id: str, oldest: int) -> str:
    with service.store.read() as conn:
        rows = outbox.of_event(conn, own_id)
    states = {row.state for row in rows}
    if not states:
        return f"no event {event_id} is known here"
    if any(row.state == "dead" and row.event_time > oldest for row in rows):
        return f"{event_id} is over an hour old: {_COUNTS_TWICE}"
    if "dead" in states:
        return f"{event_id} is older than Pinterest takes"
    return f"{event_id} is no dead letter: it is {', '.join(sorted(states))}"
