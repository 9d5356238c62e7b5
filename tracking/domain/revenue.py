"""Computes what is left of an order after refunds, edits, exchanges and a cancellation."""

from collections.abc import Callable, Container, Iterable, Sequence
from typing import NamedTuple

from msgspec import structs

from tracking.domain.order import EXPORTED_REFUND_ID, Line, Refund


class OrderWorth(NamedTuple):
    """The worth of an order by its newest state, in minor units.

    `value` is what was bought, `kept` what the buyer kept by that state as of `kept_at` (seconds
    UTC), None if the state does not say. It `lists_refunds` unless it leaves out which there are.
    Of an order that `is_total` tax and shipping count, too. `sold` and `peak` are known from all
    states: the value before anything was taken back, None if no such state is known, and the most
    that the buyer ever had.
    """

    value: int
    kept: int | None
    kept_at: int
    is_total: bool
    taxes_included: bool | None
    is_cancelled: bool
    sold: int | None = None
    peak: int | None = None
    lists_refunds: bool = True

    @property
    def value_before_exchange(self) -> int:
        """Returns the value before goods were taken back, as far as it is known: what the buyer
        had at most, with the items that were added before."""
        first = self.value if self.sold is None else self.sold
        return max(first, self.peak or 0)


class OrderFigures(NamedTuple):
    """The money of an order in minor units: `revenue` is what is left of `gross`."""

    gross: int
    refunds: int
    cancellations: int

    @property
    def revenue(self) -> int:
        """Returns gross without refunds and cancellations."""
        return self.gross - self.refunds - self.cancellations

    @property
    def is_refunded(self) -> bool:
        """True if everything was given back."""
        return self.refunds > 0 and self.refunds == self.gross


def figures_of(worth: OrderWorth, refunds: Iterable[Refund]) -> OrderFigures:
    """Returns the figures of an order that these refunds are known of, in any order."""
    every = tuple(refunds)
    value = worth.value
    if worth.kept is not None or worth.is_cancelled:
        # What was added stays a part of the order when it, or all of it, is taken back.
        value = max(value, worth.peak or 0)
    taxes_included = includes_taxes(worth.taxes_included, every)
    if (value, taxes_included) != (worth.value, worth.taxes_included):
        worth = worth._replace(value=value, taxes_included=taxes_included)
    single = _without_paid_debts(every, taxes_included)
    if worth.kept is None or worth.is_cancelled:
        gross = worth.value
        refunded = sum(_given_back(worth, refund) for refund in single)
    else:
        kept = _kept(worth, worth.kept, single)
        gross = max(worth.value, kept)
        refunded = gross - max(0, kept - _taken_off(worth, single))
    paid = _sum(single, lambda r: _paid(r, taxes_included))
    for exported in every:
        # The one sum of an exported file and the single refunds stand for the same money: the
        # larger holds.
        if exported.id == EXPORTED_REFUND_ID and exported.paid > paid:
            refunded = max(refunded, _given_back(worth, exported))
    refunded = min(max(0, refunded), gross)
    return OrderFigures(gross, refunded, gross - refunded if worth.is_cancelled else 0)


def pieces_gone(
    worth: OrderWorth, reduced: Container[str], refunds: Iterable[Refund]
) -> tuple[Line, ...]:
    """Returns the pieces that refunds took off an order besides what its newest state has taken
    off; `reduced` are the ids of the lines that it itself tells fewer pieces of."""
    return tuple(
        piece
        for refund in refunds
        if refund.is_given
        for piece in refund.pieces
        if not _has_taken(worth, reduced, refund, piece)
    )


def pieces_changed(
    worth: OrderWorth, reduced: Container[str], before: Refund | None, now: Refund
) -> tuple[Line, ...]:
    """Returns the pieces that a newer state of a refund takes off an order, with a negative number
    those that it gives back to the order."""
    was_given = before is not None and before.is_given
    if now.is_given and not was_given:
        return pieces_gone(worth, reduced, (now,))
    if before is None or now.is_given:
        return ()
    gone = pieces_gone(worth, reduced, (before,))
    return tuple(structs.replace(piece, quantity=-piece.quantity) for piece in gone)


