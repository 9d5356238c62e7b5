"""The reports of the HTTP API and the Python API, made from the store's rows."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from tracking.destinations import Destination
from tracking.domain.attribution import MODELS, Model, Scope, bit
from tracking.domain.consent import Consent
from tracking.domain.conversion import event_id_of
from tracking.domain.instants import instant
from tracking.domain.validation import FieldError
from tracking.report.accuracy import accuracy_by_day, accuracy_report
from tracking.report.ads import GROUPS, AdFigures, Group, credits_by_ad, listed_ads, with_lines
from tracking.report.basis import ReportBasis
from tracking.report.campaigns import CampaignKey, CampaignLabel, CampaignNames, label_of
from tracking.report.credit_sums import CreditSpan, credit_sums
from tracking.report.figures_by_day import FiguresByDay
from tracking.report.funnel import funnel_report
from tracking.report.funnel_span import FunnelSpan
from tracking.report.journey import JourneyFacts, id_sent_as, journey_of
from tracking.report.known_figures import KnownFigures
from tracking.report.later_names import later_names
from tracking.report.open_days import OpenDays
from tracking.report.parameters import (
    MOST_DAYS,
    Days,
    choice_of,
    days_of,
    raise_if_any,
    whole_number_of,
)
from tracking.report.roi import CampaignSpend, EarnedCredit, roi_report, spend_text
from tracking.store import (
    ad_spend,
    attempts,
    consents,
    conversions,
    identity_graph,
    orders,
    outbox,
    report_progress,
    reports,
    spend,
    touches,
)
from tracking.store.conversions import ConversionRow, LoggedDelivery
from tracking.store.credit_figures import ReportDay
from tracking.store.engine.statement import Connection
from tracking.store.orders import OrderRow
from tracking.store.reports import CreditSum
from tracking.store.spend import CampaignSum, DailySpend
from tracking.store.touches import CreditRow
from tracking.store.values import consent_from_json

MOST_EVENTS = 1000
# The rows of an event, one for each destination: more than there will ever be.
_ROWS_AN_EVENT = 4
_STATES = ("", "waiting", "sent", "dead", "discarded", "withdrawn", "held", "not_sent")


class Reports:
    """The reports of a shop. The `destinations` know the form in which they are sent an event."""

    def __init__(self, basis: ReportBasis, destinations: Mapping[str, Destination]) -> None:
        self.basis = basis
        self._destinations = destinations
        self._known = KnownFigures()

    def funnel(
        self,
        start_date: str | None = None,
        end_date: str | None = None,
        traffic: str | None = None,
        campaign: str | None = None,
        by_campaign: str | None = None,
    ) -> dict[str, Any]:
        """Returns the events and distinct visitors of each stage, from product view to purchase.

        With `by_campaign` "false" it counts the total alone, which takes a fraction of the time.

        Raises:
            ValidationError: a parameter is not accepted.
        """
        errors: list[FieldError] = []
        days = self._days(start_date, end_date, errors)
        chosen = choice_of("traffic", traffic, ("pinterest", "all"), errors)
        is_by_campaign = choice_of("by_campaign", by_campaign, ("true", "false"), errors) == "true"
        raise_if_any(errors)

        span = FunnelSpan(days.start.toordinal(), days.end.toordinal(), chosen == "all")
        with self.basis.store.read() as conn:
            progress = report_progress.of(conn, "funnel")
            counts = FiguresByDay(conn, span, self.basis.days, progress, self._known)
            labels = counts.labels() if campaign or is_by_campaign else ()
            names = CampaignNames([*labels, *self._paid_for(conn)])
            if campaign:
                if not any(names.is_called(label, campaign) for label in labels):
                    # It may have had this name before these days.
                    older = map(label_of, reports.names_of_campaigns(conn, 0, {campaign}))
                    names = CampaignNames([*older, *labels, *self._paid_for(conn)])
                labels = [label for label in labels if names.is_called(label, campaign)]
            total = counts.of(labels) if campaign else counts.total()
            lines: dict[CampaignKey, list[CampaignLabel]] = {}
            for label in labels if is_by_campaign else ():
                lines.setdefault(names.key_of(label), []).append(label)
            campaigns = {key: counts.of(some) for key, some in lines.items()}
        return {
            **self._span(days),
            **OpenDays(self.basis.days, progress).closed_part(span.first),
            "traffic": chosen,
            **funnel_report(total, campaigns),
        }

    def roi(
        self,
        start_date: str | None = None,
        end_date: str | None = None,
        model: str | None = None,
        scope: str | None = None,
        report_by: str | None = None,
        group_by: str | None = None,
    ) -> dict[str, Any]:
        """Returns revenue, spend, ROAS, ROI and CPA, by campaign and currency.

        With `group_by` "ad" or "pin" the lines of these as well.

        Raises:
            ValidationError: a parameter is not accepted.
        """
        errors: list[FieldError] = []
        days = self._days(start_date, end_date, errors)
        chosen: Model = choice_of("model", model, (self.basis.model, *MODELS), errors)
        over: Scope = choice_of("scope", scope, ("pinterest", "all"), errors)
        by: ReportDay = choice_of("report_by", report_by, ("order_date", "click_date"), errors)
        group: Group = choice_of("group_by", group_by, GROUPS, errors)
        raise_if_any(errors)
        span = CreditSpan(
            first=days.start.toordinal(),
            last=days.end.toordinal(),
            bit=bit(over, chosen),
            report_by=by,
            longest_window=self.basis.rules.longest_window,
        )

        with self.basis.store.read() as conn:
            # The last name of a campaign is shown.
            credits = credit_sums(conn, span, self.basis.days)
            dates = (days.start.isoformat(), days.end.isoformat())
            spent = self.basis.known_rows.of(conn, "spend", spend.by_campaign, *dates)
            paid_for = self._paid_for(conn)
            by_ad = None if group == "campaign" else self._by_ad(conn, span, days, credits)
        costs = [*map(_campaign_spend, spent)]
        report = roi_report(map(_earned_credit, credits), costs, paid_for)
        if group != "campaign" and by_ad is not None:
            report = with_lines(report, group, by_ad, costs)
        return {**self._span(days), "model": chosen, "report_by": by, **report}

    def _by_ad(
        self, conn: Connection, span: CreditSpan, days: Days, credits: Iterable[CreditSum]
    ) -> AdFigures:
        dates = (days.start.isoformat(), days.end.isoformat())
        return AdFigures(
            credits_by_ad(conn, span, self.basis.days, credits, self.basis.known_rows),
            self.basis.known_rows.of(conn, "ad_spend", ad_spend.by_ad, *dates),
            self.basis.known_rows.of(conn, "pinterest_ads", listed_ads),
        )

    def _paid_for(self, conn: Connection) -> list[CampaignLabel]:
        """Returns the names that Pinterest's campaigns have in the spend, which knows them best."""
        names = self.basis.known_rows.of(conn, "spend", spend.names)
        return [CampaignLabel(True, row.campaign_id, row.campaign) for row in names]

    def accuracy(
        self, start_date: str | None = None, end_date: str | None = None
    ) -> dict[str, Any]:
        """Returns how many orders were sent, left out for a reason, and lost, by day.

        Raises:
            ValidationError: a date is not one, or there are too many days.
        """
        errors: list[FieldError] = []
        days = self._days(start_date, end_date, errors, MOST_DAYS)
        raise_if_any(errors)
        with self.basis.store.read() as conn:
            by_day = accuracy_by_day(
                conn,
                days.start.toordinal(),
                days.end.toordinal(),
                self.basis.days,
                forgotten=self.basis.forgotten(),
                known=self.basis.known_rows,
            )
        return {**self._span(days), **accuracy_report(by_day)}

    def journey(self, order_id: str, scope: str | None = None) -> dict[str, Any] | None:
        """Returns the journey of an order, or None if the order is not known.

        Raises:
            ValidationError: the scope is not accepted.
        """
        errors: list[FieldError] = []
        over: Scope = choice_of("scope", scope, ("pinterest", "all"), errors)
        raise_if_any(errors)
        with self.basis.store.read() as conn:
            order = orders.of_id(conn, order_id)
            if order is None:
                return None
            event_id = event_id_of(order_id)
            reach = max(self.basis.rules.longest_window, 1)
            at = order.placed_at
            person = identity_graph.person_of(conn, order.keys, order.visitor, (at - reach, at))
            nearby = touches.seen_by(conn, person, at - 2 * reach, at)
            conversion = conversions.of_event(conn, event_id)
            ids = conversions.ids_of(conn, event_id)
            facts = JourneyFacts(
                order=order,
                touches=nearby,
                credits=self._renamed(conn, order, touches.credits_of(conn, order_id, at)),
                conversion=conversion,
                ids=ids,
                is_id_taken=ids is not None and _is_of_another(conn, ids.storefront_id),
                consent=_consent(conn, order, conversion),
                deliveries=outbox.of_event(conn, event_id),
                attempts=attempts.of_event(conn, event_id),
            )
        return journey_of(facts, self.basis.rules, self.basis.model, over, self._event(facts))

    def _renamed(
        self, conn: Connection, order: OrderRow, credits: Sequence[CreditRow]
    ) -> Sequence[CreditRow]:
        """Returns the credits of an order, each with the newest name and the id of its campaign."""
        told = {text for row in credits for text in (row.campaign_id, row.campaign) if text}
        if not told:
            return credits
        since = min(order.placed_at, *(row.credited_at for row in credits))
        names = CampaignNames([*later_names(conn, since, told), *self._paid_for(conn)])
        return [_with_key(row, names.key_of(label_of(row))) for row in credits]

    def events(
        self,
        state: str | None = None,
        after: str | None = None,
        limit: str | None = None,
        event_id: str | None = None,
    ) -> dict[str, Any]:
        """Returns a page of the delivery log, oldest first; `next` is the `after` of the next page.

        With `event_id` only the event that has this id, or is sent under it.

        Raises:
            ValidationError: a parameter is not accepted.
        """
        errors: list[FieldError] = []
        chosen = choice_of("state", state, _STATES, errors)
        after_id = whole_number_of("after", after, 0, (0, 2**62), errors)
        most = whole_number_of("limit", limit, 100, (1, MOST_EVENTS), errors)
        raise_if_any(errors)

        with self.basis.store.read() as conn:
            found = conversions.under_id(conn, event_id) if event_id else None
            own_id = found.event_id if found is not None else event_id or ""
            rows = conversions.log(conn, chosen, after_id, (most + 1) * _ROWS_AN_EVENT, own_id)
        events: dict[int, dict[str, Any]] = {}
        for row in rows:
            event = events.setdefault(row.id, _logged(row))
            tried = [(row.state or "", row.attempts or 0)]
            event["sent_as"] = event["sent_as"] or id_sent_as(row.event_id, row.sent_as, tried)
            if row.destination is not None:
                event["deliveries"].append(_delivery(row))
        page = sorted(events)[:most]
        return {
            "events": [events[id] for id in page],
            "next": page[-1] if len(events) > most else None,
        }

    def spend(self, start_date: str | None = None, end_date: str | None = None) -> dict[str, Any]:
        """Returns the stored spend.

        Raises:
            ValidationError: a date is not one.
        """
        errors: list[FieldError] = []
        days = self._days(start_date, end_date, errors)
        raise_if_any(errors)
        with self.basis.store.read() as conn:
            rows = spend.rows(conn, days.start.isoformat(), days.end.isoformat())
        return {**self._span(days), "rows": [_spend_row(row) for row in rows]}

    def days(self, start_date: str | None = None, end_date: str | None = None) -> Days:
        """Returns the days from one date to another; by default the last thirty.

        Raises:
            ValidationError: a date is not one.
        """
        errors: list[FieldError] = []
        days = self._days(start_date, end_date, errors)
        raise_if_any(errors)
        return days

    def _days(
        self,
        start: str | None,
        end: str | None,
        errors: list[FieldError],
        most: int | None = None,
    ) -> Days:
        return days_of(start, end, self.basis.days, self.basis.clock(), errors, most)

    def _span(self, days: Days) -> dict[str, Any]:
        return days.told(self.basis.days.zone)

    def _event(self, facts: JourneyFacts) -> Any:
        """Returns the event as the first destination gets it, without IP address and browser."""
        for row in facts.deliveries:
            destination = self._destinations.get(row.destination)
            if destination is not None and row.payload and row.state != "held":
                payload = destination.strip(row.payload)
                if facts.sent_as is not None:
                    payload = destination.rename(payload, facts.sent_as)
                return msgspec.json.decode(payload)
        return None


