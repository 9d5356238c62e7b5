"""What an operator types, as `flask --app app …` commands."""

import functools
import json
import logging
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click
from flask import Flask, current_app
from flask.cli import with_appcontext

from commands import files
from commands.doctor import findings
from config import ConfigurationError, Settings, load_env
from tracking.clients import shopify_admin
from tracking.clients.outcome import GIVE_UP_AFTER, Breaker
from tracking.clients.pinterest_ads import MOST_DAYS, missing
from tracking.deliver.deliverer import Deliverer
from tracking.destinations import Destination
from tracking.domain.validation import Invalid
from tracking.operate.webhook_subscriptions import COMPLIANCE, Subscribed, subscribe
from tracking.receive.privacy.data_export import kept_about
from tracking.receive.privacy.requests import ANSWER_DAYS, DATA_REQUEST
from tracking.receive.reconcile import RECENT_DAYS, Counted, Finding, Reconciler, since_of
from tracking.receive.spend.sync import Busy, Incomplete, Synced
from tracking.report.reports import instant
from tracking.report.roi import spend_text
from tracking.service import Service, open_service
from tracking.store import (
    Store,
    StoreUnavailable,
    backup,
    open_store,
    outbox,
    privacy_requests,
    quarantine,
)
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.engine.statement import Connection, Row
from webhooks.shopify import TOPICS

if TYPE_CHECKING:
    from commands.demo import Section

DAY = 86_400
_PAGE = 100
# A little less than Docker waits before it kills.
_STOP_SECONDS = 9.0
_RATE_LIMIT_POLL = 0.1


def register(app: Flask) -> None:
    """Make every command known to `flask --app app`."""
    for command in COMMANDS:
        app.cli.add_command(command)


