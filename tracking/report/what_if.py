"""The ROI report as it would be with other attribution windows, computed from stored touches.

Nothing is stored: the credits of the orders are computed again, and forgotten.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from tracking.domain.attribution import (
    WHOLE_ORDER,
    Rules,
    Touch,
    allocations_of,
    credits_of,
    is_in_window,
    visits_before,
)
from tracking.domain.conversion import event_id_of
from tracking.domain.order import is_without_visit
from tracking.report.basis import ReportBasis
from tracking.report.campaigns import CampaignLabel
from tracking.report.credit_sums import CreditSpan, credit_sums
from tracking.report.parameters import Days
from tracking.report.roi import CampaignSpend, EarnedCredit, roi_report
from tracking.store import conversions, credited_orders, identity_graph, spend, touches
from tracking.store.credited_orders import CreditedOrder
from tracking.store.engine.statement import Connection
from tracking.store.identity_graph import ALWAYS, PersonSearch
from tracking.store.reports import CreditSum
from tracking.store.touches import TouchSearch
from tracking.store.values import path_from
from tracking.store.visits import in_their_browsers

# For more orders than these it is not computed.
MOST_ORDERS = 20_000
# The orders whose buyers are searched for together. PostgreSQL takes a round trip for each search;
# on SQLite statements cost little, and Python's collector runs through what is held meanwhile.
_AT_ONCE = {"sqlite": 100, "postgresql": 2_000}


@dataclass(frozen=True, slots=True)
class WhatIfReport:
    """The ROI report with other windows, and of how many orders it is.

    It is None for more orders than it is computed for. Orders whose visits were `forgotten` stay as
    they are credited.
    """

    orders: int
    forgotten: int = 0
    report: dict[str, Any] | None = None


@dataclass(slots=True)
class _WhatIfSums:
    """The sums of a campaign in a currency, and the newest instant (seconds UTC) of its credits."""

    figures: list[int] = field(default_factory=lambda: [0] * 7)
    newest: int = 0

    def add(self, more: Iterable[int], at: int) -> None:
        """Adds figures of credits, the newest of which lies at an instant."""
        self.figures = [known + added for known, added in zip(self.figures, more, strict=True)]
        self.newest = max(self.newest, at)


@dataclass(frozen=True, slots=True)
class _WhatIfShare:
    """The part of an order that a campaign earned: gross, net, cancellations and share."""

    label: CampaignLabel
    at: int
    amounts: Sequence[int]


# By currency and campaign.
_SumsOfCampaigns = dict[tuple[str, CampaignLabel], _WhatIfSums]


class WhatIf:
    """Computes reports with windows other than the configured ones."""

    def __init__(self, basis: ReportBasis, most_orders: int = MOST_ORDERS) -> None:
        self.most_orders = most_orders
        self._basis = basis
        self._rules = basis.rules

    def report(self, days: Days, span: CreditSpan, rules: Rules) -> WhatIfReport:
        """Returns the report of these days, by the scope, model and date of `span`, with windows of
        these `rules`.

        By the configured rules it is the ROI report.
        """
        before = days.before
        if span.report_by == "click_date":
            before += max(rules.longest_window, self._rules.longest_window)
        placed = (days.since, before)
        credited = ALWAYS if span.report_by == "order_date" else (days.since, days.before)
        with self._basis.store.read() as conn:
            count = credited_orders.count(conn, *placed, self.most_orders + 1)
            if count > self.most_orders:
                return WhatIfReport(count)
            sums: _SumsOfCampaigns = {}
            # So that campaigns have the names, and names the campaigns, of the report itself.
            for row in credit_sums(conn, span, self._basis.days):
                label = CampaignLabel(bool(row.is_pinterest), row.campaign_id, row.campaign)
                sums[row.currency, label] = _WhatIfSums(newest=row.newest)
            forgotten = credited_orders.count_forgotten(conn, *placed)
            for kept in credited_orders.forgotten(conn, placed, credited, span.bit):
                _add_kept(sums, kept)
            for order, share in self._shares(conn, placed, span.bit, rules):
                if credited[0] <= share.at < credited[1]:
                    _add(sums, order, share)
            dates = days.start.isoformat(), days.end.isoformat()
            costs = [
                CampaignSpend(row.campaign_id, row.campaign, row.currency, int(row.micros))
                for row in spend.by_campaign(conn, *dates)
            ]
            names = spend.names(conn)
        paid_for = [CampaignLabel(True, row.campaign_id, row.campaign) for row in names]
        report = roi_report(_earned(sums), costs, paid_for)
        return WhatIfReport(count, forgotten, report)

    def _shares(
        self, conn: Connection, placed: tuple[int, int], bit: int, rules: Rules
    ) -> Iterator[tuple[CreditedOrder, _WhatIfShare]]:
        """Yields the shares of each order that was placed then, by these rules."""
        for orders in _batches(conn, *placed):
            paths = self._paths(conn, orders, rules)
            for order in orders:
                for share in _shares_of(order, paths[order.id], bit, rules):
                    yield order, share

    def _paths(
        self, conn: Connection, orders: Sequence[CreditedOrder], rules: Rules
    ) -> dict[str, Sequence[Touch]]:
        """Returns what can have a share in each order. Its stored path is that by the configured
        windows; by others the touches are gathered again where they can differ."""
        paths: dict[str, Sequence[Touch]] = {order.id: path_from(order.path) for order in orders}
        due = [order for order in orders if self._may_differ(order, paths[order.id], rules)]
        matches = conversions.matches_of(conn, [event_id_of(order.id) for order in due])
        matched = {row.order_id: row.visitor for row in matches}
        for order, found in zip(due, self._gathered(conn, due, rules), strict=True):
            path = paths[order.id]
            if not _has_more(found, path, order.placed_at, rules):
                continue
            # A touch of the path may itself have been deleted since.
            known = {touch.key for touch in found}
            seen = [*found, *(touch for touch in path if touch.key not in known)]
            visitor = matched.get(order.id, order.visitor)
            paths[order.id] = visits_before(seen, order.id, order.placed_at, rules, visitor)
        return paths

    def _may_differ(self, order: CreditedOrder, path: Sequence[Touch], rules: Rules) -> bool:
        if rules == self._rules or is_without_visit(order.source_name):
            return False
        is_wider = (
            rules.click_window > self._rules.click_window
            or rules.view_window > self._rules.view_window
        )
        # Of a visit that began outside of a window a later report may lie inside.
        return is_wider or not all(is_in_window(touch, order.placed_at, rules) for touch in path)

    def _gathered(
        self, conn: Connection, orders: Sequence[CreditedOrder], rules: Rules
    ) -> Iterator[list[Touch]]:
        """Yields the stored touches of the buyer of each order, as far back as a window reaches."""
        reach = max(rules.longest_window, self._rules.longest_window)
        spans = [(order.placed_at - reach, order.placed_at) for order in orders]
        persons = identity_graph.persons_of(
            conn,
            (
                PersonSearch(frozenset(order.links.split()), order.visitor, span)
                for order, span in zip(orders, spans, strict=True)
            ),
        )
        found = touches.seen_by_each(
            conn,
            [TouchSearch(person, *span) for person, span in zip(persons, spans, strict=True)],
        )
        placed = iter(in_their_browsers(conn, [touch for each in found for touch in each]))
        for each in found:
            yield [next(placed) for _ in each]


def _has_more(found: Iterable[Touch], path: Iterable[Touch], at: int, rules: Rules) -> bool:
    """Returns True if the path of an order does not tell all of its touches inside the windows: a
    visit that the path tells from outside of them may have gone on inside."""
    known = {(touch.key, touch.at) for touch in path}
    return any(
        (touch.key, touch.at) not in known and is_in_window(touch, at, rules) for touch in found
    )


def _batches(conn: Connection, since: int, before: int) -> Iterator[list[CreditedOrder]]:
    after = ""
    while orders := credited_orders.page(conn, since, after, before, _AT_ONCE[conn.dialect]):
        yield orders
        since, after = orders[-1].placed_at, orders[-1].id


def _shares_of(
    order: CreditedOrder, path: Sequence[Touch], bit: int, rules: Rules
) -> Iterator[_WhatIfShare]:
    """Yields the shares of an order under the scope and model of a bit."""
    net = order.gross - order.refunds - order.cancellations
    amounts = (order.gross, net, order.cancellations, WHOLE_ORDER)
    for part in allocations_of(credits_of(path, order.placed_at, rules, bit), amounts):
        touch = part.touch
        label = (
            CampaignLabel(touch.is_pinterest, touch.campaign_id, touch.campaign)
            if touch
            else CampaignLabel(False, "", "")
        )
        yield _WhatIfShare(label, touch.at if touch else order.placed_at, part.amounts)


def _add(sums: _SumsOfCampaigns, order: CreditedOrder, earned: _WhatIfShare) -> None:
    gross, net, cancellations, share = earned.amounts
    is_new, is_returning = order.customer_type == "new", order.customer_type == "returning"
    more = (
        *(share, gross, net, cancellations),
        *(share * is_new, net * is_new, share * is_returning),
    )
    sums.setdefault((order.currency, earned.label), _WhatIfSums()).add(more, earned.at)


def _add_kept(sums: _SumsOfCampaigns, kept: CreditSum) -> None:
    label = CampaignLabel(bool(kept.is_pinterest), kept.campaign_id, kept.campaign)
    more = (
        *(kept.share, kept.gross, kept.net, kept.cancellations),
        *(kept.new_share, kept.new_net, kept.returning_share),
    )
    sums.setdefault((kept.currency, label), _WhatIfSums()).add([*map(int, more)], kept.newest)


def _earned(sums: _SumsOfCampaigns) -> Iterable[EarnedCredit]:
    """Returns the credits of the campaigns, the one that was credited last at the end."""
    for (currency, label), line in sorted(sums.items(), key=lambda each: (each[1].newest, each[0])):
        yield EarnedCredit(currency, *label, *line.figures)
