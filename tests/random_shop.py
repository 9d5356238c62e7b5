"""The messages of a made-up shop, drawn by a seed: visits, orders, edits, refunds and refusals."""

from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.actors import DAY, HOUR, NOW, instant, notes, order, pinned
from tests.messages import Fact, checkout, pixel

BUYERS = 6
# An even seed is a shop beside Pinterest's own app. There an hour after its order is too late for
# what becomes known, so all its orders are of the last hour.
RECENT = (300, 2_400)
_TAX_PERCENT = 10
_SHIPPING = 700
_PRODUCTS = {"111": 2000, "222": 1550, "333": 4990}
_EPIK = "dj0yJnU9b2JwcTV2cjl5VjN1"
# An app notes later that the visit came from elsewhere.
_OTHERS_VISIT = notes(utm_source="google", utm_medium="cpc")
_LANDINGS = (
    "/",
    "/products/mug",
    "/?utm_source=newsletter&utm_medium=email",
    "/?utm_source=google&utm_medium=cpc&utm_campaign=brand",
    pinned("11", utm_campaign="summer"),
    pinned("22", utm_campaign="autumn", epik=_EPIK),
    f"/?epik={_EPIK}",
)


@dataclass
class _Person:
    """A buyer with browsers, some of which others use as well."""

    number: int
    browsers: list[str]

    @property
    def email(self) -> str:
        return f"buyer{self.number}@example.com"


@dataclass
class _Line:
    """Pieces of a product: those that were ever ordered, and those that are left."""

    product: str
    quantity: int
    kept: int

    @property
    def price(self) -> int:
        return _PRODUCTS[self.product]


@dataclass
class _Basket:
    """An order as it changes, in minor units: each change is a new state of it."""

    base: dict[str, Any]
    is_taxed_inside: bool
    at: float
    lines: list[_Line]
    status: str = "pending"
    cancelled_at: str | None = None
    refunds: list[dict[str, Any]] = field(default_factory=list)
    returned: dict[int, _Line] = field(default_factory=dict)

    @property
    def id(self) -> int:
        return int(self.base["id"])

    def body(self) -> dict[str, Any]:
        """The order as Shopify tells it now."""
        ordered = sum(line.price * line.quantity for line in self.lines)
        kept = sum(line.price * line.kept for line in self.lines)
        return self.base | {
            "updated_at": instant(self.at),
            "financial_status": self.status,
            "cancelled_at": self.cancelled_at,
            "taxes_included": self.is_taxed_inside,
            "subtotal_price": _text(ordered),
            "total_tax": _text(self.tax(ordered)),
            "total_price": _text(self.total(ordered)),
            "current_subtotal_price": _text(kept),
            "current_total_tax": _text(self.tax(kept)),
            "current_total_price": _text(self.total(kept)),
            "line_items": [
                {
                    "id": n,
                    "product_id": int(line.product),
                    "price": _text(line.price),
                    "quantity": line.quantity,
                    "current_quantity": line.kept,
                    "tax_lines": [{"price": _text(self.tax(line.price * line.quantity))}],
                }
                for n, line in enumerate(self.lines)
            ],
            "refunds": list(self.refunds),
        }

    def tax(self, goods: int) -> int:
        if self.is_taxed_inside:
            return goods * _TAX_PERCENT // (100 + _TAX_PERCENT)
        return goods * _TAX_PERCENT // 100

    def total(self, goods: int) -> int:
        return goods + _SHIPPING + (0 if self.is_taxed_inside else self.tax(goods))

    def give_back(self, line: _Line, *, is_paid: bool, status: str = "success") -> dict[str, Any]:
        """A refund of one piece of a line, with its money or, in an edit, without."""
        line.kept -= 1
        tax = self.tax(line.price)
        paid = line.price + (0 if self.is_taxed_inside else tax)
        item = {
            "line_item_id": self.lines.index(line),
            "quantity": 1,
            "subtotal": line.price / 100,
            "subtotal_set": {"shop_money": {"amount": _text(line.price), "currency_code": "USD"}},
            "total_tax": tax / 100,
        }
        self.returned[len(self.refunds)] = line
        return self._refund([item], paid if is_paid else 0, status)

    def give_money_back(self, amount: int) -> dict[str, Any]:
        """A refund of money for which nothing came back."""
        return self._refund([], amount)

    def end(self, status: str) -> dict[str, Any] | None:
        """The refund whose payment was on its way, as that ended; what it failed for is kept."""
        for n, refund in enumerate(self.refunds):
            (payment,) = refund["transactions"] or [{"status": ""}]
            if payment["status"] == "pending":
                self.refunds[n] = refund | {"transactions": [payment | {"status": status}]}
                if status == "failure":
                    self.returned[n].kept += 1
                return self.refunds[n]
        return None

    def _refund(
        self, items: list[dict[str, Any]], paid: int, status: str = "success"
    ) -> dict[str, Any]:
        payment = {"kind": "refund", "status": status, "amount": _text(paid), "currency": "USD"}
        refund = {
            "id": self.id * 100 + len(self.refunds),
            "order_id": self.id,
            "created_at": instant(self.at),
            "processed_at": instant(self.at),
            "refund_line_items": items,
            "order_adjustments": [],
            "transactions": [payment] if paid else [],
        }
        self.refunds.append(refund)
        return refund


