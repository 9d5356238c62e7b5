"""The command `doctor`: checks the service, repairs nothing and reports what must be fixed."""

import logging
import time
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from pathlib import Path

import click
from flask import current_app
from flask.cli import with_appcontext

from commands.findings import Finding
from commands.pinterest_findings import erasures_at_pinterest, pinterest_findings
from commands.shell import plural, table
from commands.shop_findings import shop_findings
from commands.token_findings import token_findings
from commands.webhook_findings import webhook_findings
from config import ConfigurationError, Settings
from tracking.deliver.retry import BREAKS_AFTER
from tracking.destinations import connect_all
from tracking.domain.instants import instant
from tracking.operate.retention import LONGEST_GAP_DAYS
from tracking.service import Service, place_problem, service_of
from tracking.store import (
    Store,
    StoreUnavailable,
    accounts,
    conversions,
    metrics,
    open_store,
    orders,
    outbox,
    pending_erasures,
    privacy_requests,
    quarantine,
    touches,
    why_unreachable,
)
from tracking.store.accounts import AccountRow
from tracking.store.engine import health
from tracking.store.engine.disk_guard import MEGABYTE, free_bytes
from tracking.store.engine.file_locks import is_in_use
from tracking.store.engine.schema_version import SchemaChanged, SchemaMissing, is_sufficient
from tracking.store.engine.sqlite import SqliteStore
from tracking.store.engine.write_ahead_log import protection
from tracking.store.migrations import head, is_known
from tracking.store.pending_erasures import SHOP_REDACT, PendingErasure
from tracking.store.privacy_requests import ANSWER_DAYS, DATA_REQUEST, UNINSTALLED
from tracking.store.values import session_from_json

LEAST_FREE_BYTES = 1024**3
LONGEST_WAIT = 3_600
LONGEST_ERASURE = 86_400
# How many orders, and how far back, are looked at for links with unfilled macros.
NEWEST_ORDERS = 500
NEWEST_SECONDS = 30 * 86_400
NEWEST_VISITS = 1000
# 2026-01-01T00:00:00Z, before the first release: an earlier clock was never set.
FIRST_POSSIBLE_TIME = 1_767_225_600
_CLOCK_TOLERANCE = 60
_SHARED_ID_DAYS = 7
_WITHHELD_DAYS = 30
_DEAD = "; `replay` sends them again, `dead-letters --discard-all` gives them up"
_KEPT = "; `quarantine --replay` tries them again, `quarantine --discard-all` gives them up"


def findings(service: Service | None = None, *, asks: bool = True) -> Iterator[Finding]:
    """Yields the findings on this service, or else on the one that the environment configures.

    Where it `asks`, Pinterest and Shopify are called.
    """
    if service is not None:
        yield from _service_findings(service, asks)
        return
    try:
        settings = Settings.load()
        destinations = connect_all(settings)
    except ConfigurationError as error:
        yield from (Finding("FAIL", "settings", problem) for problem in error.problems)
        return
    # Not `open_service`, which would migrate the database.
    store = open_store(settings.database_url)
    try:
        yield from _service_findings(service_of(settings, store, destinations, time.time), asks)
    finally:
        store.close()


def _service_findings(service: Service, asks: bool) -> Iterator[Finding]:
    yield from _settings_findings(service.settings)
    yield _address_finding(service.settings)
    yield from _sending_findings(service.settings)
    if asks:
        yield from token_findings(service.settings, int(service.clock()))
    yield _app_finding(service.settings)
    yield from shop_findings(service, asks)
    yield from _disk_findings(service.store, service.settings)
    database = list(_database_findings(service.store, service.settings.database_url))
    yield from database
    if database[-1].mark == "ok":
        yield from webhook_findings(service)
        yield from _delivery_findings(service)
        yield from _shared_id_findings(service)
        yield from _withheld_findings(service)
        yield from pinterest_findings(service)
        yield from _link_findings(service)
        yield from _quarantine_findings(service.store)
        yield from _privacy_findings(service)
        yield from _alert_findings(service)
        yield _clock_finding(service)
        if service.retention.is_doubtful():
            text = f"held, as nothing was bought or purged for {LONGEST_GAP_DAYS} days"
            yield Finding("FAIL", "purge", f"{text}: is the clock right? Then `purge` goes on")


