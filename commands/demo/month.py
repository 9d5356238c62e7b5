"""The month before the demo's day: what the pixel and Shopify tell of it, message by message."""

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from commands.demo.shop import (
    AUTUMN,
    BROWSER,
    CAMPAIGNS,
    DIRECT,
    GIFTS,
    GOOGLE,
    HOUR,
    PRODUCTS,
    REMINDERS,
    Body,
    TrafficSource,
    cancelled,
    landing,
    order,
    pixel_call,
    pixel_event,
    refund,
    refunded,
)
from tracking.domain.conversion import Stage, event_id_of

# The zones of the shop. At every hour one of them has the same day as UTC, which is Pinterest's.
_ZONES = ZoneInfo("America/New_York"), ZoneInfo("Europe/Berlin")
DAYS = 29
_OPEN_HOURS = (7, 22)
# Visitors and orders on an ordinary day of the shop.
_ORDINARY: Sequence[tuple[TrafficSource, int, float]] = (
    (AUTUMN, 24, 4.6),
    (GIFTS, 18, 2.8),
    (REMINDERS, 8, 0.9),
    (GOOGLE, 12, 2.6),
    (DIRECT, 10, 2.2),
)
# More is bought on some weekdays than on others, and in the sale more than ever.
_OF_THE_WEEK = (1.0, 0.85, 0.8, 0.9, 1.1, 1.35, 1.2)
_SALE = range(8, 11)
_OUTAGE_DAYS_AGO, _OUTAGE_HOURS = 13, (8, 14)
_SALE_FACTOR = 1.9
_STAGES: Sequence[Stage] = ("product_view", "add_to_cart", "checkout_initiation")
# Shares of the orders; _VIEWED is that of buyers without a click who had seen an ad.
_RETURNING, _REFUNDED, _CANCELLED, _REFUSED, _VIEWED = 0.18, 0.05, 0.02, 0.04, 0.3
# The first order of the month; those of the day begin at 1.
_FIRST_NUMBER = -960
_LAST_NAME = 1000

Kind = Literal["pixel", "orders/create", "orders/updated", "orders/cancelled", "refunds/create"]


@dataclass(frozen=True, slots=True)
class Message:
    """A call of the pixel, or a webhook, at an instant (seconds UTC)."""

    at: int
    kind: Kind
    body: Body


@dataclass(frozen=True, slots=True)
class MonthAd:
    """An ad of a campaign, and the pin that it shows."""

    campaign_id: str
    ad_id: str
    pin_id: str
    name: str


ADS: Mapping[str, Sequence[MonthAd]] = {
    AUTUMN.campaign_id: (
        MonthAd(AUTUMN.campaign_id, "687201361754", "813744226420", "mugs on a shelf"),
        MonthAd(AUTUMN.campaign_id, "687201361755", "813744226421", "a mug in the hand"),
    ),
    GIFTS.campaign_id: (
        MonthAd(GIFTS.campaign_id, "687201361901", "813744226510", "under fifty"),
        MonthAd(GIFTS.campaign_id, "687201361902", "813744226511", "for the kitchen"),
    ),
    REMINDERS.campaign_id: (
        MonthAd(REMINDERS.campaign_id, "687201361977", "813744226598", "still in your cart"),
    ),
}


@dataclass(frozen=True, slots=True)
class AdContact:
    """A click or a view of an ad at an instant (seconds UTC), as Pinterest itself knows it.

    A click may have a click id; the e-mail address is that of whoever is logged in at Pinterest.
    """

    at: int
    ad: MonthAd
    is_click: bool
    click_id: str = ""
    email: str = ""


@dataclass(frozen=True, slots=True)
class TaggedPurchase:
    """A purchase that Pinterest's own tag in the shop told it of, at an instant (seconds UTC)."""

    at: int
    email: str
    value: str


def zone_at(now: float) -> ZoneInfo:
    """Returns the zone of the shop for a demo that begins at an instant (seconds UTC).

    The shop's day is Pinterest's then, so that the demo tells the same figures at every hour.
    """
    today = datetime.fromtimestamp(now, UTC).date()
    return next(zone for zone in _ZONES if datetime.fromtimestamp(now, zone).date() == today)