def paid_back(refunds: Iterable[Refund], taxes_included: bool | None) -> int:
    """Returns what left the shop's account for the refunds of an order, in minor units."""
    every = tuple(refunds)
    is_inclusive = includes_taxes(taxes_included, every)
    exported = [refund for refund in every if refund.id == EXPORTED_REFUND_ID]
    return max(
        _sum(some, lambda r: _paid(r, is_inclusive))
        for some in (_without_paid_debts(every, is_inclusive), exported)
    )


def includes_taxes(of_order: bool | None, refunds: Iterable[Refund]) -> bool:
    """Returns True if an order's prices include taxes, by the order or else by its refunds.

    Where neither says it they count as prices without taxes: rather too much is taken off the
    revenue than too little.
    """
    if of_order is not None:
        return of_order
    return any(refund.taxes_included for refund in refunds)


def _without_paid_debts(refunds: Iterable[Refund], taxes_included: bool) -> list[Refund]:
    """Returns the single refunds, without what was owed for removed lines and then paid to the
    cent.

    That nothing was given back besides cannot be told from sums once other goods were added.
    """
    found = {refund.id: refund for refund in refunds if refund.id != EXPORTED_REFUND_ID}
    owed = [refund for refund in found.values() if _debt(refund, taxes_included)]
    for paid in sorted(found.values(), key=lambda refund: (refund.at, refund.id)):
        if paid.extra <= 0 or not paid.is_given:
            continue
        debts = [refund for refund in owed if refund.at <= paid.at]
        if debts := _paid_by(paid.extra, debts, taxes_included):
            rest = max(0, paid.paid - paid.extra)
            found[paid.id] = structs.replace(paid, extra=0, paid=rest)
            for debt in debts:
                found[debt.id] = structs.replace(debt, extra=0)
                owed.remove(debt)
    return list(found.values())


def _paid_by(payment: int, debts: list[Refund], taxes_included: bool) -> list[Refund]:
    """Returns the debts that a payment is equal to: one of them or all; none if it is not."""
    single = [refund for refund in debts if _debt(refund, taxes_included) == payment]
    if single:
        return [max(single, key=lambda refund: (refund.at, refund.id))]
    return debts if _sum(debts, lambda r: _debt(r, taxes_included)) == payment else []


def _debt(refund: Refund, taxes_included: bool) -> int:
    """Returns what is owed to the buyer for removed lines; 0 if nothing is, or something was paid
    at once."""
    if refund.status or not refund.goods or refund.extra > 0:
        return 0
    return -refund.extra or _priced(refund, taxes_included) + refund.other


def _kept(worth: OrderWorth, kept: int, refunds: Sequence[Refund]) -> int:
    """Returns what the buyer kept, or will pay for, before money was given back without lines.

    The lines of a refund that was not paid are taken off there, but their money is not given back.
    """
    known = [refund for refund in refunds if _is_known(worth, refund)]
    owed = _sum(known, lambda r: 0 if r.is_given else _lines(worth, r))
    given = _sum(known, lambda r: _lines(worth, r) if r.is_given else 0)
    return min(kept + owed, max(kept, worth.value - given))


def _taken_off(worth: OrderWorth, refunds: Sequence[Refund]) -> int:
    """Returns what was given back of an order besides what its newest state has taken off."""
    given = [refund for refund in refunds if refund.is_given]
    known = [refund for refund in given if _is_known(worth, refund)]
    newer = [refund for refund in given if not _is_known(worth, refund)]
    lines = _sum(newer, lambda r: _lines(worth, r))
    extra = _sum(newer, lambda r: _given_back(worth, r)) - lines
    debts = _debts_of(known)
    besides = _sum(known, lambda r: 0 if _may_pay(r, debts) else max(0, r.extra))
    before = _extra_of_known(worth, known, debts)
    if before < 0:
        # What was owed to the buyer for removed lines is paid by a newer refund without lines.
        extra, before = min(extra, max(0, extra + before)), 0
    return max(0, lines + extra + before + besides)


