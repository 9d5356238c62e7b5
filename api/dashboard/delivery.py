"""The delivery page: what waits, was sent or was refused, in the destination's own words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from api.dashboard.charts import LineChart
from api.dashboard.formats import (
    NOTHING,
    count_text,
    destination_title,
    events_unit,
    percent_text,
    time_text,
)
from api.dashboard.order import order_address
from api.dashboard.page import DashboardPage, PageAction, PageContent, PageRequest
from api.dashboard.replays import send_again
from api.dashboard.tables import PageTable, TableColumn, TableForm
from api.dashboard.tiles import Tile
from tracking.deliver.retry import BREAKS_AFTER
from tracking.domain.conversion import REASONS, order_id_of_event
from tracking.domain.durations import duration_text
from tracking.service import Service
from tracking.store import accounts, dead_letter_queue, metrics, quarantine
from tracking.store.accounts import AccountRow
from tracking.store.dead_letter_queue import DeadLetter
from tracking.store.engine.statement import Connection
from tracking.store.metrics import OpenEvents
from webhooks.quarantine_replay import replay_in_background
from webhooks.shopify import Receivers

# Rows of a table; the commands list all.
MOST_ROWS = 200
# Beyond this the newest event becomes an offline one at Pinterest.
LONGEST_WAIT = 3_600
# Tens of thousands of bodies take minutes, for which no browser waits.
_REPLAY_SECONDS = 5.0
_HELD = (
    "Held for now: purchases without a click so far, for SETTLING_MINUTES in case one is told "
    "late, and those that another event may have told of."
)


def _view(asked: PageRequest) -> PageContent:
    service = asked.service
    accuracy = service.reports.accuracy(**asked.span)
    with service.store.read() as conn:
        states = {state: metrics.open_events(conn, state) for state in metrics.OPEN_STATES}
        rows = _destination_rows(conn, asked, states)
        dead = dead_letter_queue.dead(conn, most=MOST_ROWS)
        quarantined = quarantine.page(conn, most=MOST_ROWS)
        bodies = quarantine.count(conn)
    totals = accuracy["totals"]
    tables = [
        _destinations(rows),
        _dead_letters(asked, dead, sum(row.events for row in states["dead"])),
        _quarantine(asked, quarantined, bodies),
        _left_out(totals["left_out"]),
    ]
    chart = _chart(accuracy["days"])
    values = {
        "tiles": [*_tiles(asked, states, bodies), *_order_tiles(totals)],
        "destinations": tables[0],
        "dead_letters": tables[1],
        "quarantine": tables[2],
        "left_out": tables[3],
        "chart": chart,
        "replay": asked.page.address() + "/replay",
        "replay_quarantine": asked.page.address() + "/replay-quarantine",
    }
    return PageContent("delivery.html", values, [*tables, chart.table])


def _tiles(
    asked: PageRequest, states: Mapping[str, Sequence[OpenEvents]], bodies: int
) -> Iterator[Tile]:
    waiting, dead = states["waiting"], sum(row.events for row in states["dead"])
    oldest = min((row.oldest for row in waiting), default=None)
    age = 0 if oldest is None else max(0, int(asked.now) - oldest)
    count = sum(row.events for row in waiting)
    yield Tile("Waiting", count_text(count), events_unit(count))
    yield Tile(
        "Oldest waits",
        NOTHING if oldest is None else duration_text(age),
        note="Pinterest counts it as offline by now" if age > LONGEST_WAIT else "",
        tone="bad" if age > LONGEST_WAIT else "",
    )
    yield Tile(
        "Refused or expired", count_text(dead), events_unit(dead), tone="bad" if dead else ""
    )
    unit = "webhook" if bodies == 1 else "webhooks"
    yield Tile("Not understood", count_text(bodies), unit, tone="bad" if bodies else "")


def _order_tiles(totals: Mapping[str, Any]) -> Iterator[Tile]:
    left_out = sum(totals["left_out"].values())
    share = totals["accuracy"]
    yield Tile("Orders sent", count_text(totals["sent"]), f"of {totals['orders']:,}")
    yield Tile("Left out", count_text(left_out), "for a reason")
    yield Tile("Lost", count_text(totals["lost"]), tone="bad" if totals["lost"] else "")
    accurate = NOTHING if share is None else percent_text(str(share))
    yield Tile("Accuracy", accurate, note="sent, or left out for a reason")


def _destination_rows(
    conn: Connection, asked: PageRequest, states: Mapping[str, Sequence[OpenEvents]]
) -> list[dict[str, Any]]:
    counts = {(row.destination, state): row for state, rows in states.items() for row in rows}
    known = {row.destination: row for row in accounts.list_all(conn)}
    names = dict.fromkeys([*asked.service.destinations, *sorted(name for name, _ in counts)])
    zone = asked.service.settings.shop_timezone
    return [
        {
            "destination": destination_title(name),
            **{state: _events(counts.get((name, state))) for state in metrics.OPEN_STATES},
            "oldest": _oldest(counts.get((name, "waiting")), zone),
            "state": _state(asked, name, known.get(name)),
        }
        for name in names
    ]


def _events(row: OpenEvents | None) -> int:
    return row.events if row else 0


def _oldest(row: OpenEvents | None, zone: Any) -> str:
    return time_text(row.oldest, zone) if row else ""


def _state(asked: PageRequest, name: str, account: AccountRow | None) -> str:
    if name not in asked.service.destinations:
        return "its settings are gone"
    now = int(asked.now)
    if account is not None and account.is_paused(now):
        until = time_text(account.paused_until, asked.service.settings.shop_timezone)
        return f"paused until {until}: {account.pause_reason}"
    if account is not None and account.failures >= BREAKS_AFTER:
        return f"does not answer: {account.failures} calls failed in a row"
    return "sends"


def _destinations(rows: Sequence[Mapping[str, Any]]) -> PageTable:
    columns = [
        TableColumn("destination", "Destination"),
        TableColumn("state", "State"),
        TableColumn("waiting", "Waiting", "count"),
        TableColumn("oldest", "Oldest since", "time"),
        TableColumn("held", "Held for now", "count"),
        TableColumn("dead", "Refused or expired", "count"),
    ]
    empty = "There is nobody to send to: Pinterest's credentials are not set."
    note = _HELD if any(row["held"] for row in rows) else ""
    return PageTable("destinations", "Destinations", columns, rows, empty=empty, note=note)


def _dead_letters(asked: PageRequest, rows: Iterable[DeadLetter], count: int) -> PageTable:
    zone = asked.service.settings.shop_timezone
    shown = [
        {
            "event_id": row.event_id,
            "time": time_text(row.event_time, zone),
            "destination": destination_title(row.destination),
            "attempts": row.attempts,
            "reason": row.reason,
            "order": _order_address(row.event_id),
            "replay": TableForm(
                f"{asked.page.address()}/replay", "Send again", {"event_id": row.event_id}
            ),
        }
        for row in rows
    ]
    columns = [
        TableColumn("event_id", "Event", "code", link=lambda row: str(row["order"])),
        TableColumn("time", "Happened", "time"),
        TableColumn("reason", "Reason"),
        TableColumn("attempts", "Attempts", "count"),
        TableColumn("destination", "To"),
        TableColumn("replay", "Send again", "form"),
    ]
    return PageTable(
        "dead-letters",
        "Refused or expired",
        columns,
        shown,
        empty="Nothing was refused, and nothing expired.",
        note=_cut("events", count, "flask --app app dead-letters"),
    )


def _order_address(event_id: str) -> str:
    order_id = order_id_of_event(event_id)
    return order_address(order_id) if order_id else ""


def _quarantine(asked: PageRequest, rows: Iterable[Any], count: int) -> PageTable:
    zone = asked.service.settings.shop_timezone
    shown = [
        {
            "id": row.id,
            "received": time_text(row.received_at, zone),
            "topic": row.topic,
            "size": row.size,
            "reason": row.reason,
        }
        for row in rows
    ]
    columns = [
        TableColumn("id", "Number"),
        TableColumn("received", "Received", "time"),
        TableColumn("topic", "Topic"),
        TableColumn("reason", "Reason"),
        TableColumn("size", "Bytes", "count"),
    ]
    return PageTable(
        "quarantine",
        "Webhooks that were not understood",
        columns,
        shown,
        empty="Every webhook was understood.",
        note=_cut("webhooks", count, "flask --app app quarantine"),
    )


def _cut(what: str, count: int, command: str) -> str:
    if count <= MOST_ROWS:
        return ""
    return f"The first {MOST_ROWS} of {count:,} {what}; {command} lists all."


def _left_out(reasons: Mapping[str, int]) -> PageTable:
    rows = [
        {"reason": REASONS.get(reason, reason), "orders": orders}
        for reason, orders in sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    ]
    columns = [TableColumn("reason", "Reason"), TableColumn("orders", "Orders", "count")]
    return PageTable(
        "left-out",
        "Orders left out, and why",
        columns,
        rows,
        empty="No order of these days was left out.",
    )


def _chart(days: Sequence[Mapping[str, Any]]) -> LineChart:
    rows = [{**day, "left_out": sum(day["left_out"].values())} for day in days]
    columns = [
        TableColumn("date", "Day"),
        TableColumn("sent", "Sent", "count"),
        TableColumn("left_out", "Left out", "count"),
        TableColumn("lost", "Lost", "count"),
    ]
    table = PageTable("orders-by-day", "Orders by day", columns, rows)
    return LineChart("Orders by day", table, bad="lost")


def _replay(service: Service, form: Mapping[str, str]) -> str:
    return send_again(service, form.get("event_id", ""))


def _replay_quarantine(service: Service, form: Mapping[str, str]) -> str:
    receivers = Receivers(service.tracker, service.privacy)
    done = replay_in_background(service.store, receivers, service.clock, _REPLAY_SECONDS)
    if done is None:
        return (
            "They are being tried, which goes on in the background: this page counts what is left."
        )
    rest = f"; of {done.without_body:,} only the reason was kept" if done.without_body else ""
    return f"{done.released:,} understood and taken in, {done.kept:,} still not understood{rest}."


DELIVERY_PAGE = DashboardPage(
    "delivery",
    "/delivery",
    "Delivery",
    _view,
    actions=(
        PageAction("replay", _replay),
        PageAction("replay-quarantine", _replay_quarantine),
    ),
)
