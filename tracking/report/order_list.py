"""The list of orders: what each is worth, what it is credited to, and what became of its event."""

import re
from collections.abc import Sequence
from typing import Any

from tracking.domain.attribution import bit
from tracking.domain.conversion import REASONS
from tracking.domain.instants import instant
from tracking.domain.money import to_major
from tracking.domain.validation import FieldError
from tracking.report.basis import ReportBasis
from tracking.report.campaign_orders import orders_of_campaign
from tracking.report.campaigns import CampaignKey
from tracking.report.parameters import Days, choice_of, days_of, raise_if_any
from tracking.store import order_list, touches
from tracking.store.engine.statement import Connection
from tracking.store.order_list import ListedOrder, OrderFilter, OrderPlace
from tracking.store.touches import CreditRow

PAGE = 50
# What became of an order, and the words for it; "not_sent" stands for each reason not to send it.
FATES = {
    "": "All",
    "sent": "Sent",
    "waiting": "Waiting",
    "lost": "Lost",
    "not_sent": "Not sent",
}
_PLACE = re.compile(r"(\d{1,12})-(\d{1,18})")
_BEGINNING = OrderPlace(2**40, 2**62)


class OrderList:
    """Lists the orders of some days, or those that somebody looks for."""

    def __init__(self, basis: ReportBasis) -> None:
        self._basis = basis
        self._mask = bit("pinterest", basis.model)

    def page(
        self,
        start_date: str | None = None,
        end_date: str | None = None,
        *,
        text: str | None = None,
        fate: str | None = None,
        after: str | None = None,
    ) -> dict[str, Any]:
        """Returns a page of orders, newest first; `next` is the `after` of the page behind it.

        A `text` is the number of an order, its id, or the id or the name of a campaign: with an
        order's, its day does not matter. `fate` is one of FATES, or a reason not to send.

        Raises:
            ValidationError: a parameter is not accepted.
        """
        errors: list[FieldError] = []
        days = days_of(start_date, end_date, self._basis.days, self._basis.clock(), errors)
        chosen = choice_of("fate", fate, (*FATES, *filter(None, REASONS)), errors)
        behind = _place_of(after, errors)
        raise_if_any(errors)
        wanted = (text or "").strip()
        forgotten = self._basis.forgotten()
        with self._basis.store.read() as conn:
            # A number that an order has is no campaign's id.
            found = order_list.called(conn, wanted, PAGE, forgotten) if wanted else []
            is_called = bool(found)
            if not is_called:
                kept = OrderFilter(days.since, days.before, chosen, wanted, self._mask)
                listed = orders_of_campaign if wanted else order_list.page
                found = listed(conn, kept, behind, PAGE + 1, forgotten)
            orders = [self._line(conn, row, self._mask) for row in found[:PAGE]]
        return {
            **days.told(self._basis.days.zone),
            "is_of_all_days": is_called,
            "orders": orders,
            "next": f"{found[PAGE - 1].placed_at}-{found[PAGE - 1].number}"
            if len(found) > PAGE
            else None,
        }

    def of_campaign(
        self, days: Days, campaign: CampaignKey, mask: int, most: int
    ) -> list[dict[str, Any]]:
        """Returns the newest orders of the days that a scope and model, as a bit, credit to a
        campaign of Pinterest's: by its id, or by its name where the link told no id."""
        id = campaign.campaign_id or campaign.campaign
        wanted = OrderFilter(days.since, days.before, "", id, mask, campaign_name=campaign.campaign)
        forgotten = self._basis.forgotten()
        with self._basis.store.read() as conn:
            found = orders_of_campaign(conn, wanted, _BEGINNING, most, forgotten)
            return [self._line(conn, row, mask) for row in found]

    def _line(self, conn: Connection, row: ListedOrder, mask: int) -> dict[str, Any]:
        credited = [
            credit
            for credit in touches.credits_of(conn, row.order_id, row.placed_at)
            if credit.is_pinterest and credit.touch_key and credit.mask & mask
        ]
        net = row.gross - row.refunds - row.cancellations
        return {
            "order_id": row.order_id,
            "name": row.name,
            "placed_at": instant(row.placed_at),
            "state": _state_of(row),
            "revenue": to_major(net, row.currency),
            "currency": row.currency,
            "campaign": _campaigns_of(credited),
            "is_credited": bool(credited),
            "fate": row.fate,
            "text": FATES.get(row.fate) or REASONS.get(row.fate, row.fate),
        }


def _place_of(text: str | None, errors: list[FieldError]) -> OrderPlace:
    if not text:
        return _BEGINNING
    found = _PLACE.fullmatch(text)
    if found is None:
        errors.append(FieldError("after", "not the `next` of a page"))
        return _BEGINNING
    return OrderPlace(int(found[1]), int(found[2]))


def _campaigns_of(credits: Sequence[CreditRow]) -> str:
    """Returns the names of the campaigns that share an order, the largest share first."""
    ordered = sorted(credits, key=lambda row: (-row.share, row.n))
    names = dict.fromkeys(row.campaign or row.campaign_id for row in ordered)
    return ", ".join(filter(None, names))


def _state_of(row: ListedOrder) -> str:
    """Returns the state of an order in a word or two, as Shopify's admin has them."""
    if row.deleted_at is not None:
        return "Deleted"
    if row.is_test:
        return "Test"
    if row.cancelled_at is not None:
        return "Cancelled"
    return row.financial_status.replace("_", " ").capitalize()
