"""An order, its refunds and its buyer as values, and the age of an order's state."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Literal

import msgspec

POS_SOURCE = "pos"
# A caller of the Python library knows of the sale, and not how it was paid.
LIBRARY_SOURCE = "library"
DRAFT_SOURCE = "shopify_draft_order"
RENEWAL_SOURCE = "subscription_contract"
# A draft that staff made by duplicating an order, with the notes of that order's visit.
COPIED_DRAFT_SOURCE = "copied_draft"
# An order whose processing lies this much before its creation was imported from another system.
_IMPORT_LAG = 86_400

# Stands in the version of a state that leaves out its refunds for their number.
_UNLISTED = "---"
# The id of the sum of an order's refunds: an export has no single refunds. Shopify's own ids are
# greater numbers.
EXPORTED_REFUND_ID = "0"

# The stages of an order's life in their order, which decides between two states of one second.
_STAGES = {
    status: rank
    for rank, status in enumerate(
        [
            "pending",
            "authorized",
            "partially_paid",
            "paid",
            "partially_refunded",
            "refunded",
            "voided",
            "expired",
        ]
    )
}
_PAID = frozenset({"paid", "partially_refunded", "refunded"})
# The payment failed for good.
_UNPAYABLE = frozenset({"voided", "expired"})
# Shopify's pixel and its Admin API write an order's id in this way.
_GLOBAL_ID = re.compile(
    r"gid://shopify/(?:Order|OrderIdentity)/([0-9]{1,20})(?:\?.*)?", re.IGNORECASE
)


def order_id_in(text: str) -> str:
    """Returns the order id in a text: the number in a global id, any other text unchanged."""
    found = _GLOBAL_ID.fullmatch(text)
    return found[1] if found else text


class PersonalData(msgspec.Struct, frozen=True, gc=False):
    """Base of clear personal data: it lives only inside one call, and `repr` does not show it."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Address(PersonalData, frozen=True, gc=False):
    """A postal address in clear text."""

    first_name: str = ""
    last_name: str = ""
    city: str = ""
    province_code: str = ""
    zip: str = ""
    country_code: str = ""
    phone: str = ""

    def __bool__(self) -> bool:
        return bool(self.last_name or self.city or self.zip or self.country_code or self.phone)


class Buyer(PersonalData, frozen=True, gc=False):
    """The buyer, in clear text."""

    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    addresses: tuple[Address, ...] = ()
    customer_id: str = ""
    first_name: str = ""
    last_name: str = ""


class Browser(PersonalData, frozen=True, gc=False):
    """The buyer's browser as Shopify saw it; empty where it was a staff member's."""

    ip: str = ""
    user_agent: str = ""


class Line(msgspec.Struct, frozen=True, gc=False):
    """One line of the order. `price` is decimal text in major units, per piece and before
    discounts. `quantity` is what the buyer still has of it, or what a refund takes off it. It
    `is_reduced` if the state itself tells that pieces are gone, whichever refunds it lists."""

    product_id: str
    variant_id: str
    sku: str
    title: str
    vendor: str
    price: str
    quantity: int
    id: str = ""
    is_reduced: bool = False


# The state of a refund's payment: none is known of, it is on its way, it failed, it left the shop's
# account, or it left in the buyer's currency.
RefundStatus = Literal["", "pending", "failed", "paid", "foreign"]


class Refund(msgspec.Struct, frozen=True, gc=False):
    """A refund. All figures are minor units of the shop's currency.

    `goods` is the sum of its lines as they are priced: where prices include taxes, so do they.
    `tax` is the tax of these lines. `other` is given back for what is no goods: shipping and
    duties, with their tax. `extra` is given back besides, without lines; less than nothing where
    less than the lines was given back. `paid` is the payment of a refund that was paid.

    Of two states of one refund the one with the greater `version` is newer. A refund that
    `is_listed` is known to a state of the order. `pieces` are what it takes off the order's lines.
    `taxes_included` says whether the order's prices include taxes, None if the refund does not.
    """

    id: str
    order_id: str
    at: int
    goods: int
    tax: int = 0
    other: int = 0
    extra: int = 0
    paid: int = 0
    status: RefundStatus = ""
    version: str = ""
    is_listed: bool = False
    pieces: tuple[Line, ...] = ()
    taxes_included: bool | None = None

    @property
    def is_given(self) -> bool:
        """False while its payment is on its way, and if it failed."""
        return self.status not in ("pending", "failed")


def lines_without(lines: tuple[Line, ...], gone: Iterable[Line]) -> tuple[Line, ...]:
    """Returns the lines without pieces of them, which are known by the id of the line."""
    taken: Counter[str] = Counter()
    for piece in gone:
        if piece.id:
            taken[piece.id] += piece.quantity
    if not taken:
        return lines
    return tuple(
        msgspec.structs.replace(line, quantity=max(0, line.quantity - taken[line.id]))
        for line in lines
    )


def newer_refund(one: Refund, other: Refund) -> Refund:
    """Returns the newer of two states of a refund."""
    newer = max(one, other, key=lambda refund: refund.version)
    is_listed = one.is_listed or other.is_listed
    return msgspec.structs.replace(newer, is_listed=is_listed)