def _settings_findings(settings: Settings) -> Iterator[Finding]:
    yield from (Finding("FAIL", "settings", warning) for warning in settings.warnings)
    if not settings.warnings:
        yield Finding("ok", "settings", "understood, and nothing odd among them")
    if not settings.api_tokens:
        yield Finding("note", "reports", "closed until API_TOKEN is set")
    if settings.collector_key and not settings.public_url:
        text = "PUBLIC_URL is not set: /pixel.js takes the collector's address from each request"
        yield Finding("note", "pixel", text)
    if settings.public_url.startswith("https:") and not settings.trusted_proxies:
        text = "PUBLIC_URL tells of one, but TRUSTED_PROXIES is 0: all callers share its address"
        yield Finding("note", "proxy", text)


def _address_finding(settings: Settings) -> Finding:
    if not ip_address(settings.host).is_loopback:
        return Finding("ok", "address", f"{settings.address}, for the networks of this machine")
    if Path("/.dockerenv").exists():
        text = f"{settings.address}, which nobody outside this container reaches: HOST=0.0.0.0"
        return Finding("note", "address", text)
    text = f"{settings.address}, for a proxy on this machine; HOST=0.0.0.0 is for others"
    return Finding("ok", "address", text)


def _sending_findings(settings: Settings) -> Iterator[Finding]:
    if settings.is_report_only:
        text = "report only: orders are recorded and reported, nothing goes to Pinterest"
        yield Finding("note", "sending", text)
    elif not settings.sends_to_pinterest:
        yield Finding("note", "sending", "switched off: PINTEREST_SEND is off")
    else:
        account = settings.pinterest_ad_account_id
        kind = "attributed purchases" if settings.pinterest_send == "attributed" else "every order"
        mode = ", in test mode: Pinterest counts none" if settings.pinterest_test_mode else ""
        yield Finding("ok", "sending", f"{kind} to ad account {account}{mode}")


def _app_finding(settings: Settings) -> Finding:
    """Asks what only the operator can see in the Shopify admin."""
    question = "is Pinterest's sales channel installed in the shop?"
    if not settings.is_beside_app:
        text = f"{question} If so, each purchase counts twice until PINTEREST_APP is beside"
    elif settings.collector_key:
        text = f"{question} If not, set PINTEREST_APP to none: purchases wait for ids in vain"
    else:
        text = f"{question} If so, set COLLECTOR_KEY; if not, set PINTEREST_APP to none"
    return Finding("note", "Pinterest app", text)


def _disk_findings(store: Store, settings: Settings) -> Iterator[Finding]:
    if not isinstance(store, SqliteStore):
        return
    folder = store.path.resolve().parent
    if not folder.is_dir():
        return
    free = free_bytes(folder)
    floor = settings.free_space_floor_mb * MEGABYTE
    mark = "ok" if free >= max(floor, LEAST_FREE_BYTES) else "FAIL"
    text = f"{free / 1024**3:.1f} GiB free in {folder}"
    if free < floor:
        text += "; webhooks are refused until there is more (FREE_SPACE_FLOOR_MB)"
    yield Finding(mark, "disk", text)
    if problem := place_problem(store.path):
        yield Finding("FAIL", "database", problem)
    else:
        yield Finding("ok", "log", protection())


def _database_findings(store: Store, database_url: str) -> Iterator[Finding]:
    """Yields the findings on the database; the last one is "ok" if it can be queried."""
    kind = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[store.dialect]
    if isinstance(store, SqliteStore) and not store.path.is_file():
        if is_in_use(store.path):
            text = f"{store.path} is gone, but a process has it open: put it back, or stop the"
            yield Finding("FAIL", "database", f"{text} service and restore a backup")
            return
        yield Finding("note", "database", f"none yet: the first start makes {store.path}")
        return
    try:
        revision = store.commit(health.revision)
        if revision == head():
            store.commit(health.write)
    except SchemaMissing:
        text = f"no tables in this {kind} database yet: the first start makes them"
        yield Finding("note", "database", text)
        return
    except SchemaChanged as error:
        revision = error.version
    except StoreUnavailable as error:
        reason = why_unreachable(database_url) or str(error).splitlines()[0]
        yield Finding("FAIL", "database", reason)
        return
    if revision == head():
        yield Finding("ok", "database", f"{kind}, writable, at schema {revision}")
    elif is_sufficient(revision):
        text = f"{kind}, at schema {revision} of a newer release, with which this one works"
        yield Finding("ok", "database", text)
    else:
        text = f"{kind} at schema {revision or 'none'}; this release has {head()}"
        yield Finding("FAIL", "database", f"{text}: {_way_to_head(revision)}")


