"""A made-up shop's day through the real service, with a local stand-in for Pinterest.

Nothing needs to be configured and nothing leaves this machine. The service runs as it does in
earnest, under gunicorn, and hears of orders by signed webhooks; only Pinterest is played.
"""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple

from commands.demo.service import Running, running
from commands.demo.shop import (
    LATER_ID,
    SOURCES,
    Body,
    Scene,
    after_delivery,
    before_delivery,
    orders_of,
    spend_rows,
    visits,
)
from tracking.domain.conversion import REASONS

# --- The service, run as in earnest


# --- What there is to tell


class Section(NamedTuple):
    """A title, a table with titles and sides ("<" or ">") of its columns, and a remark."""

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[object]]
    remark: str = ""


@dataclass(frozen=True, slots=True)
class Day:
    """What came of it, and where to look while the service is still up."""

    sections: tuple[Section, ...]
    addresses: tuple[str, ...]


@contextmanager
def played(port: int | None, database_url: str | None) -> Iterator[Day]:
    """Play the day; what came of it, with the service still up until the end.

    Raises:
        NoDemo: it cannot run, or the service did not do its part.
    """
    with running(port, database_url) as service:
        now = int(time.time())
        orders = orders_of(SOURCES, now)
        seen = sum(
            service.sees(call, f"198.51.100.{number}") for number, call in enumerate(visits(now), 1)
        )
        service.spends(spend_rows(datetime.now(UTC)))
        answers = [_answers(service, scene) for scene in before_delivery(orders, now)]
        service.wait_for_delivery()
        answers += [_answers(service, scene) for scene in after_delivery(orders, int(time.time()))]
        answers += [_forged(service, orders[0])]
        service.wait_for_delivery()
        webhooks = {"what": "<", "webhooks": ">", "answered": "<"}
        yield Day(
            sections=(
                Section("What Shopify told, and what it was answered", webhooks, answers),
                _events(service, seen),
                _funnel(service.reads("/conversion-funnel")),
                _roi(service.reads("/roi-analysis")),
                _journey(service),
            ),
            addresses=_addresses(service),
        )


def _answers(service: Running, scene: Scene) -> tuple[str, int, str]:
    answers = Counter(service.sends(topic, body) for topic, body in scene.webhooks)
    words = ", ".join(f"{count} {answer}" for answer, count in answers.items())
    return scene.title, len(scene.webhooks), words


def _forged(service: Running, body: Body) -> tuple[str, int, str]:
    answer = service.sends("orders/create", body, key="somebody else's")
    return "an order with a wrong signature", 1, f"1 refused ({answer})"


def _events(service: Running, seen: int) -> Section:
    events = service.reads("/events", limit="1000")["events"]
    fates = Counter(_fate(event) for event in events)
    told = service.pinterest.summary()
    return Section(
        f"What became of them, and of {seen} storefront events that the pixel told of",
        {"events": ">", "fate": "<"},
        [(count, fate) for fate, count in fates.most_common()],
        f"The stand-in for Pinterest took {told['accepted']} events, "
        f"{told['accepted_twice'] or 'none'} of them twice.",
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


def _journey(service: Running) -> Section:
    found = service.reads(f"/orders/{LATER_ID}/journey")
    return Section(
        f"Why, for example order {found['name']}, placed directly?", {}, (), found["why"]
    )


def _addresses(service: Running) -> tuple[str, ...]:
    paths = (
        "roi-analysis",
        "conversion-funnel?traffic=all",
        f"orders/{LATER_ID}/journey",
        "events?limit=5",
    )
    return (
        *(
            f"curl -H 'Authorization: Bearer {service.token}' '{service.address}/{path}'"
            for path in paths
        ),
        f"{service.address}/openapi.json (every endpoint)",
        f"{service.pinterest.url.removesuffix('/v5')}/_control (the stand-in's side)",
    )
