"""Nobody is known for longer than RETENTION_DAYS, and no figure of the shop changes by it."""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from app import assemble
from tests.actors import COLLECTOR_KEY, DAY, HOUR, Clock, Shop, instant, notes, order, refund
from tests.conftest import BuildService
from tests.pixel_events import event
from tests.store_contents import everything, rows
from tracking.domain.attribution import MODELS
from tracking.domain.identity import Digest, identity_key
from tracking.receive.pixel import ClientInfo, pixel_batch_of
from tracking.service import Service
from tracking.store.migrations import migrate

KEPT_DAYS, STEP_DAYS, STEPS = 400, 100, 11
NOTHING_CLOSED = {"closed_through": None, "closed_timezone": None}
# Steps after which an order is one of long ago.
LONG_AGO = 5
EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
CHECKOUT = "https://shop.example/1/checkouts/ac/x/recover?key=secret"
HERE = ClientInfo("203.0.113.187", "Mozilla/5.0 (Macintosh)")


class Shops:
    """The same shop twice: one service forgets, the other never does."""

    def __init__(self, forgetful: Service, never: Service, clock: Clock) -> None:
        self.services = (forgetful, never)
        self.forgetful = forgetful
        self.clock = clock
        self._shops = [Shop(assemble(service).test_client()) for service in self.services]

    def sends(self, topic: str, body: Mapping[str, Any]) -> None:
        """A webhook to both."""
        for shop in self._shops:
            answer = shop.sends(topic, body)
            assert answer.status_code == 200, answer.get_data(as_text=True)

    def tells(self, name: str, visitor: str, ago: float, page: str, **more: Any) -> None:
        """An event of the pixel to both, `ago` seconds before now."""
        now = int(self.clock())
        told = event(name, href=f"https://shop.example{page}", referrer="", **more)
        told |= {"id": f"e-{name}-{visitor}-{now - ago}", "timestamp": instant(now - ago)}
        told |= {"clientId": f"client-of-{visitor}"}
        call = {"visitor": visitor, "events": [told], "consent": {"marketing": True}}
        for service in self.services:
            policy = service.tracker.planner.policy
            batch = pixel_batch_of(json.dumps(call).encode(), HERE, policy, now)
            assert not batch.errors
            service.tracker.record_pixel_events(batch.events)

    def purges(self) -> None:
        self.forgetful.figures.finish()
        for _ in self.forgetful.retention.purge():
            pass

    def reports(self, since: str, until: str) -> list[list[Any]]:
        """What each of the two reports."""
        asked: list[tuple[str, dict[str, str]]] = [
            ("/conversion-funnel", {"traffic": "all"}),
            ("/conversion-funnel", {"traffic": "pinterest"}),
            ("/roi-analysis", {"report_by": "click_date"}),
            *(("/roi-analysis", {"model": m, "scope": s}) for m in MODELS for s in SCOPES),
        ]
        days = {"start_date": since, "end_date": until}
        told = [[shop.reads(path, **days, **how) for path, how in asked] for shop in self._shops]
        # Which days are closed is told by the one that forgets alone.
        return [[report | NOTHING_CLOSED for report in reports] for reports in told]


SCOPES = ("pinterest", "all")


@pytest.fixture
def build_shops(
    build_service: BuildService, database_url: str, tmp_path: Path, clock: Clock
) -> Callable[[], Shops]:
    def build() -> Shops:
        never = f"sqlite:///{tmp_path}/never.db"
        migrate(never)
        forgetful = build_service(
            database_url, COLLECTOR_KEY=COLLECTOR_KEY, RETENTION_DAYS=str(KEPT_DAYS)
        )
        return Shops(forgetful, build_service(never, COLLECTOR_KEY=COLLECTOR_KEY), clock)

    return build


def buyer(number: int, email: str, at: float, **changes: Any) -> dict[str, Any]:
    """An order placed at an instant."""
    moments = dict.fromkeys(("created_at", "processed_at", "updated_at"), instant(at))
    who = {
        "email": email,
        "contact_email": None,
        "billing_address": None,
        "customer": {"id": 10_000 + number},
    }
    return order(id=number, name=f"#{number}", **who, **moments) | changes