def _way_to_head(revision: str) -> str:
    if not revision or is_known(revision):
        return "a restart of the service brings it up"
    return "a newer release made it: start that one again, or restore a backup of this release's"


def _delivery_findings(service: Service) -> Iterator[Finding]:
    now = int(service.clock())
    with service.store.read() as conn:
        by_name = {row.destination: row for row in accounts.list_all(conn)}
        waiting, held = (
            {row.destination: row.events for row in metrics.open_events(conn, state)}
            for state in ("waiting", "held")
        )
        newest = outbox.newest(conn)
        since = [outbox.waiting_for(conn, name).oldest for name in service.destinations]
    sent = {row.destination: row.sent for row in newest}
    are_all = sum(row.events for row in newest) < outbox.NEWEST_EVENTS
    of_newest = "" if are_all else f" of the newest {outbox.NEWEST_EVENTS:,} events"
    oldest = min((each for each in since if each is not None), default=None)
    for name in service.destinations:
        problem = _problem_of(by_name[name], now) if name in by_name else ""
        text = f"{sent.get(name, 0)} sent{of_newest}, {waiting.get(name, 0)} waiting"
        yield Finding("FAIL" if problem else "ok", name, f"{text}{problem}")
    for name in sorted((waiting.keys() | held.keys()) - service.destinations.keys()):
        left = waiting.get(name, 0) + held.get(name, 0)
        text = f"{left} waiting, but its settings are gone: set again, they are sent;"
        yield Finding("FAIL", name, f"{text} `deliver --give-up {name}` gives them up")
    if oldest is not None and now - oldest > LONGEST_WAIT:
        hours = (now - oldest) // 3_600
        text = f"the oldest event waits for {hours} h: does a deliverer run (DELIVER, deliver)?"
        yield Finding("FAIL", "delivery", text)


def _problem_of(account: AccountRow, now: int) -> str:
    if account.paused_until > now:
        return f"; paused until {instant(account.paused_until)}: {account.pause_reason}"
    if account.failures >= BREAKS_AFTER:
        return f"; it does not answer: {account.failures} calls failed in a row"
    return ""


def _shared_id_findings(service: Service) -> Iterator[Finding]:
    if not service.settings.is_beside_app:
        return
    with service.store.read() as conn:
        found = metrics.shared_ids(conn, int(service.clock()) - _SHARED_ID_DAYS * 86_400)
    text = (
        f"{found.shared} purchases of {_SHARED_ID_DAYS} days sent under the storefront's id, "
        f"{found.own} under their own; {found.missed} ids came too late, {found.taken} are another "
        f"event's, {found.late} events went out late: Pinterest counts these beside its app's own"
    )
    is_doubled = found.missed or found.taken or found.late
    yield Finding("note" if is_doubled else "ok", "event ids", text)


def _withheld_findings(service: Service) -> Iterator[Finding]:
    """Yields how many of the last days' orders were not sent, for each reason that may end."""
    found = service.comparison.withheld(_WITHHELD_DAYS)
    for each in found["reasons"]:
        if each["remedy"]:
            orders = plural(each["orders"], "order")
            text = f"{orders} of {_WITHHELD_DAYS} days: {each['text']}"
            yield Finding("note", "not sent", f"{text} {each['remedy']}")


def _link_findings(service: Service) -> Iterator[Finding]:
    since = int(service.clock()) - NEWEST_SECONDS
    with service.store.read() as conn:
        texts = orders.newest_sessions(conn, since, NEWEST_ORDERS)
        of_visits = touches.unfilled_links(conn, since, NEWEST_VISITS)
    of_orders = [unfilled for text in texts if (unfilled := session_from_json(text).unfilled)]
    parameters = ", ".join(sorted({n for names in of_orders + of_visits for n in names.split()}))
    advice = (
        f"({parameters}), which are no campaign: correct the URL parameters of the ad at Pinterest"
    )
    if of_orders:
        text = f"{len(of_orders)} of the newest {len(texts)} orders came by a link with"
        yield Finding("note", "links", f"{text} unfilled macros {advice}")
    if of_visits:
        many = "or more " if len(of_visits) == NEWEST_VISITS else ""
        text = f"{len(of_visits)} {many}visits of 30 days that the pixel told came by a link with"
        yield Finding("note", "links", f"{text} unfilled macros {advice}")


