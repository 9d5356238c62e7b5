"""The stand-in for Pinterest with ads: it knows who clicked and saw them, and what they bought."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlsplit

from commands.demo.http_server import ReceivedRequest, StandInReply
from commands.demo.month import ADS, DAYS, AdContact, TaggedPurchase
from commands.demo.pinterest import JSON, PinterestStandIn, error_reply, json_reply
from commands.demo.pinterest_ads import AdsStandIn, ApiRefusal, CountedCheckout
from commands.demo.shop import CAMPAIGNS, DAY, HOUR

ADS_TOKEN = "pina_ads_of_the_stand_in"  # noqa: S105 - only the stand-in accepts it
_EVENTS = "/events"
_CLICK_SECONDS = 30 * DAY
# Spend goes up and down with the shop's days.
_OF_THE_WEEK = (100, 92, 88, 95, 104, 118, 109)
# The share of checkouts and page visits that have a field, as Pinterest judges them, in percent.
_COVERAGE = {
    "hashed_email": {"CHECKOUT": 98.2, "PAGE_VISIT": 12.4},
    "click_id_epik": {"CHECKOUT": 91.7, "PAGE_VISIT": 74.1},
    "client_ip_address": {"CHECKOUT": 99.1, "PAGE_VISIT": 100},
    "client_user_agent": {"CHECKOUT": 99.1, "PAGE_VISIT": 100},
    "hashed_phone": {"CHECKOUT": 3.4, "PAGE_VISIT": 0},
    "external_id": {"CHECKOUT": 99.6, "PAGE_VISIT": 100},
}


class AdvertisingStandIn(PinterestStandIn):
    """Takes the shop's events, and tells of the ads what they cost and brought. A context manager.

    Whoever it refuses (`refused`, event ids) it refuses for good.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock=clock)
        self.refused: set[str] = set()
        self._ads = AdsStandIn(self.account_id, clock)
        self._taken_at: dict[str, float] = {}
        self._contacts: list[AdContact] = []
        self._tagged: list[TaggedPurchase] = []
        self._ads.judges(_COVERAGE, overall_status="GOOD")

    def knows(self, contacts: Sequence[AdContact], tagged: Sequence[TaggedPurchase] = ()) -> None:
        """Adds clicks, views and purchases that Pinterest knows by itself."""
        self._contacts += contacts
        self._tagged += tagged

    def advertises(self, today: date) -> None:
        """Adds the campaigns and their ads, with what they cost until `today`."""
        for source in CAMPAIGNS:
            ads = ADS[source.campaign_id]
            for ago in range(DAYS + 1):
                day = today - timedelta(ago)
                micros = int(Decimal(source.spend_a_day) * 10_000) * _OF_THE_WEEK[ago % 7]
                parts = [micros // len(ads)] * len(ads)
                parts[0] += micros - sum(parts)
                self._ads.costs(source.campaign_id, day, micros, name=source.campaign)
                for ad, part in zip(ads, parts, strict=True):
                    about = {"campaign_id": source.campaign_id, "pin_id": ad.pin_id}
                    self._ads.promotes(ad.ad_id, day, part, name=ad.name, **about)

    def respond(self, request: ReceivedRequest) -> StandInReply:
        """Answers a request to the Ads API; any other as the stand-in without ads does."""
        is_of_ads = request.path.startswith("/v5/") and not request.path.endswith(_EVENTS)
        return self._tell(request) if is_of_ads else super().respond(request)

    def failure_of(self, event: dict[str, Any]) -> str:
        """Returns why the event fails although the call is accepted, or an empty text."""
        if event["event_id"] in self.refused:
            return "The event could not be matched to a valid product of the catalogue."
        return super().failure_of(event)

    def process(self, events: Sequence[dict[str, Any]], *, is_test: bool) -> list[dict[str, Any]]:
        """Accepts the events that can be accepted; returns each one's status."""
        statuses = super().process(events, is_test=is_test)
        for event in events:
            if event["event_id"] in self._events:
                self._taken_at.setdefault(event["event_id"], self.clock())
        return statuses

    def _tell(self, request: ReceivedRequest) -> StandInReply:
        if request.headers.get("Authorization") != f"Bearer {ADS_TOKEN}":
            return error_reply(401, 2, "Authentication failed.")
        query = parse_qs(urlsplit(request.target).query, keep_blank_values=True)
        with self.changed:
            self._ads.checkouts = [*self._checkouts()]
            try:
                return json_reply(200, self._ads.read(request.path, query))
            except ApiRefusal as refusal:
                status, body, headers = refusal.answer
                reply = json_reply(status, body)
                return StandInReply(reply.status, reply.body, {**JSON, **headers})

    def _checkouts(self) -> Iterator[CountedCheckout]:
        """Yields the purchases that followed a click or a view, as Pinterest counts them."""
        clicks = {each.click_id: each for each in self._contacts if each.click_id}
        by_person: dict[str, list[AdContact]] = {}
        for contact in sorted(self._contacts, key=lambda each: each.at):
            by_person.setdefault(_digest(contact.email), []).append(contact)
        for event in self._events.values():
            if event["event_name"] == "checkout":
                bought_at = int(event["event_time"])
                user = event["user_data"]
                known = [
                    each for digest in user.get("em", ()) for each in by_person.get(digest, ())
                ]
                if user.get("click_id") in clicks:
                    known.append(clicks[user["click_id"]])
                is_late = self._taken_at[event["event_id"]] - bought_at > HOUR
                value = Decimal(event["custom_data"]["value"])
                yield from _counted(known, bought_at, value, is_offline=is_late)
        for purchase in self._tagged:
            known = by_person.get(_digest(purchase.email), [])
            yield from _counted(known, purchase.at, Decimal(purchase.value), is_offline=False)


def _counted(
    known: Sequence[AdContact], bought_at: int, value: Decimal, *, is_offline: bool
) -> Iterator[CountedCheckout]:
    """Yields the checkout with its last click within the window, or else its last view."""
    before = [each for each in known if 0 <= bought_at - each.at <= _CLICK_SECONDS]
    if before:
        # A click counts before any view; of clicks at one instant that of a known click id.
        last = max(before, key=lambda each: (each.is_click, each.at, each.click_id))
        yield CountedCheckout(
            last.ad.campaign_id,
            last.at,
            bought_at,
            int(value * 1_000_000),
            "CLICK_" if last.is_click else "VIEW_",
            is_offline,
        )


def _digest(email: str) -> str:
    return hashlib.sha256(email.encode()).hexdigest() if email else ""