def _consent(conn: Connection, order: OrderRow, conversion: ConversionRow | None) -> Consent:
    if conversion is None:
        return consent_from_json(order.consent)
    return consents.of_order(conn, order, conversion.visitor)


def _is_of_another(conn: Connection, storefront_id: str) -> bool:
    """Returns True if an event has a storefront's id that its purchase is not sent under."""
    ids = [storefront_id] if storefront_id else []
    return bool(conversions.recorded(conn, ids) or conversions.sent_as(conn, ids))


def _with_key(row: CreditRow, key: CampaignKey) -> CreditRow:
    if not (row.campaign_id or row.campaign):
        return row
    return row._replace(campaign_id=key.campaign_id, campaign=key.campaign)


def _earned_credit(row: CreditSum) -> EarnedCredit:
    return EarnedCredit(
        currency=row.currency,
        is_pinterest=bool(row.is_pinterest),
        campaign_id=row.campaign_id,
        campaign=row.campaign,
        share=int(row.share),
        gross=int(row.gross),
        net=int(row.net),
        cancellations=int(row.cancellations),
        new_share=int(row.new_share),
        new_net=int(row.new_net),
        returning_share=int(row.returning_share),
    )


def _campaign_spend(row: CampaignSum) -> CampaignSpend:
    return CampaignSpend(row.campaign_id, row.campaign, row.currency, int(row.micros))


def _logged(row: LoggedDelivery) -> dict[str, Any]:
    return {
        "id": row.id,
        "event_id": row.event_id,
        "sent_as": None,
        "stage": row.stage,
        "order_id": row.order_id,
        "event_time": instant(row.at),
        "state": row.state or "not_sent",
        "reason": row.decision,
        "detail": row.detail,
        "deliveries": [],
    }


def _delivery(row: LoggedDelivery) -> dict[str, Any]:
    return {
        "destination": row.destination,
        "state": row.state,
        "attempts": row.attempts,
        "reason": row.reason,
        "due_at": instant(max(row.due_at, row.at))
        if row.due_at is not None and row.state == "waiting"
        else None,
        "settled_at": instant(row.settled_at) if row.settled_at else None,
    }


def _spend_row(row: DailySpend) -> dict[str, Any]:
    return {
        "date": row.date,
        "campaign_id": row.campaign_id,
        "campaign": row.campaign,
        "spend": spend_text(row.micros, row.currency),
        "currency": row.currency,
    }