class Month:
    """Makes up the month before the day `today` of a shop, the same for everybody who plays it.

    `messages` are what is told in it, `contacts` and `tagged` what only Pinterest knows of it; all
    are oldest first.
    In the `outage` (instants, seconds UTC) Pinterest does not answer.
    """

    def __init__(self, today: date, zone: ZoneInfo) -> None:
        self._today = today
        self._zone = zone
        self._dice = random.Random("a month of the kiln")  # noqa: S311 - no secret is drawn
        self._number = _FIRST_NUMBER
        self._visitors = 0
        self._buyers: list[str] = []
        self._contacts: list[AdContact] = []
        self.tagged: list[TaggedPurchase] = []
        self._clickers: set[str] = set()
        self._customers: set[str] = set()
        told = [message for days_ago in range(DAYS, 0, -1) for message in self._day(days_ago)]
        self.messages = _named(sorted(told, key=lambda message: message.at))
        self.contacts = sorted(self._contacts, key=lambda contact: contact.at)
        self.outage = range(*(self._midnight(_OUTAGE_DAYS_AGO) + at * HOUR for at in _OUTAGE_HOURS))

    def _day(self, days_ago: int) -> Iterator[Message]:
        factor = _OF_THE_WEEK[days_ago % 7] * (1.25 - days_ago / 60)
        factor *= _SALE_FACTOR if days_ago in _SALE else 1.0
        for source, visitors, orders in _ORDINARY:
            buyers = int(orders * factor + self._dice.random())
            for place in range(max(buyers, round(visitors * factor))):
                at = self._instant(days_ago)
                if place < buyers:
                    yield from self._purchase(source, at)
                else:
                    yield self._look(source, at)

    def _midnight(self, days_ago: int) -> int:
        """Returns the instant (seconds UTC) at which a day of the shop begins."""
        day = self._today - timedelta(days_ago)
        return int(datetime.combine(day, time(), self._zone).timestamp())

    def _instant(self, days_ago: int) -> int:
        opens, closes = _OPEN_HOURS
        return self._midnight(days_ago) + self._dice.randrange(opens * HOUR, closes * HOUR)

    def _look(self, source: TrafficSource, at: int) -> Message:
        depth = self._dice.choices((1, 2, 3), (6, 3, 1))[0]
        return self._call(source, self._query(source, at), self._visitor(), at, depth)

    def _purchase(self, source: TrafficSource, at: int) -> Iterator[Message]:
        visitor, email = self._visitor(), self._email()
        is_first = email not in self._customers
        self._customers.add(email)
        has_seen = source in (DIRECT, GOOGLE) and self._dice.random() < _VIEWED
        if has_seen:
            self._see(email, at - 5 * HOUR)
        if has_seen and source is DIRECT:
            yield self._view(visitor, at - 5 * HOUR)
        query = self._query(source, at, email)
        yield self._call(source, query, visitor, at, len(_STAGES))
        body = self._order(source, query, visitor, email, at + 600)
        if has_seen and source is GOOGLE and email not in self._clickers:
            self.tagged.append(TaggedPurchase(at + 600, email, body["subtotal_price"]))
        yield self._completion(visitor, body["customer"]["id"], at + 600, is_first=is_first)
        yield Message(at + 600, "orders/create", body)
        yield from self._return(body, at + 30 * HOUR)

    def _visitor(self) -> str:
        self._visitors += 1
        return f"month-{self._visitors:05d}"

    def _email(self) -> str:
        if self._buyers and self._dice.random() < _RETURNING:
            return self._dice.choice(self._buyers)
        self._buyers.append(f"guest-{len(self._buyers) + 1:03d}@example.com")
        return self._buyers[-1]

    def _query(self, source: TrafficSource, at: int, email: str = "") -> str:
        """Returns the query of a landing page; that of an ad has its id, its pin and the click."""
        if not source.campaign_id:
            return source.query
        ad = self._dice.choice(ADS[source.campaign_id])
        click_id = f"dj0yJnU9{self._dice.randrange(16**12):012x}"
        self._clickers.add(email)
        self._contacts.append(AdContact(at, ad, is_click=True, click_id=click_id, email=email))
        campaign = source.query.partition("&epik=")[0]
        return f"{campaign}&utm_ad_id={ad.ad_id}&utm_pin_id={ad.pin_id}&epik={click_id}"

    def _call(
        self, source: TrafficSource, query: str, visitor: str, at: int, depth: int
    ) -> Message:
        product = PRODUCTS[self._visitors % len(PRODUCTS)]
        events = [
            pixel_event(visitor, stage, product, at + 60 * place)
            for place, stage in enumerate(_STAGES[:depth])
        ]
        session = landing(query, source.referrer, at)
        return Message(at + 200, "pixel", pixel_call(visitor, session, events))

    def _see(self, email: str, at: int) -> None:
        ad = ADS[GIFTS.campaign_id][0]
        self._contacts.append(AdContact(at, ad, is_click=False, email=email))

    def _view(self, visitor: str, at: int) -> Message:
        ad = ADS[GIFTS.campaign_id][0]
        seen = {"campaign_id": GIFTS.campaign_id, "ad_id": ad.ad_id, "pin_id": ad.pin_id}
        event = {
            "id": f"{visitor}-viewed",
            "name": "ad_viewed",
            "timestamp": at * 1000,
            "data": {**seen, "campaign": "gift guide"},
        }
        return Message(at, "pixel", pixel_call(visitor, {}, [event]))

    def _completion(self, visitor: str, customer: int, at: int, *, is_first: bool) -> Message:
        """Returns the pixel's call for a completed checkout, with the shop's word on its buyer."""
        buyer = {"customer": {"id": str(customer), "isFirstOrder": is_first}}
        event = {
            "id": f"{visitor}-completed",
            "name": "checkout_completed",
            "timestamp": at * 1000,
            "data": {"checkout": {"token": f"checkout-of-{visitor}", "order": buyer}},
        }
        return Message(at, "pixel", pixel_call(visitor, {}, [event]))

    def _order(self, source: TrafficSource, query: str, visitor: str, email: str, at: int) -> Body:
        self._number += 1
        attributes = [{"name": "__pin_vid", "value": visitor}]
        if self._dice.random() < _REFUSED:
            attributes.append({"name": "__pin_consent", "value": "marketing=no"})
        page = f"/products/{PRODUCTS[self._number % len(PRODUCTS)].id}"
        address = f"203.0.113.{self._number % 250}"
        return order(
            self._number,
            source,
            0,
            at,
            landing_site=f"{page}?{query}" if query else page,
            note_attributes=attributes,
            checkout_token=f"checkout-of-{visitor}",
            email=email,
            customer={"id": 8_200_000 + self._buyers.index(email), "email": email},
            client_details={"browser_ip": address, "user_agent": BROWSER},
        )

    def _return(self, body: Body, at: int) -> Iterator[Message]:
        """Yields what becomes of some orders a day later."""
        fate = self._dice.random()
        if at >= self._midnight(0):
            return
        if fate < _CANCELLED:
            yield Message(at, "orders/cancelled", cancelled(body, at))
        elif fate < _CANCELLED + _REFUNDED:
            share = self._dice.choice((1, 2))
            yield Message(at, "refunds/create", refund(body, share, at))
            yield Message(at, "orders/updated", refunded(body, share, at))

    @property
    def refused(self) -> set[str]:
        """Returns the event ids of the orders that Pinterest refuses: two of the last ones of a
        campaign."""
        bodies = [each.body for each in self.messages if each.kind == "orders/create"]
        sent = [
            body["id"]
            for body in bodies
            if GIFTS.campaign_id in body["landing_site"] and len(body["note_attributes"]) == 1
        ]
        return {event_id_of(str(id)) for id in (sent[-2], sent[-9])}


def _named(messages: Sequence[Message]) -> Sequence[Message]:
    """Returns the messages with the orders numbered as they were placed, up to those of the day."""
    placed = [each.body["id"] for each in messages if each.kind == "orders/create"]
    names = {id: f"#{_LAST_NAME - n}" for n, id in enumerate(reversed(placed))}
    return [
        Message(each.at, each.kind, {**each.body, "name": names[each.body["id"]]})
        if "name" in each.body
        else each
        for each in messages
    ]


def contacts_of(bodies: Iterable[Body]) -> list[AdContact]:
    """Returns the clicks of orders that came by an ad, of whoever placed them."""
    campaigns = {source.campaign_id for source in CAMPAIGNS}
    return [
        AdContact(
            int(datetime.fromisoformat(body["created_at"]).timestamp()),
            ADS[campaign_id][0],
            is_click=True,
            email=body["email"],
        )
        for body in bodies
        for campaign_id in campaigns
        if campaign_id in body["landing_site"]
    ]