def page(campaign: int) -> str:
    return f"/?utm_source=pinterest&utm_medium=cpc&utm_campaign_id={campaign}&epik={EPIK}{campaign}"


def a_month(shops: Shops, step: int) -> None:
    """What happens in one step: somebody new comes and buys, somebody else only looks around,
    a guest orders, and a customer of the first day buys once more."""
    now, first = shops.clock.now, 1000 * step
    new, looker = f"browser-new-{step:04}", f"browser-look-{step:04}"
    token = f"checkout-token-{step:012}"
    shops.tells("page_viewed", new, 20 * HOUR, page(first + 1))
    shops.tells("page_viewed", new, 10 * HOUR, page(first + 2))
    shops.tells("page_viewed", new, HOUR, page(first + 3))
    began = {"checkout": {"token": token, "email": f"new-{step}@example.com"}}
    shops.tells("checkout_started", new, 600, "/checkouts/cn/x", **began)
    shops.tells("page_viewed", looker, HOUR, page(first + 4))
    shops.tells("product_viewed", looker, HOUR - 60, "/products/mug")
    bought = {"checkout_token": token, "landing_site": "/", "total_price": "50.00"}
    shops.sends("orders/create", buyer(first + 1, f"new-{step}@example.com", now, **bought))
    shops.sends("orders/create", buyer(first + 2, f"guest-{step}@example.com", now))
    unfinished = {"abandoned_checkout_url": CHECKOUT, "token": f"token-left-{step:012}"}
    left = buyer(first + 3, f"left-{step}@example.com", now, **unfinished)
    shops.sends("checkouts/create", left | {"financial_status": None})
    shops.tells("page_viewed", "browser-loyal-1", 2 * HOUR, page(first + 5))
    loyal = {"landing_site": page(first + 6), "note_attributes": notes(pin_vid="browser-loyal-1")}
    shops.sends("orders/create", buyer(first + 4, "loyal@example.com", now, **loyal))


def changes_of(shops: Shops, step: int) -> None:
    """What happens to orders of long ago: a part is given back, one is changed, one cancelled."""
    then, now = 1000 * step, instant(shops.clock.now)
    given = {"created_at": now, "processed_at": now}
    shops.sends("refunds/create", refund(id=then, order_id=then + 1, **given))
    at = shops.clock.now - LONG_AGO * STEP_DAYS * DAY
    changed = buyer(then + 4, "loyal@example.com", at, landing_site=page(then + 6))
    shops.sends("orders/updated", changed | {"updated_at": now})
    cancelled = buyer(then + 2, f"guest-{step}@example.com", at)
    shops.sends("orders/cancelled", cancelled | {"updated_at": now, "cancelled_at": now})


def traces_of(step: int) -> list[str]:
    """What tells of the people of a step who never came again."""
    emails = (f"{who}-{step}@example.com" for who in ("new", "guest", "left"))
    digests = [sha256(email.encode()).hexdigest() for email in emails]
    keys = [identity_key("em", Digest(digest)) for digest in digests]
    browsers = [f"browser-new-{step:04}", f"browser-look-{step:04}"]
    browsers += [f"checkout-token-{step:012}", f"token-left-{step:012}"]
    clicks = [f"{EPIK}{1000 * step + n}" for n in (1, 2, 3, 4)]
    return [*digests, *(key.removeprefix("em:") for key in keys), *browsers, *clicks]


