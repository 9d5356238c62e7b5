"""A made-up shop's day through the real service, with a local stand-in for Pinterest.

It needs no settings, and nothing leaves this machine. The service runs under gunicorn as in
production and receives orders by signed webhooks; only Pinterest is replaced.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from commands.demo.month import contacts_of
from commands.demo.service import DemoService, run_service
from commands.demo.shop import (
    LATER_ID,
    SOURCES,
    Body,
    Scene,
    after_delivery,
    before_delivery,
    orders_in,
    orders_of,
    pixel_calls,
)
from server.login_links import login_path
from tracking.domain.conversion import REASONS

_PARTS = {
    "days": "on other days, as Pinterest's are UTC",
    "not_sent": "not sent, such as without consent",
    "undelivered": "not delivered: dead letters",
    "refunded_since": "given back since",
    "value_sent": "sent with another value",
    "views": "after views that only Pinterest knows",
    "not_explained": "not explained",
}


class Section(NamedTuple):
    """A title, a table with titles and sides ("<" or ">") of its columns, and a remark."""

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[object]]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class DayResult:
    """The printed sections, and the addresses of the service while it runs."""

    sections: tuple[Section, ...]
    addresses: tuple[str, ...]


@contextmanager
def run_day(port: int | None, database_url: str | None) -> Iterator[DayResult]:
    """Runs the day and yields its result; the service runs until the context ends.

    Raises:
        DemoError: the service cannot run or failed.
    """
    with run_service(port, database_url) as service:
        now = int(time.time())
        before = _Before(_newest_event(service), len(service.pinterest.accepted))
        orders = orders_of(SOURCES, now)
        pixel_events = sum(
            service.post_pixel_call(call, f"198.51.100.{number}")
            for number, call in enumerate(pixel_calls(now), 1)
        )
        scenes = before_delivery(orders, now)
        service.pinterest.knows(contacts_of(orders_in(scenes)))
        answers = [_answers(service, scene) for scene in scenes]
        service.wait_for_delivery()
        answers += [_answers(service, scene) for scene in after_delivery(orders, int(time.time()))]
        answers += [_forged_answer(service, orders[0])]
        service.wait_for_delivery()
        service.sync_pinterest()
        webhooks = {"what": "<", "webhooks": ">", "answered": "<"}
        yield DayResult(
            sections=(
                Section("What Shopify told, and what it was answered", webhooks, answers),
                _events(service, pixel_events, before),
                _funnel(service.get_report("/conversion-funnel")),
                _roi(service.get_report("/roi-analysis")),
                _difference(service.get_report("/comparison")["totals"]),
                _journey(service),
            ),
            addresses=_addresses(service),
        )


def _answers(service: DemoService, scene: Scene) -> tuple[str, int, str]:
    answers = Counter(service.post_webhook(topic, body) for topic, body in scene.webhooks)
    words = ", ".join(f"{count} {answer}" for answer, count in answers.items())
    return scene.title, len(scene.webhooks), words


def _forged_answer(service: DemoService, body: Body) -> tuple[str, int, str]:
    answer = service.post_webhook("orders/create", body, key="somebody else's")
    return "an order with a wrong signature", 1, f"1 refused ({answer})"


class _Before(NamedTuple):
    """The id of the last event of the month before, and how many of its events were accepted."""

    newest: int
    accepted: int


def _newest_event(service: DemoService) -> int:
    newest, after = 0, 0
    while after is not None:
        page = service.get_report("/events", limit="1000", after=str(after))
        newest, after = page["events"][-1]["id"], page["next"]
    return newest


def _events(service: DemoService, pixel_events: int, before: _Before) -> Section:
    events = service.get_report("/events", limit="1000", after=str(before.newest))["events"]
    fates = Counter(_fate(event) for event in events)
    received = service.pinterest.summary()
    return Section(
        f"What became of them, and of {pixel_events} storefront events that the pixel told of",
        {"events": ">", "fate": "<"},
        [(count, fate) for fate, count in fates.most_common()],
        f"The stand-in for Pinterest took {received['accepted'] - before.accepted} events, "
        f"{received['accepted_twice'] or 'none'} of them twice.",
    )


def _fate(event: Mapping[str, Any]) -> str:
    reason = event["reason"]
    return f"not sent: {REASONS[reason]}" if reason else str(event["state"])


def _funnel(found: Mapping[str, Any]) -> Section:
    return Section(
        "From the first look to the purchase, of those whom Pinterest brought",
        {"stage": "<", "events": ">", "visitors": ">", "of those before": ">"},
        [
            (s["stage"], s["events"], s["visitors"], s["rate_from_previous"] or "")
            for s in found["stages"]
        ],
        f"Conversion rate: {found['conversion_rate']}",
    )


def _roi(found: Mapping[str, Any]) -> Section:
    totals = {
        "campaign": "all orders",
        "revenue": found["total_revenue"],
        "spend": found["total_spend"],
    }
    names = ("campaign", "orders", "revenue", "spend", "roas", "roi", "cpa")
    return Section(
        f"What it brought, in {found['currency']}, by {found['model']}",
        {"campaign": "<"}
        | dict.fromkeys(("orders", "revenue", "spend", "ROAS", "ROI", "CPA"), ">"),
        [
            ["" if line[name] is None else line[name] for name in names]
            for line in (*found["campaigns"], {**found, **totals})
        ],
        f"Revenue is {found['gross_revenue']} gross, less {found['refunds']} refunded and "
        f"{found['cancellations']} cancelled.\nROAS, ROI and CPA weigh the spend against what "
        "Pinterest earned, not against orders that came by themselves.",
    )


def _difference(totals: Mapping[str, Any]) -> Section:
    pinterest, credited = totals["pinterest"], totals["credited"]
    parts = [
        (_PARTS[part["part"]], part["orders"].partition(".")[0], part["value"])
        for part in totals["difference"]["parts"]
        if float(part["orders"]) or float(part["value"]) or part["part"] == "not_explained"
    ]
    return Section(
        "Why Pinterest's own figures are others",
        {"what": "<", "orders": ">", "value": ">"},
        [
            ("credited here", credited["orders"].partition(".")[0], credited["value"]),
            *parts,
            ("Pinterest says", pinterest["orders"], pinterest["value"]),
        ],
    )


def _journey(service: DemoService) -> Section:
    found = service.get_report(f"/orders/{LATER_ID}/journey")
    return Section(
        f"Why, for example order {found['name']}, placed directly?", {}, (), found["why"]
    )


def _addresses(service: DemoService) -> tuple[str, ...]:
    paths = (
        "roi-analysis",
        "comparison",
        "conversion-funnel?traffic=all",
        f"orders/{LATER_ID}/journey",
        "events?limit=5",
    )
    link = login_path(service.token.encode(), time.time())
    return (
        f"{service.address}{link}",
        "(the dashboard: the link opens it once, within ten minutes; later the token does)",
        *(
            f"curl -H 'Authorization: Bearer {service.token}' '{service.address}/{path}'"
            for path in paths
        ),
        f"{service.address}/openapi.json (every endpoint)",
        f"{service.pinterest.url.removesuffix('/v5')}/_control (the stand-in's side)",
    )