def _table(columns: Mapping[str, str], rows: Sequence[Sequence[object]]) -> str:
    """Rows under their titles; each title comes with its side: "<" for words, ">" for numbers."""
    cells = [list(columns), *([str(cell) for cell in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(f"{c:{s}{w}}" for c, s, w in zip(row, columns.values(), widths, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _plural(count: int, noun: str) -> str:
    """ "1 event", "2 events"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


@contextmanager
def _opened() -> Iterator[Service]:
    """The app's own service, or for this one command the one the environment describes.

    Raises:
        click.ClickException: it cannot be opened; one line says why.
    """
    known = current_app.extensions.get("service")
    if known is not None:
        yield known
        return
    service = _from_environment()
    with ExitStack() as closed:
        closed.enter_context(closing(service.store))
        for destination in service.destinations.values():
            closed.enter_context(closing(destination))
        yield service


def _from_environment() -> Service:
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
        raise click.ClickException(f"the service cannot be opened: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    """What an error says, without the hints that drivers add."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def _with_service(command: Callable[..., None]) -> Callable[..., None]:
    """Hand the command its service; what can go wrong with it becomes one line."""

    @with_appcontext
    @functools.wraps(command)
    def run(**options: Any) -> None:
        with _opened() as service:
            try:
                command(service, **options)
            except (Invalid, StoreUnavailable, backup.NoBackup) as error:
                raise click.ClickException(_first_line(error)) from error

    return run


@click.command()
@click.option("--serve", is_flag=True, help="Stay up until Ctrl-C, to look around.")
@click.option("--port", type=click.IntRange(1, 65_535), help="Port to listen on; any free one.")
@click.option("--database-url", help="An empty database to use instead of a temporary file.")
def demo(serve: bool, port: int | None, database_url: str | None) -> None:
    """A made-up shop's day through the real service, with a local stand-in for Pinterest."""
    # Its stand-in belongs to the tests, which the service itself does without.
    from commands.demo import NoDemo, played

    began = time.monotonic()
    click.echo("A made-up shop's day. Nothing here is real, and nothing leaves this machine.")
    try:
        with _terminable(), played(port, database_url) as day:
            for section in day.sections:
                _tell(section)
            click.echo(f"\nAll of it took {time.monotonic() - began:.0f} s.")
            if serve:
                _stay(day.addresses)
    except NoDemo as error:
        raise click.ClickException(str(error)) from error
    click.echo("Everything is stopped" + ("." if database_url else " and removed."))
    if not serve:
        click.echo("To look around in it: flask --app app demo --serve")


def _tell(section: "Section") -> None:
    parts = [section.title, section.remark]
    if section.rows:
        parts.insert(1, _table(section.columns, section.rows))
    click.echo("\n" + "\n\n".join(filter(None, parts)))


def _stay(addresses: Iterable[str]) -> None:
    # Once it is said that Ctrl-C ends it, that is no abort any more.
    with suppress(KeyboardInterrupt):
        click.echo("\nStill up until Ctrl-C. The reports want the token:\n")
        for address in addresses:
            click.echo(f"  {address}")
        threading.Event().wait()


@contextmanager
def _terminable() -> Iterator[None]:
    """Let a polite kill and a closed terminal end things as Ctrl-C does: by cleaning up."""
    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, signal.default_int_handler) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


@click.command()
@with_appcontext
def doctor() -> None:
    """Look the service over; exit code 1 if something needs a hand."""
    # It would tell of every failed attempt to connect; the finding tells it once.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    found = list(findings(current_app.extensions.get("service")))
    click.echo(_table({"": "<", "what": "<", "found": "<"}, found))
    if any(finding.needs_hand for finding in found):
        raise SystemExit(1)


@click.command()
@click.option("--watch", is_flag=True, help="Go on until SIGTERM or Ctrl-C.")
@_with_service
def deliver(service: Service, watch: bool) -> None:
    """Send what is due, until nothing is; or go on sending with --watch."""
    if not service.destinations:
        raise click.ClickException(
            "nobody to deliver to: set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID"
        )
    if watch:
        _deliver_until_told(service)
        return
    obstacles = [_deliver_due(service, each) for each in service.destinations.values()]
    if any(obstacles):
        raise click.ClickException("; ".join(filter(None, obstacles)))


def _deliver_until_told(service: Service) -> None:
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    deliverers = service.deliverers()
    deliverers.start()
    click.echo(f"delivering to {', '.join(service.destinations)} until SIGTERM or Ctrl-C")
    told.wait()
    deliverers.stop(_STOP_SECONDS)
    click.echo("stopped")


def _deliver_due(service: Service, destination: Destination) -> str:
    """Deliver until nothing is due; the words for what stands in the way, if something does."""
    deliverer = Deliverer(service.store, destination, service.clock)
    tried = 0
    while True:
        count = deliverer.deliver()
        tried += count
        with service.store.read() as conn:
            obstacle = _obstacle(conn, destination, int(service.clock()))
            is_due = outbox.has_due(conn, destination.name, int(service.clock()))
        if obstacle or not is_due:
            break
        if not count:
            time.sleep(_RATE_LIMIT_POLL)
    left = _states(service.store, destination.name)
    waiting, dead = left.get("waiting", 0), left.get("dead", 0)
    click.echo(f"{destination.name}: {tried} tried, {waiting} waiting, {dead} dead")
    return obstacle


def _obstacle(conn: Connection, destination: Destination, now: int) -> str:
    for account in outbox.all_accounts(conn):
        if account.destination != destination.name:
            continue
        if account.paused_until > now:
            until = instant(account.paused_until)
            return f"{destination.name} is paused until {until}: {account.pause_reason}"
        if not Breaker(account.failures, account.opened).room(destination.max_batch, now):
            failures = _plural(account.failures, "call")
            return f"{destination.name} does not answer: {failures} failed in a row"
    return ""


def _states(store: Store, destination: str) -> dict[str, int]:
    with store.read() as conn:
        return {r.state: r.events for r in outbox.states(conn) if r.destination == destination}


@click.command("dead-letters")
@click.option("--limit", type=click.IntRange(1, 100_000), default=100, show_default=True)
@_with_service
def dead_letters(service: Service, limit: int) -> None:
    """List the events that were refused or expired, and why."""
    with service.store.read() as conn:
        rows = outbox.dead(conn, most=limit + 1)
    if not rows:
        click.echo("no dead letters")
        return
    columns = {"event": "<", "to": "<", "of": "<", "attempts": ">", "reason": "<"}
    click.echo(_table(columns, [_dead_letter(row) for row in rows[:limit]]))
    if len(rows) > limit:
        click.echo(f"… and more: --limit {limit * 10} shows them")


def _dead_letter(row: Row) -> tuple[object, ...]:
    return row.event_id, row.destination, instant(row.event_time), row.attempts, row.reason


@click.command()
@click.option("--event-id", default="", help="Only this one.")
@_with_service
def replay(service: Service, event_id: str) -> None:
    """Put dead letters back in line, as far as Pinterest still takes events of their age."""
    now = int(service.clock())
    count = service.store.commit(
        lambda conn: outbox.replay(conn, now, now - GIVE_UP_AFTER, event_id)
    )
    if event_id and not count:
        raise click.ClickException(_why_not_replayed(service, event_id))
    with service.store.read() as conn:
        left = sum(row.events for row in outbox.states(conn) if row.state == "dead")
    click.echo(f"{_plural(count, 'dead letter')} put back in line")
    if left and not event_id:
        click.echo(f"{left} left: their events are older than Pinterest takes")


def _why_not_replayed(service: Service, event_id: str) -> str:
    with service.store.read() as conn:
        states = {row.state for row in outbox.of_event(conn, event_id)}
    if not states:
        return f"no event {event_id} is known here"
    if "dead" in states:
        return f"{event_id} is older than Pinterest takes"
    return f"{event_id} is no dead letter: it is {', '.join(sorted(states))}"


@click.command("quarantine")
@click.option("--replay", "replays", is_flag=True, help="Try to understand them once more.")
@_with_service
def quarantine_(service: Service, replays: bool) -> None:
    """List the signed bodies that could not be understood, or try them again."""
    if replays:
        _replay_quarantine(service)
        return
    rows = list(_pages(service, quarantine.page))
    if not rows:
        click.echo("nothing in quarantine")
        return
    columns = {"id": ">", "received": "<", "topic": "<", "bytes": ">", "reason": "<"}
    listed = [(r.id, instant(r.received_at), r.topic, r.size, r.reason) for r in rows]
    click.echo(_table(columns, listed))


def _replay_quarantine(service: Service) -> None:
    kept = released = 0
    for row in _pages(service, quarantine.bodies):
        if _is_understood(service, row):
            now = int(service.clock())
            service.store.commit(functools.partial(quarantine.release, id=row.id, now=now))
            released += 1
        else:
            kept += 1
    click.echo(f"{released} understood and released, {kept} kept")


def _is_understood(service: Service, row: Row) -> bool:
    handler = TOPICS.get(row.topic)
    if handler is None:
        return False
    try:
        return handler(service.tracker, bytes(row.body), row.topic).status != "quarantined"
    except StoreUnavailable:
        raise
    except Exception as error:
        # One body must not keep the others; it stays where it is.
        click.echo(f"{row.id} still fails: {type(error).__name__}", err=True)
        return False


def _pages(service: Service, page: Callable[[Connection, int, int], list[Row]]) -> Iterator[Row]:
    """All rows, read page by page, so that none of the reading lasts while they are handled."""
    last = 0
    while True:
        with service.store.read() as conn:
            rows = page(conn, last, _PAGE)
        if not rows:
            return
        yield from rows
        last = rows[-1].id


@click.command()
@_with_service
def purge(service: Service) -> None:
    """Forget what is too old now; by itself this happens four times a day."""
    for kind, count, days in service.purging.purge():
        click.echo(f"{kind}: {count} older than {_plural(days, 'day')} forgotten")


@click.command("data-requests")
@click.option("--export", "file", type=click.File("wb", lazy=True), help="Write the answer here.")
@click.option("--id", "number", type=int, help="The request to answer; the oldest open one.")
@_with_service
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
    click.echo(_table(columns, listed))


def _export(service: Service, file: BinaryIO, rows: Sequence[Row], number: int | None) -> None:
    open_ones = privacy_requests.open_of(rows)
    wanted = open_ones if number is None else [row for row in rows if row.id == number]
    row = next(iter(wanted), None)
    if row is None:
        raise click.ClickException("no such request" if number else "no open requests")
    with service.store.read() as conn:
        kept = kept_about(conn, row.links.split(), row.orders.split())
    now = int(service.clock())
    head = {"request": row.asked_as, "received": instant(row.received_at), "told": instant(now)}
    file.write(json.dumps({**head, **kept}, indent=2).encode() + b"\n")
    file.close()
    service.store.commit(functools.partial(privacy_requests.answer, id=row.id, now=now))
    orders = _plural(len(kept["orders"]), "order")
    click.echo(f"{file.name}: request {row.id} with {orders}; hand it over and delete it")


@click.command("import-spend")
@click.argument("file", type=click.File("rb"))
@_with_service
def import_spend(service: Service, file: BinaryIO) -> None:
    """Take in ad spend from a CSV file: date, campaign_id, spend, currency[, campaign]."""
    click.echo(f"{_plural(service.spending.take_csv(file.read()), 'row')} of spend stored")


@click.command("import-events")
@click.argument(
    "file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True)
)
@click.option("--test", "tries", is_flag=True, help="Show it to Pinterest and store nothing.")
@click.option("--dry-run", is_flag=True, help="Only read it.")
@click.option("--skip-invalid", is_flag=True, help="Write to FILE.refused.csv what cannot be used.")
@click.option("--stop-on-invalid", is_flag=True, help="Take in what comes before the first fault.")
@click.option(
    "--batch-size",
    type=click.IntRange(1, 10_000),
    help="How many to store at a time; by default as many as take half a second.",
)
@_with_service
def import_events(
    service: Service,
    file: Path,
    tries: bool,
    dry_run: bool,
    skip_invalid: bool,
    stop_on_invalid: bool,
    batch_size: int | None,
) -> None:
    """Take in events or orders of the last seven days from FILE, or from - for standard input.

    CSV or JSON lines, also with gzip: rows of events, or Shopify's own export of orders. Without
    an option nothing is stored unless all of FILE fits. A file may be taken in again at any time.
    """
    if tries + dry_run + skip_invalid + stop_on_invalid > 1:
        raise click.UsageError("give one of --test, --dry-run, --skip-invalid, --stop-on-invalid")
    if tries:
        files.try_events(service, file)
        return
    on_fault: files.OnFault = "skip" if skip_invalid else "stop" if stop_on_invalid else "check"
    with _terminable():
        files.import_events(service, file, on_fault, batch_size, dry_run=dry_run)


@click.command("export")
@click.option(
    "--to", type=click.Path(path_type=Path), required=True, help="A folder, or a FILE.sqlite."
)
@click.option("--start-date", help="First shop day, YYYY-MM-DD.")
@click.option("--end-date", help="Last shop day; without both the last 30 days.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@_with_service
def export(
    service: Service, to: Path, start_date: str | None, end_date: str | None, force: bool
) -> None:
    """Write events, orders, credits and reports to CSV files or to one SQLite file."""
    files.export_files(service, to, start_date, end_date, force=force)


@click.command("sync-spend")
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="First UTC day to read.")
@click.option("--days", type=click.IntRange(1, MOST_DAYS), help="Read so many days, today too.")
@_with_service
def sync_spend(service: Service, since: datetime | None, days: int | None) -> None:
    """Read the ad spend from Pinterest; by itself this happens once an hour."""
    if since is not None and days is not None:
        raise click.UsageError("--since and --days say the same: give one of them")
    if service.spend_sync is None:
        wanted = " and ".join(missing(service.settings))
        raise click.UsageError(f"spend cannot be read from Pinterest: set {wanted}")
    first = since.date() if since else None
    if days is not None:
        first = datetime.fromtimestamp(service.clock(), UTC).date() - timedelta(days - 1)
    try:
        _tell_spend(service.spend_sync.sync(first))
    except Busy as error:
        raise click.ClickException(str(error)) from error
    except Incomplete as error:
        kept = f"{_plural(error.rows, 'row')} stored before that; run it again to go on"
        raise click.ClickException(f"{error} ({kept})") from error


def _tell_spend(synced: Synced) -> None:
    amount = f"{spend_text(synced.micros, synced.currency)} {synced.currency}"
    told = f"{_plural(synced.rows, 'row')} of {_plural(synced.campaigns, 'campaign')}, {amount}"
    click.echo(f"{synced.start} to {synced.end} (UTC days): {told}")
    if synced.unexplained:
        rest = spend_text(synced.unexplained, synced.currency)
        click.echo(f"the account's own total differs by {rest} {synced.currency}", err=True)


@click.command("backup")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_with_service
def backup_(service: Service, file: Path) -> None:
    """Copy the SQLite database to a new FILE while the service goes on."""
    if not isinstance(service.store, SqliteStore):
        raise click.ClickException("this is PostgreSQL: back it up with pg_dump --format=custom")
    size = backup.copy(service.store.path, file)
    click.echo(f"{file}: {size:,} bytes, checked")


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@with_appcontext
def restore(file: Path) -> None:
    """Put a backup in the place of the SQLite database, which is kept; stop the service first."""
    # Not the service itself, which would open the database that is to be replaced.
    try:
        database = _database_file(Settings.from_env(load_env()))
        kept_as = database.with_name(f"{database.name}.before-{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        revision = backup.restore(file, database, kept_as)
    except ConfigurationError as error:
        raise click.ClickException("; ".join(error.problems)) from None
    except backup.NoRestore as error:
        raise click.ClickException(_first_line(error)) from error
    click.echo(f"{database} is {file} now, at schema {revision}, checked")
    if kept_as.exists():
        click.echo(f"what was there before is kept as {kept_as}")
    click.echo("orders since the backup: `flask --app app reconcile` asks Shopify for them")
    click.echo("events sent since then are sent again; Pinterest merges all but offline ones")


def _database_file(settings: Settings) -> Path:
    store = open_store(settings.database_url)
    if not isinstance(store, SqliteStore):
        raise click.ClickException("this is PostgreSQL: bring a dump back with pg_restore --clean")
    return store.path


@contextmanager
def _shops(service: Service) -> Iterator[list[shopify_admin.ShopifyAdmin]]:
    """The Admin API of every shop.

    Raises:
        click.UsageError: it cannot be asked; the message says what to set.
    """
    if lack := shopify_admin.missing(service.settings):
        raise click.UsageError(f"Shopify's Admin API cannot be asked: {lack}")
    with ExitStack() as closed:
        yield [
            closed.enter_context(closing(shopify_admin.ShopifyAdmin(shop, service.clock)))
            for shop in service.shops
        ]


@click.command()
@click.option("--since", default="2d", show_default=True, help="2d, 36h, or a day of the shop's.")
@click.option("--dry-run", is_flag=True, help="Tell what is missing, and change nothing.")
@_with_service
def reconcile(service: Service, since: str, dry_run: bool) -> None:
    """Ask Shopify which orders changed, and take in those whose webhooks were lost."""
    first = since_of(since, int(service.clock()), service.settings.shop_timezone)
    if first < service.clock() - RECENT_DAYS * DAY:
        click.echo(
            f"without read_all_orders Shopify shows the orders of {RECENT_DAYS} days", err=True
        )
    left, troubles = 0, []
    with _shops(service) as shops:
        for shop in shops:
            try:
                left += _reconcile(service, shop, first, dry_run)
            except shopify_admin.NotTold as error:
                troubles.append(f"{shop.shop}: {error}")
    if left:
        troubles.append(f"{_plural(left, 'order')} still missing or out of date")
    if troubles:
        raise click.ClickException("; ".join(troubles))


def _reconcile(service: Service, shop: shopify_admin.ShopifyAdmin, since: int, dry: bool) -> int:
    """How many of a shop's orders are not here as they are there, after it was told."""
    reconciler = Reconciler(service.tracker, shop)
    told: list[Finding] = []
    try:
        for finding in reconciler.findings(since, repairs=not dry):
            click.echo(_finding(finding, dry))
            told.append(finding)
    finally:
        # Where Shopify broke off, what was done until then is worth knowing, too.
        left = sum(bool(finding.trouble) for finding in told)
        _tell_counted(shop, since, reconciler.counted, told)
        if not dry:
            click.echo(f"{shop.shop}: {len(told) - left} repaired, {left} left")
    return left


def _tell_counted(
    shop: shopify_admin.ShopifyAdmin, since: int, counted: Counted, told: Sequence[Finding]
) -> None:
    lacks = [finding.lack for finding in told]
    click.echo(
        f"{shop.shop}: {_plural(counted.found, 'order')} changed since {instant(since)}, "
        f"{counted.known} known as they are, {lacks.count('missing')} missing, "
        f"{lacks.count('older')} out of date, {counted.fresh} too fresh to tell"
    )
    if shop.hidden:
        click.echo(f"the app may not see {', '.join(sorted(shop.hidden))}", err=True)


def _finding(finding: Finding, dry: bool) -> str:
    order = f"{finding.name} ({finding.order_id})"
    was = "missing" if finding.lack == "missing" else "out of date"
    if dry:
        return f"{order}: {was}"
    return f"{order}: was {was}, " + (
        f"and still is: {finding.trouble}" if finding.trouble else "taken in"
    )


@click.command("subscribe")
@click.option("--dry-run", is_flag=True, help="Tell what is wrong, and change nothing.")
@_with_service
def subscribe_(service: Service, dry_run: bool) -> None:
    """Have Shopify send this service its webhooks: make the subscriptions, or mend them."""
    settings = service.settings
    if not settings.public_url.startswith("https://"):
        raise click.UsageError("set PUBLIC_URL to the https address that Shopify reaches")
    with _shops(service) as shops:
        if settings.shopify_client_secret.encode() not in (b"", *settings.shopify_webhook_secrets):
            raise click.UsageError(
                "Shopify signs these webhooks with SHOPIFY_CLIENT_SECRET: "
                "add it to SHOPIFY_WEBHOOK_SECRET, separated by a comma"
            )
        wrong = sum([_subscribe(service, shop, dry_run) for shop in shops])
    click.echo(
        f"{', '.join(sorted(COMPLIANCE))}: set in the app's configuration, not here "
        "(compliance_topics)"
    )
    if wrong:
        raise click.ClickException(f"{_plural(wrong, 'subscription')} not as needed")


def _subscribe(service: Service, shop: shopify_admin.ShopifyAdmin, dry: bool) -> int:
    """How many of a shop's subscriptions are not as they should be, after it was told."""
    try:
        checked = subscribe(shop, TOPICS, service.settings.public_url, repairs=not dry)
    except shopify_admin.NotTold as error:
        raise click.ClickException(f"{shop.shop}: {error}") from error
    columns = {"topic": "<", "": "<", "address": "<"}
    click.echo(shop.shop)
    found = checked.topics
    click.echo(_table(columns, [(one.topic, _state(one, dry), one.uri) for one in found]))
    for other in checked.elsewhere:
        click.echo(f"{other.topic} also goes to {other.uri}, which is left as it is")
    return sum(bool(one.trouble) or (dry and one.state != "fine") for one in found)


def _state(one: Subscribed, dry: bool) -> str:
    because = f" ({one.because})" if one.because else ""
    if one.trouble:
        return f"not {one.state}: {one.trouble}"
    return ("to be " if dry and one.state != "fine" else "") + one.state + because


COMMANDS: tuple[click.Command, ...] = (
    demo,
    doctor,
    deliver,
    dead_letters,
    replay,
    quarantine_,
    purge,
    data_requests,
    import_spend,
    import_events,
    export,
    sync_spend,
    backup_,
    restore,
    reconcile,
    subscribe_,
)