def _quarantine_findings(store: Store) -> Iterator[Finding]:
    with store.read() as conn:
        dead = sum(row.events for row in metrics.open_events(conn, "dead"))
        kept = quarantine.count(conn)
    text = (
        f"{dead} refused or expired; `flask --app app dead-letters` tells why{_DEAD}"
        if dead
        else "none"
    )
    yield Finding("FAIL" if dead else "ok", "dead letters", text)
    text = f"{kept} not understood; `flask --app app quarantine` tells why{_KEPT}"
    text = text if kept else "empty"
    yield Finding("FAIL" if kept else "ok", "quarantine", text)


def _privacy_findings(service: Service) -> Iterator[Finding]:
    with service.store.read() as conn:
        asked = privacy_requests.open_of(privacy_requests.of_topic(conn, DATA_REQUEST))
        gone = privacy_requests.of_topic(conn, UNINSTALLED)
        newest = conversions.last_recorded(conn) or 0
        erasures = pending_erasures.list_all(conn)
    yield from (_erasure_finding(row, int(service.clock())) for row in erasures)
    yield from erasures_at_pinterest(service)
    if asked:
        until = instant(asked[0].received_at + ANSWER_DAYS * 86_400)
        text = f"{len(asked)} to answer, the first until {until}: data-requests lists them"
        yield Finding("FAIL", "data requests", text)
    if gone and gone[-1].received_at >= newest:
        text = f"uninstalled at {instant(gone[-1].received_at)}, and nothing came since"
        yield Finding("note", "app", text)


def _erasure_finding(row: PendingErasure, now: int) -> Finding:
    received = instant(row.received_at)
    if row.is_held:
        text = (
            f"{row.topic} of {row.asked_as}, received at {received}, is held, as orders came in"
            f" until then: `flask --app app privacy --confirm {row.id}` erases every person, and"
            f" so does time at {instant(row.due_at)}; --drop {row.id} forgets it"
        )
        return Finding("FAIL", "erasure", text)
    is_late = now - row.received_at > LONGEST_ERASURE
    if row.topic == SHOP_REDACT:
        text = f"every person is being erased, by the {row.topic} received at {received}"
    elif row.is_searching:
        text = f"quarantined bodies are searched for a person erased at {received}"
    else:
        text = f"a person is being erased, by the {row.topic} received at {received}"
    late = ": does the service run?" if is_late else ""
    return Finding("FAIL" if is_late else "note", "erasure", f"{text}{late}")


def _alert_findings(service: Service) -> Iterator[Finding]:
    standing, count = service.alerts.standing(), len(service.alerts.addresses)
    if standing:
        titles = ", ".join(alert.title for alert in standing)
        yield Finding("note", "alerts", f"{titles}: `flask --app app alerts` says what to do")
    for failure in service.alerts.failures():
        yield Finding("FAIL", "alerts", f"not sent, {failure}; `alerts --test` tries them")
    if not count:
        text = "nobody is told when something breaks: set ALERT_URLS, and try `alerts --test`"
        yield Finding("note", "alerts", text)
    elif not standing:
        yield Finding(
            "ok", "alerts", f"none; {plural(count, 'address', 'addresses')} would be told"
        )


def _clock_finding(service: Service) -> Finding:
    now = service.clock()
    with service.store.read() as conn:
        newest = conversions.last_recorded(conn)
    if now < FIRST_POSSIBLE_TIME:
        return Finding("FAIL", "clock", f"{instant(int(now))} cannot be: it was never set")
    if newest is not None and newest > now + _CLOCK_TOLERANCE:
        text = f"{instant(int(now))}, but an event was recorded at {instant(newest)}"
        return Finding("FAIL", "clock", text)
    zone = service.settings.shop_timezone
    there = datetime.fromtimestamp(now, zone).strftime("%Y-%m-%d %H:%M")
    return Finding("ok", "clock", f"{instant(int(now))}, in the shop ({zone.key}) {there}")


@click.command()
@click.option("--offline", is_flag=True, help="Ask neither Pinterest nor Shopify.")
@with_appcontext
def doctor(offline: bool) -> None:
    """Check the service; exit code 1 if a finding is marked FAIL."""
    # The pool logs every failed attempt to connect; the finding reports it once.
    logging.getLogger("psycopg.pool").setLevel(logging.CRITICAL)
    found = list(findings(current_app.extensions.get("service"), asks=not offline))
    click.echo(table({"": "<", "what": "<", "found": "<"}, found))
    if any(finding.is_failure for finding in found):
        raise SystemExit(1)