def _text(minor: int) -> str:
    return f"{minor // 100}.{minor % 100:02}"


def is_beside(seed: int) -> bool:
    """Whether the shop of a seed is beside Pinterest's own app."""
    return seed % 2 == 0


def messages_of(seed: int) -> list[Fact]:
    """Everything that happens in the shop of a seed, in the order in which it happens."""
    random = Random(seed)
    everywhere = [f"browser-{seed:04}-{n:04}" for n in range(2 * BUYERS)]
    is_taxed_inside = random.random() < 0.5
    is_recent = is_beside(seed)
    timed: list[tuple[float, Fact]] = []
    for number in range(BUYERS):
        person = _Person(number, random.sample(everywhere, random.randint(1, 3)))
        for browser in person.browsers:
            timed += _visits_of(random, browser)
        for n in range(random.randint(0, 3)):
            order_id = seed * 10_000 + number * 100 + n + 1
            timed += _order_of(
                random, person, order_id, is_taxed_inside=is_taxed_inside, is_recent=is_recent
            )
    return [fact for _, fact in sorted(timed, key=lambda each: each[0])]


def _visits_of(random: Random, browser: str) -> list[tuple[float, Fact]]:
    """A browser's visits of the last day, with what is looked at and put into carts."""
    found = []
    for _ in range(random.randint(1, 3)):
        ago = float(random.randint(200, 23 * HOUR))
        page, client = random.choice(_LANDINGS), _client_of(random, browser)
        found.append((-ago, pixel("page_viewed", browser, ago, page, clientId=client)))
        for name in ("product_viewed", "product_added_to_cart"):
            if random.random() < 0.6:
                ago -= random.randint(1, 59)
                found.append((-ago, pixel(name, browser, ago, "/products/mug", _VIEWED)))
    if random.random() < 0.2:
        ago = float(random.randint(0, 23 * HOUR))
        seen = {"utm_campaign_id": "33"}
        found.append((-ago, pixel("ad_viewed", browser, ago, data=seen)))
    if random.random() < 0.15:
        said = {"marketing": random.random() < 0.5}
        found.append((-30.0, pixel("page_viewed", browser, 30, consent=said)))
    return found


def _client_of(random: Random, browser: str) -> str:
    """Shopify's id of a browser, which two visitor ids have: the older cookie was lost. A browser
    may have lost Shopify's, too."""
    number = int(browser.rpartition("-")[2]) // 2
    kept = "8f05" if random.random() < 0.8 else "9f05"
    return f"1fd529f6-{kept}-4118-ba6b-{number + 1:012}"


_VIEWED = {
    "productVariant": {
        "id": "2221",
        "product": {"id": "222"},
        "price": {"amount": 15.5, "currencyCode": "USD"},
    }
}