def _debts_of(refunds: Iterable[Refund]) -> list[Refund]:
    """Returns the refunds that owe the buyer something for removed lines.

    Where something was paid at once, the rest was settled otherwise: by other goods, or a fee.
    """
    return [refund for refund in refunds if not refund.paid and refund.extra < 0]


def _may_pay(refund: Refund, debts: Sequence[Refund]) -> bool:
    """Returns True if money may pay what was owed: it came later, and for no lines of its own."""
    return not refund.goods and any(debt.at <= refund.at for debt in debts)


def _extra_of_known(worth: OrderWorth, known: Sequence[Refund], debts: Sequence[Refund]) -> int:
    """Returns what was paid without lines after lines were removed; less than nothing where more
    was owed for these than was paid or exchanged for."""
    paid = _sum(known, lambda r: max(0, r.extra) if _may_pay(r, debts) else 0)
    owed = -_sum(debts, lambda r: r.extra)
    lines = _sum(known, lambda r: _lines(worth, r))
    added = min(lines, max(0, (worth.kept or 0) + lines - worth.value_before_exchange))
    if lines > 0 and not worth.is_total:
        added = _share(added, _sum(known, lambda r: _priced(r, worth.taxes_included)), lines)
    return paid - max(0, owed - added)


def _sum(refunds: Iterable[Refund], figure: Callable[[Refund], int]) -> int:
    return sum(figure(refund) for refund in refunds)


def _is_known(worth: OrderWorth, refund: Refund) -> bool:
    """Returns True if the order's newest state has taken the lines of a refund off.

    A state of the same second that does not list the refund is the older one. One that leaves out
    its refunds is the one that Shopify tells because of the refund.
    """
    if refund.at == worth.kept_at and not worth.lists_refunds:
        return True
    return refund.is_listed or refund.at < worth.kept_at


def _has_taken(worth: OrderWorth, reduced: Container[str], refund: Refund, piece: Line) -> bool:
    """Returns True if the lines of the order's newest state are without a piece of a refund."""
    if refund.is_listed:
        return True
    return piece.id in reduced and worth.kept is not None and _is_known(worth, refund)


def _priced(refund: Refund, taxes_included: bool | None) -> int:
    """Returns what the buyer had paid for the lines of a refund, with tax."""
    return refund.goods if taxes_included else refund.goods + refund.tax


def _lines(worth: OrderWorth, refund: Refund) -> int:
    """Returns what the lines of a refund were worth in the order."""
    if worth.is_total:
        return _priced(refund, worth.taxes_included) + refund.other
    return max(0, refund.goods - refund.tax) if worth.taxes_included else refund.goods


def _given_back(worth: OrderWorth, refund: Refund) -> int:
    """Returns what a refund takes off an order's value; 0 if it was not paid.

    It is less than nothing if removed lines were not paid yet: sums are limited, not their parts.
    """
    if worth.is_total:
        return _paid(refund, worth.taxes_included)
    if not refund.is_given:
        return 0
    lines = _lines(worth, refund)
    if refund.status != "paid":
        return lines + refund.extra
    priced, covered = _priced(refund, worth.taxes_included), refund.paid - refund.extra
    if max(0, covered) < priced:
        lines = _share(lines, max(0, covered), priced)
    return min(lines + refund.extra, refund.paid)


def _paid(refund: Refund, taxes_included: bool | None) -> int:
    """Returns what left the shop's account, or would have if its payment were known."""
    if not refund.is_given:
        return 0
    if refund.status == "paid":
        return refund.paid
    return _priced(refund, taxes_included) + refund.other + refund.extra


def _share(amount: int, part: int, whole: int) -> int:
    """Returns the share of an amount, rounded half up."""
    return (2 * amount * part + whole) // (2 * whole)