def kept_of_persons(service: Service) -> str:
    """Everything that is stored, without the ids that the storefront gave its events."""
    kept = everything(service.store)
    kept["conversions"] = [{**row, "event_id": ""} for row in kept["conversions"]]
    return repr(kept)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_in_three_years_nobody_is_known_for_longer_and_no_figure_changes(
    build_shops: Callable[[], Shops], clock: Clock
) -> None:
    shops = build_shops()
    begun = instant(clock.now)[:10]
    for step in range(1, STEPS + 1):
        a_month(shops, step)
        if step > LONG_AGO:
            changes_of(shops, step - LONG_AGO)
        clock.tick(days=1)
        shops.purges()

        oldest = step - KEPT_DAYS // STEP_DAYS - 1
        kept = kept_of_persons(shops.forgetful)
        for old in {oldest, 1} if oldest > 0 else ():
            assert [trace for trace in traces_of(old) if trace in kept] == [], (step, old)
        assert [trace for trace in traces_of(step) if trace in kept] != []
        clock.tick(days=STEP_DAYS - 1)

    forgetful, never = shops.reports(begun, instant(clock.now)[:10])
    assert forgetful == never
    assert forgetful[3]["orders"] == 3 * STEPS
    assert forgetful[3]["refunds"] != "0.00" != forgetful[3]["cancellations"]
    (loyal,) = {
        row["visitor"]
        for row in rows(shops.forgetful.store, "orders")
        if row["visitor"]
        if row["id"] == f"{1000 * STEPS + 4}"
    }
    assert loyal == "browser-loyal-1"


def test_a_figure_over_the_border_counts_a_visitor_once(
    build_shops: Callable[[], Shops], clock: Clock
) -> None:
    shops = build_shops()
    begun = instant(clock.now)[:10]
    for step in (1, 4, 6):
        a_month(shops, step)
        clock.tick(days=KEPT_DAYS / 2)
        shops.purges()
        forgetful, never = shops.reports(begun, instant(clock.now)[:10])
        assert forgetful == never


def test_a_touch_that_a_younger_order_may_be_credited_to_stays(
    build_shops: Callable[[], Shops], clock: Clock
) -> None:
    shops = build_shops()
    shops.tells("page_viewed", "browser-loyal-1", 0, page(1))
    clock.tick(days=20)
    loyal = {"landing_site": "/", "note_attributes": notes(pin_vid="browser-loyal-1")}
    shops.sends("orders/create", buyer(1, "loyal@example.com", clock.now, **loyal))
    clock.tick(days=KEPT_DAYS - 10)
    shops.purges()
    assert next(row["campaign_id"] for row in rows(shops.forgetful.store, "touches")) == "1"

    # A later fact has the order credited again, by all touches that there are.
    twin = {"landing_site": page(2), "note_attributes": notes(pin_vid="browser-loyal-1")}
    shops.sends("orders/create", buyer(2, "loyal@example.com", clock.now - 375 * DAY, **twin))
    forgetful, never = shops.reports(instant(clock.now - 500 * DAY)[:10], instant(clock.now)[:10])
    assert forgetful == never

    clock.tick(days=30)
    shops.purges()
    assert "1" not in {row["campaign_id"] for row in rows(shops.forgetful.store, "touches")}


def test_whoever_comes_back_is_known_on(build_shops: Callable[[], Shops], clock: Clock) -> None:
    shops = build_shops()
    shops.tells("page_viewed", "browser-loyal-1", 0, page(1))
    for _ in range(4):
        clock.tick(days=KEPT_DAYS - 1)
        shops.tells("page_viewed", "browser-loyal-1", 0, "/")
        shops.purges()

    store = shops.forgetful.store
    assert [row["visitor"] for row in rows(store, "clients")] == ["browser-loyal-1"]
    assert [row["visitor"] for row in rows(store, "visitors")] == ["browser-loyal-1"]


def test_an_order_of_somebody_forgotten_brings_nobody_back(
    build_shops: Callable[[], Shops], clock: Clock
) -> None:
    shops = build_shops()
    placed = clock.now
    shops.sends("orders/create", buyer(1, "ada@example.com", placed, landing_site=page(1)))
    clock.tick(days=KEPT_DAYS + 1)
    shops.purges()

    later = buyer(1, "ada@example.com", placed, landing_site=page(1), total_price="30.00")
    shops.sends("orders/updated", later | {"updated_at": instant(clock.now)})
    shops.sends("orders/delete", {"id": 1})

    (known,) = rows(shops.forgetful.store, "orders")
    assert (known["links"], known["session"], known["visitor"], known["path"]) == ("",) * 4
    assert rows(shops.forgetful.store, "links") == []
    forgetful, never = shops.reports(instant(placed)[:10], instant(clock.now)[:10])
    assert forgetful == never