def _order_of(
    random: Random, person: _Person, order_id: int, *, is_taxed_inside: bool, is_recent: bool
) -> list[tuple[float, Fact]]:
    """An order, its checkout in a browser, and all that happens to it afterwards."""
    browser, token = random.choice(person.browsers), f"checkout-token-{order_id:012}"
    is_by_token = random.random() < 0.6
    # The pixel tells of the last day only.
    ago = float(random.randint(4 * HOUR, 20 * HOUR if is_by_token else 5 * DAY))
    if is_recent:
        ago = float(random.randint(*RECENT))
    found = []
    if is_by_token:
        found.append((-ago - 90, checkout("checkout_started", browser, ago + 90, token)))
        told = {"customer": {"isFirstOrder": order_id % 2 == 0}}
        whole = checkout(
            *("checkout_completed", browser, ago - 5, token), email=person.email, order=told
        )
        whole.body["events"][0]["id"] = told_as(order_id)
        found.append((-ago + 5, whole))
    basket = _Basket(
        order(
            id=order_id,
            created_at=instant(NOW - ago),
            processed_at=instant(NOW - ago),
            landing_site=random.choice(_LANDINGS),
            checkout_token=token if is_by_token else None,
            email=person.email,
            contact_email=person.email,
            customer={"id": 9_000 + person.number, "email": person.email},
            billing_address=None,
            test=random.random() < 0.05,
            note_attributes=_notes_of(random, browser),
        ),
        is_taxed_inside,
        NOW - ago,
        [_Line(random.choice(list(_PRODUCTS)), q, q) for q in (random.randint(1, 3), 1)],
    )
    found.append((basket.at - NOW, Fact(f"order {order_id}", basket.body(), "orders/create")))
    if is_by_token and random.random() < 0.5:
        found.append((-ago - 60, _signed_checkout(order_id, token, person)))
    for n in range(random.choices([0, 1, 2], weights=[6, 3, 1])[0]):
        handed_in = _handed_in(random, order_id, person, int(basket.at), n)
        found.append((basket.at - NOW + 1 + n, handed_in))
    for change in _changes(random):
        basket.at += random.randint(1, 40 if is_recent else HOUR // 2)
        found += [(basket.at - NOW, fact) for fact in _changed(random, basket, change)]
    return found


def told_as(order_id: int) -> str:
    """The id by which the storefront tells the purchase of an order."""
    return f"sh-checkout-of-{order_id}"


def _handed_in(random: Random, order_id: int, person: _Person, at: int, number: int) -> Fact:
    """The checkout of an order by another system, under an id of its own, that of the order, or
    that of the storefront."""
    ids = (f"theirs-{order_id}-{number}", f"checkout-{order_id}", told_as(order_id))
    event = {
        "event_name": random.choice(["checkout", "checkout", "checkout", "lead"]),
        "event_id": random.choice(ids),
        "event_time": at,
        "action_source": "web",
        "user_data": {"em": person.email},
        "custom_data": {"order_id": str(order_id)},
    }
    if event["event_name"] == "lead":
        event["event_id"] = f"lead-{order_id}"
    return Fact(f"order {order_id} handed in", {"event_data": event}, "track-event")


def _signed_checkout(order_id: int, token: str, person: _Person) -> Fact:
    body = {
        "id": 10**9 + order_id,
        "token": token,
        "email": person.email,
        "created_at": instant(NOW),
        "abandoned_checkout_url": f"https://shop.example/1/checkouts/{token}/recover",
        "line_items": [],
    }
    return Fact(f"checkout of {order_id}", body, "checkouts/create")


def _notes_of(random: Random, browser: str) -> list[dict[str, str]]:
    if random.random() < 0.1:
        return notes(pin_consent="marketing=no")
    return notes(__pin_vid=browser) if random.random() < 0.3 else []


def _changes(random: Random) -> list[str]:
    """What happens to an order, in its order."""
    later = ["refund", "money", "edit", "exchange", "touch", "pending", "visit"]
    drawn = random.choices(later, k=random.randint(0, 3))
    if "pending" in drawn:
        drawn += random.choice([["failure"], ["success"], []])
    end = random.choices([["cancel"], ["delete"], []], weights=[3, 1, 16])[0]
    return ["pay", *drawn, *end]


def _changed(random: Random, basket: _Basket, change: str) -> list[Fact]:
    """Changes an order, and returns what Shopify tells of it."""
    if change == "delete":
        return [Fact(f"delete {basket.id}", {"id": basket.id}, "orders/delete")]
    told: list[dict[str, Any]] = []
    topic = "orders/updated"
    left = [line for line in basket.lines if line.kept]
    if change == "pay":
        basket.status, topic = "paid", "orders/paid"
    elif change == "cancel":
        basket.cancelled_at, topic = instant(basket.at), "orders/cancelled"
    elif change in ("refund", "edit") and left:
        told.append(basket.give_back(random.choice(left), is_paid=change == "refund"))
    elif change == "pending" and left:
        told.append(basket.give_back(random.choice(left), is_paid=True, status=change))
    elif change in ("failure", "success"):
        basket.end(change)
    elif change == "visit":
        basket.base["note_attributes"] = [*basket.base["note_attributes"], *_OTHERS_VISIT]
    elif change == "money":
        told.append(basket.give_money_back(random.randint(1, 500)))
    elif change == "exchange" and left:
        told.append(basket.give_back(random.choice(left), is_paid=False))
        basket.lines.append(_Line(random.choice(list(_PRODUCTS)), 1, 1))
    if any(refund["transactions"] for refund in basket.refunds):
        basket.status = "partially_refunded"
    name = f"{change} {basket.id}"
    body = basket.body()
    if told and random.random() < 0.2:
        # An app that may not see refunds writes the state.
        del body["refunds"]
    refunds = [Fact(f"{name} alone", refund, "refunds/create") for refund in told]
    return [*refunds, Fact(name, body, topic)]