class Order(msgspec.Struct, frozen=True, gc=False):
    """One state of an order. Instants are seconds UTC; money is minor units of `currency`.

    `net` and `total` are what was bought, `kept_net` and `kept_total` what this state says that
    the buyer kept of it; None if it does not say, or if nothing was taken off or added.
    `session_hints` are fields of its session from other sources, weaker than the order's own: the
    field, its value, and its origin. `source_name` is Shopify's, except that a renewal by an app
    and a duplicated draft have names of ours. An order that `is_exported` was read from a file,
    which has neither the visit nor the browser; that of an `is_draft` was placed by staff.
    `was_paid` says that another state of it was paid, `deleted_at` that Shopify told of its
    deletion. `taxes_included` says whether its prices include taxes, None if this state does not.
    `sold` and `peak` are known from other states, by the shop's setting: what it was worth before
    anything was taken back, and the most that the buyer had by any of them. It `lists_refunds`
    unless its body leaves out which there are.
    """

    id: str
    name: str
    placed_at: int
    processed_at: int
    updated_at: int
    cancelled_at: int | None
    currency: str
    net: int
    total: int
    test: bool
    financial_status: str
    source_name: str
    locale: str
    origin: str
    landing_site: str
    referring_site: str
    checkout_token: str
    cart_token: str
    notes: tuple[tuple[str, str], ...]
    lines: tuple[Line, ...]
    refunds: tuple[Refund, ...]
    buyer: Buyer
    browser: Browser
    digest: str
    session_hints: tuple[tuple[str, str | int | bool, str], ...] = ()
    is_exported: bool = False
    was_paid: bool = False
    deleted_at: int | None = None
    taxes_included: bool | None = False
    kept_net: int | None = None
    kept_total: int | None = None
    is_draft: bool = False
    sold: int | None = None
    peak: int | None = None
    lists_refunds: bool = True
    is_first: bool | None = None

    def __repr__(self) -> str:
        # The buyer wrote the notes and the landing page's query, and may be named in them.
        return f"<Order {self.id}>"

    @property
    def version(self) -> str:
        """Text that sorts by age of the state: of two bodies of one order the greater is newer.

        Shopify's `updated_at` has whole seconds, and create and paid often share one. Then the
        later stage of life decides, and at last the body itself, so that the order of arrival never
        does. The state in a file is older than any state from a webhook, which has more fields.
        """
        is_cancelled = self.cancelled_at is not None
        state = version_prefix(self.updated_at, self.financial_status, is_cancelled)
        # "-" sorts before every digit.
        source = "-" if self.is_exported else ""
        listed = f"{len(self.refunds):03d}" if self.lists_refunds else _UNLISTED
        return f"{source}{state}.{listed}.{self.digest[:16]}"

    @property
    def is_paid(self) -> bool:
        """True if the whole amount was paid once, even if it was refunded since, or if an item was
        added that is not paid yet."""
        return self.was_paid or self.financial_status in _PAID

    @property
    def is_never_paid(self) -> bool:
        """True if its payment failed for good, before it was ever paid."""
        return is_unpayable(self.financial_status) and not self.is_paid

    @property
    def proves_payment(self) -> bool:
        """True if this state shows, in Shopify's words, that the order was paid."""
        return self.is_paid and self.source_name != LIBRARY_SOURCE

    @property
    def has_shopifys_prices(self) -> bool:
        """False for a state from a file or from a caller of the library, which knows less exactly
        what an order is worth."""
        return not self.is_exported and self.source_name != LIBRARY_SOURCE

    @property
    def is_pos(self) -> bool:
        """True if it was sold over the counter."""
        return self.source_name == POS_SOURCE

    @property
    def is_renewal(self) -> bool:
        """True if a subscription renewed itself: there was no visit to the shop."""
        return self.source_name.startswith(RENEWAL_SOURCE)

    @property
    def is_copied(self) -> bool:
        """True if staff duplicated an order: the visit in its notes is that of the other order."""
        return self.source_name == COPIED_DRAFT_SOURCE

    @property
    def has_storefront(self) -> bool:
        """True if the buyer placed it in the online store, whose own events tell of it as well."""
        return is_of_storefront(self.source_name) and not self.is_draft

    @property
    def is_imported(self) -> bool:
        """True if it was sold earlier, elsewhere, and entered into the shop later."""
        return self.placed_at - self.processed_at > _IMPORT_LAG


def least(*figures: int | None) -> int | None:
    """Returns the least of the figures that are known; None if none is."""
    return min((figure for figure in figures if figure is not None), default=None)


def most(*figures: int | None) -> int | None:
    """Returns the greatest of the figures that are known; None if none is."""
    return max((figure for figure in figures if figure is not None), default=None)


def is_unpayable(financial_status: str) -> bool:
    """Returns True if a payment of this status failed for good."""
    return financial_status in _UNPAYABLE


def is_without_visit(source_name: str) -> bool:
    """Returns True if nothing the buyer did in the shop led to an order of this source."""
    return source_name.startswith(RENEWAL_SOURCE) or source_name == COPIED_DRAFT_SOURCE


def changed_at(version: str) -> int:
    """Returns when the state of a version was last changed, in seconds UTC; 0 for no version."""
    text = version.removeprefix("-").partition(".")[0]
    return int(text) if text else 0


def lists_refunds(version: str) -> bool:
    """Returns False if the state of a version leaves out which refunds there are."""
    return version.split(".")[2:3] != [_UNLISTED]


def is_of_storefront(source_name: str) -> bool:
    """Returns True if orders of this source are placed in the online store, by their buyers."""
    return not (source_name in (POS_SOURCE, DRAFT_SOURCE) or is_without_visit(source_name))


def version_prefix(updated_at: int, financial_status: str, is_cancelled: bool) -> str:
    """Returns the beginning of `Order.version` for a state of which no more than this is known."""
    stage = _STAGES.get(financial_status, 0) + (10 if is_cancelled else 0)
    return f"{updated_at:012d}.{stage:02d}"
