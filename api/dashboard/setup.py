"""The set-up list: what a new shop has to do, what of it was seen, and a test event by a button."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from api.dashboard.formats import time_text
from api.dashboard.page import PageRequest
from tracking.destinations.base import PINTEREST
from tracking.receive.event_trials import NoAnswer, ReportOnly, TooManyTrials
from tracking.service import Service
from tracking.store import pinterest_readings, signs_of_life
from tracking.store.engine.statement import Connection

LINK_TEMPLATE = (
    "utm_source=pinterest&utm_medium=cpc&utm_campaign={campaign_name}&utm_campaign_id={campaignid}"
    "&utm_ad_id={adid}&utm_pin_id={creative_id}"
)
# Shopify's words for the topics without which figures go wrong.
_NEEDED_TOPICS = ("orders/create", "orders/updated", "orders/cancelled", "refunds/create")


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step: whether it is done, when it was last seen, and what to do until it is.

    Without an `is_needed` one the service works, but knows less.
    """

    title: str
    is_done: bool
    seen: str
    remedy: str
    is_needed: bool = True


def setup_steps(conn: Connection, asked: PageRequest) -> list[SetupStep]:
    """Returns the steps in their order."""
    return [*_steps(conn, asked)]


def _steps(conn: Connection, asked: PageRequest) -> Iterator[SetupStep]:
    settings = asked.service.settings

    def seen(at: int | None) -> str:
        return time_text(at, settings.shop_timezone) if at else ""

    order = signs_of_life.last_order(conn)
    yield SetupStep("Webhook secret", True, "is set", "")
    yield SetupStep(
        "First order from Shopify",
        bool(order),
        seen(order),
        "Have Shopify send its webhooks here: docs/install.md, or the command `subscribe`.",
    )
    yield _subscriptions(signs_of_life.topics(conn), seen)
    storefront = signs_of_life.last_storefront_event(conn)
    yield SetupStep(
        "Pixel in the shop",
        bool(storefront),
        seen(storefront),
        "Install the pixel in the theme and as a custom pixel: docs/pixel.md."
        if settings.collector_key
        else "Set COLLECTOR_KEY, and install the pixel: docs/pixel.md.",
        is_needed=False,
    )
    accepted = signs_of_life.last_accepted(conn, PINTEREST)
    yield SetupStep(
        "First event accepted by Pinterest",
        bool(accepted),
        seen(accepted),
        "Set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID."
        if settings.is_report_only
        else "Show Pinterest a test event, by the button below. The first order follows by itself.",
    )
    yield _spend(conn, asked.service, seen)


def _subscriptions(topics: Iterable[signs_of_life.TopicSeen], seen: Any) -> SetupStep:
    at = {topic.topic: topic.at for topic in topics}
    missing = [topic for topic in _NEEDED_TOPICS if topic not in at]
    return SetupStep(
        "Webhooks of every kind",
        not missing,
        seen(max(at.values(), default=None)),
        f"Not seen yet: {', '.join(missing)}. Each comes when it first happens in the shop.",
        is_needed=False,
    )


def _spend(conn: Connection, service: Service, seen: Any) -> SetupStep:
    title = "Spend from Pinterest"
    if service.pinterest_sync is None:
        remedy = "Set PINTEREST_ADS_TOKEN, or upload the spend: docs/reports.md."
        return SetupStep(title, False, "", remedy, is_needed=False)
    account = service.settings.pinterest_ad_account_id
    readings = pinterest_readings.of_account(conn, account)
    known = next((each for each in readings if each.kind == pinterest_readings.SPEND), None)
    at = known.read_at if known else 0
    remedy = known.failure if known and known.failure else "It is read within the hour."
    return SetupStep(title, bool(at), seen(at), remedy, is_needed=False)


def show_test_event(service: Service, form: Mapping[str, str]) -> str:
    """Shows Pinterest an event that it checks and does not count; returns its answer in words."""
    event = {
        "event_name": "page_visit",
        "action_source": "web",
        "event_time": int(service.clock()),
        "user_data": {"client_ip_address": "203.0.113.7", "client_user_agent": "test event"},
    }
    try:
        trial = service.event_trials.try_out(msgspec.json.encode({"event_data": event}))
    except ReportOnly:
        return "Pinterest was not asked: set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID."
    except TooManyTrials as error:
        return f"Pinterest was not asked: try again in {error.seconds} seconds."
    except NoAnswer as error:
        return f"Pinterest did not answer: {error}."
    said = msgspec.json.encode(trial.answer).decode()[:500]
    # A proxy's page is no answer of Pinterest's.
    if trial.http_status == 200 and isinstance(trial.answer, Mapping):
        return f"Pinterest took the test event, and counts nothing of it. It answered: {said}"
    return f"Pinterest refused the test event (HTTP {trial.http_status}): {said}"
