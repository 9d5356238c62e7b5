"""Attribution: the credits of an order by every model at once, exact to the last cent."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import reduce
from itertools import product
from math import lcm
from operator import attrgetter, or_
from typing import Literal, Self

import msgspec

Kind = Literal["click", "view"]
Scope = Literal["pinterest", "all"]
Model = Literal[
    "first_touch",
    "last_touch",
    "last_non_direct",
    "linear",
    "position_based",
    "time_decay",
    "view_through",
]

_DAY = 86_400
_HOUR = 3_600
_HALF_LIFE = 7 * _DAY
_FIFTY_DIGITS = Context(prec=50)
_DECAY = _FIFTY_DIGITS.divide(_FIFTY_DIGITS.ln(Decimal(2)), Decimal(_HALF_LIFE))
# An order as the store counts shares of it. Split like money, the parts sum to whole orders.
WHOLE_ORDER = 1_000_000
# A visit ends with half an hour of nothing, as analytics count it.
_VISIT_GAP = 1_800
_ORDER = "order:"
_ONE = Fraction(1)
_ZERO = Fraction(0)
_BY_AGE = attrgetter("at", "key")


class Touch(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A click or a view of the shop's marketing by a visitor. `at` is seconds UTC.

    `key` is made from the content: two touches with one key are one touch that was reported twice.
    It also decides which of two touches of the same second is the older one.
    """

    key: str
    at: int
    kind: Kind
    is_pinterest: bool
    is_direct: bool
    campaign_id: str = ""
    campaign: str = ""
    pin_id: str = ""
    ad_id: str = ""
    source: str = ""
    medium: str = ""
    visitor: str = ""
    click_id: str = ""

    @property
    def order_id(self) -> str:
        """The order whose own session this touch is; "" for any other touch."""
        return self.key.removeprefix(_ORDER) if self.key.startswith(_ORDER) else ""


Path = tuple[Touch, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """The attribution windows, in seconds by kind of touch; 0 switches that kind off."""

    click_window: int = 30 * _DAY
    view_window: int = 24 * _HOUR

    @classmethod
    def of(cls, click_days: int, view_hours: int) -> Self:
        """Returns the windows from days and hours, the units of the settings."""
        return cls(click_days * _DAY, view_hours * _HOUR)

    @property
    def longest_window(self) -> int:
        """The seconds after which no touch is credited with an order any more."""
        return max(self.click_window, self.view_window)


class Credit(msgspec.Struct, frozen=True, gc=False):
    """A touch's share of an order under every (scope, model) whose `bit` is in `mask`.

    `touch` is None for the share that no touch earned.
    """

    touch: Touch | None
    share: Fraction
    mask: int


class Allocation(msgspec.Struct, frozen=True, gc=False):
    """A credit turned into money: `amounts` are minor units, one per figure that was split."""

    touch: Touch | None
    share: Fraction
    mask: int
    amounts: tuple[int, ...]


def age(touch: Touch, at: int) -> int:
    """Returns the seconds from the touch to the instant; negative if the touch came after it."""
    return at - touch.at


def is_in_window(touch: Touch, at: int, rules: Rules) -> bool:
    """Returns True if the touch is young enough for an order placed at that instant.

    Both ends are included. Elapsed seconds count, never calendar days: where the clocks change the
    window keeps its length.
    """
    window = rules.click_window if touch.kind == "click" else rules.view_window
    return window > 0 and 0 <= age(touch, at) <= window


def path_of(touches: Iterable[Touch], at: int, rules: Rules, scope: Scope) -> Path:
    """Returns the touches that count for an order placed at that instant, oldest first.

    They are all clicks or all views: a click beats a view of any recency, as
    Pinterest counts. In the scope "pinterest" only a Pinterest click can beat a Pinterest view.
    """
    eligible = [
        touch
        for touch in touches
        if (scope == "all" or touch.is_pinterest) and is_in_window(touch, at, rules)
    ]
    clicks = [touch for touch in eligible if touch.kind == "click"]
    once = {touch.key: touch for touch in clicks or eligible}
    return tuple(sorted(once.values(), key=_BY_AGE))


def touch_key(order_id: str) -> str:
    """Returns the key of the touch that is an order's own session."""
    return f"{_ORDER}{order_id}"


def deduplicate(touches: Iterable[Touch]) -> Path:
    """Returns the touches, oldest first, each visit once however often it was reported.

    The pixel reports a landing, the order reports the same one in its own way, and a click id turns
    up again on every page until the next click. The oldest report stays, completed by the later
    ones.
    """
    ordered = sorted({touch.key: touch for touch in touches}.values(), key=_BY_AGE)
    visits: list[_Visit] = []
    for touch in ordered:
        known = next((v for v in reversed(visits) if _is_of(touch, v)), None)
        if known is None:
            visits.append(_Visit(touch, touch.at))
        else:
            known.touch = _completed(known.touch, touch)
            known.until = touch.at
    return tuple(visit.touch for visit in visits)


def visits_before(
    touches: Iterable[Touch], order_id: str, at: int, rules: Rules, visitor: str
) -> Path:
    """Returns the visits and views that can have a share in an order placed at that instant, oldest
    first. `visitor` is the visitor id whose purchase it is, and whose the order's own visit is."""
    own = touch_key(order_id)
    recent = [
        touch
        if touch.key != own or touch.visitor == visitor
        else msgspec.structs.replace(touch, visitor=visitor)
        for touch in touches
        if is_in_window(touch, at, rules)
    ]
    return deduplicate(recent) if len(recent) > 1 else tuple(recent)


class _Visit(msgspec.Struct):
    """A visit so far: what is known of it, and when it was last reported."""

    touch: Touch
    until: int


def _is_of(touch: Touch, visit: _Visit) -> bool:
    known = visit.touch
    if touch.kind != "click" or known.kind != "click" or not _is_alike(touch, known):
        return False
    if touch.click_id and touch.click_id == known.click_id:
        return True
    return touch.visitor == known.visitor and touch.at - visit.until <= _VISIT_GAP


def _is_alike(touch: Touch, other: Touch) -> bool:
    if touch.is_pinterest != other.is_pinterest or touch.is_direct != other.is_direct:
        return False
    pairs = ((getattr(touch, name), getattr(other, name)) for name in _CAMPAIGN_FIELDS)
    return all(a == b or not (a and b) for a, b in pairs)


# The fields that one report of a visit may lack, but never contradict.
_CAMPAIGN_FIELDS = ("source", "medium", "campaign_id", "campaign", "pin_id", "ad_id", "click_id")


def _completed(known: Touch, report: Touch) -> Touch:
    details = {name: getattr(known, name) or getattr(report, name) for name in _CAMPAIGN_FIELDS}
    return msgspec.structs.replace(known, **details)


def shares(path: Path, at: int, model: Model) -> tuple[Fraction, ...]:
    """Returns the share of each touch of a `path_of` in an order placed at that instant.

    The shares sum to exactly 1, or to 0 where the model credits no touch: the path is empty, or it
    is one of clicks and the model looks at views.
    """
    return MODELS[model](path, at) if path else ()


def _all_to(index: int, path: Path) -> tuple[Fraction, ...]:
    return tuple(_ONE if i == index else _ZERO for i in range(len(path)))


def _first_touch(path: Path, at: int) -> tuple[Fraction, ...]:
    return _all_to(0, path)


def _last_touch(path: Path, at: int) -> tuple[Fraction, ...]:
    return _all_to(len(path) - 1, path)


def _last_non_direct(path: Path, at: int) -> tuple[Fraction, ...]:
    """Credits the newest touch with a source; the newest of all if none has one."""
    sourced = [i for i, touch in enumerate(path) if not touch.is_direct]
    return _all_to(sourced[-1] if sourced else len(path) - 1, path)


def _linear(path: Path, at: int) -> tuple[Fraction, ...]:
    return (Fraction(1, len(path)),) * len(path)


def _position_based(path: Path, at: int) -> tuple[Fraction, ...]:
    """Credits 40 % to each end and 20 % to the middle; without a middle all share evenly."""
    between = len(path) - 2
    if between < 1:
        return _linear(path, at)
    end = Fraction(2, 5)
    return (end, *(Fraction(1, 5 * between),) * between, end)


def _time_decay(path: Path, at: int) -> tuple[Fraction, ...]:
    """Halves the weight of a touch for every seven days of age, continuously."""
    weights = [_decayed(age(touch, at)) for touch in path]
    total = sum(weights)
    return tuple(weight / total for weight in weights)


def _decayed(seconds: int) -> Fraction:
    """Returns 2^(-seconds / half-life): whole half-lives exactly, the rest to fifty digits.

    So the weights of touches whole half-lives apart are in exact proportion, and where they tie
    for a spare cent no rounding decides.
    """
    halvings, rest = divmod(seconds, _HALF_LIFE)
    # The exponential function, as it is six times as fast as Decimal's power.
    weight = _FIFTY_DIGITS.exp(_FIFTY_DIGITS.multiply(Decimal(-rest), _DECAY))
    numerator, denominator = weight.as_integer_ratio()
    return Fraction(numerator, denominator << halvings)


def _view_through(path: Path, at: int) -> tuple[Fraction, ...]:
    """Credits the newest view if no click counts."""
    if path[-1].kind == "click":
        return (_ZERO,) * len(path)
    return _last_touch(path, at)


SCOPES: tuple[Scope, ...] = ("pinterest", "all")

# Stored masks depend on the order of both tables. A new model goes to the end.
MODELS: Mapping[Model, Callable[[Path, int], tuple[Fraction, ...]]] = {
    "first_touch": _first_touch,
    "last_touch": _last_touch,
    "last_non_direct": _last_non_direct,
    "linear": _linear,
    "position_based": _position_based,
    "time_decay": _time_decay,
    "view_through": _view_through,
}

_BITS: Mapping[tuple[Scope, Model], int] = {
    (scope, model): 1 << place for place, (model, scope) in enumerate(product(MODELS, SCOPES))
}
_PLACES = {bit: place for place, bit in _BITS.items()}
_EVERY_BIT = sum(_BITS.values())
_BITS_OF_SCOPE: Mapping[Scope, int] = {
    scope: sum(_BITS[scope, model] for model in MODELS) for scope in SCOPES
}


def bit(scope: Scope, model: Model) -> int:
    """Returns the bit of this scope and model in a mask."""
    return _BITS[scope, model]


def bits_of(mask: int) -> Iterator[int]:
    """Yields the bits of a mask, each the one of a scope and model."""
    while mask:
        yield mask & -mask
        mask &= mask - 1


def share_text(share: int) -> str:
    """Returns a share of an order, in parts of WHOLE_ORDER, as a decimal: "0.250000"."""
    if share < 0:
        return f"-{share_text(-share)}"
    whole, part = divmod(share, WHOLE_ORDER)
    # Of most lines and parts the shares are whole orders.
    return f"{whole}.{part:06d}" if part else f"{whole}.000000"


def split(amount: int, shares: Sequence[Fraction]) -> tuple[int, ...]:
    """Splits minor units by share, largest remainder first, ties to the older (earlier) share.

    Shares that sum to 1 get exactly the amount together, those that sum to 0 get nothing.
    A negative amount is split like its positive, with the signs reversed.
    """
    if amount < 0:
        return tuple(-part for part in split(-amount, shares))
    unit = lcm(*(share.denominator for share in shares))
    exact = [
        divmod(amount * share.numerator * (unit // share.denominator), unit) for share in shares
    ]
    parts = [whole for whole, _ in exact]
    remainders = [remainder for _, remainder in exact]
    largest_first = sorted(range(len(parts)), key=lambda i: -remainders[i])
    for i in largest_first[: sum(remainders) // unit]:
        parts[i] += 1
    return tuple(parts)


def credits_of(
    touches: Iterable[Touch], at: int, rules: Rules, bits: int = _EVERY_BIT
) -> tuple[Credit, ...]:
    """Returns the credits of an order placed at that instant, under every scope and model of these
    bits.

    Under each of them the shares sum to exactly 1. Sorted by age of the touch, oldest first, the
    share that no touch earned last; the order of the touches passed in does not matter.
    """
    seen = tuple(touches)
    if len(seen) > 1:
        return _credits_of_many(seen, at, rules, bits)
    credits = _credits_of_one(seen, at, rules)
    if bits == _EVERY_BIT:
        return credits
    return tuple(
        msgspec.structs.replace(each, mask=each.mask & bits) for each in credits if each.mask & bits
    )


def _credits_of_many(
    touches: Path, at: int, rules: Rules, wanted: int = _EVERY_BIT
) -> tuple[Credit, ...]:
    if wanted in _PLACES:
        return _credits_by_model(touches, at, rules, wanted)
    masks: dict[_Earned, int] = {}
    for path, scopes in _scopes_by_path(touches, at, rules, wanted).items():
        for model in MODELS:
            if bits := sum(bit(scope, model) for scope in scopes) & wanted:
                for earned in _earned(path, shares(path, at, model)):
                    masks[earned] = masks.get(earned, 0) | bits
    credits = (Credit(touch, Fraction(*ratio), mask) for (touch, ratio), mask in masks.items())
    return tuple(sorted(credits, key=_place))


def _credits_by_model(touches: Path, at: int, rules: Rules, bit: int) -> tuple[Credit, ...]:
    """Returns the credits of an order by the one scope and model of a bit."""
    scope, model = _PLACES[bit]
    path = path_of(touches, at, rules, scope)
    earned = zip(path, shares(path, at, model), strict=True)
    credits = tuple(Credit(touch, share, bit) for touch, share in earned if share)
    return credits or (Credit(None, _ONE, bit),)


def _scopes_by_path(touches: Path, at: int, rules: Rules, wanted: int) -> dict[Path, list[Scope]]:
    scopes: dict[Path, list[Scope]] = {}
    for scope, bits in _BITS_OF_SCOPE.items():
        if bits & wanted:
            scopes.setdefault(path_of(touches, at, rules, scope), []).append(scope)
    return scopes


# A share as its ratio: to hash a Fraction costs a modular inverse.
_Earned = tuple[Touch | None, tuple[int, int]]
_NO_TOUCH: Sequence[_Earned] = ((None, (1, 1)),)


def _earned(path: Path, shares: Sequence[Fraction]) -> Sequence[_Earned]:
    earned = [(t, share.as_integer_ratio()) for t, share in zip(path, shares, strict=True) if share]
    return earned or _NO_TOUCH


def _place(credit: Credit) -> tuple[bool, int, str, int]:
    lowest_bit = credit.mask & -credit.mask
    touch = credit.touch
    return (False, touch.at, touch.key, lowest_bit) if touch else (True, 0, "", lowest_bit)


_KINDS: tuple[Kind, ...] = ("click", "view")
# The mask of a path with one touch. Nearly every order has one touch, its own session, or none.
_MASK_OF_LONE_TOUCH: Mapping[tuple[Kind, bool], int] = {
    (kind, is_pinterest): _credits_of_many(
        (Touch("", 0, kind, is_pinterest, is_direct=False),), 0, Rules()
    )[0].mask
    for kind, is_pinterest in product(_KINDS, (True, False))
}
NO_CREDIT = (Credit(None, _ONE, _EVERY_BIT),)


def _credits_of_one(touches: Path, at: int, rules: Rules) -> tuple[Credit, ...]:
    if not touches or not is_in_window(touches[0], at, rules):
        return NO_CREDIT
    touch = touches[0]
    mask = _MASK_OF_LONE_TOUCH[touch.kind, touch.is_pinterest]
    credit = Credit(touch, _ONE, mask)
    return (credit, Credit(None, _ONE, _EVERY_BIT ^ mask)) if mask != _EVERY_BIT else (credit,)


def allocations_of(credits: Sequence[Credit], amounts: Sequence[int]) -> tuple[Allocation, ...]:
    """Returns the money of each touch: every amount (minor units) split under every model.

    `credits` are those of one order, in the order of `credits_of`. For each bit the amounts of its
    rows sum exactly to the amounts passed in. Figures that differ by a refund are passed as states
    (gross, net): what a touch lost is the difference of its two parts, while a refund split by
    itself could land on another touch's cent.
    """
    figures = tuple(amounts)
    if all(credit.share is _ONE for credit in credits):
        return tuple(Allocation(c.touch, c.share, c.mask, figures) for c in credits)
    masks = {(i, figures): credit.mask for i, credit in enumerate(credits) if credit.share == 1}
    for sharers, mask in _sharers(credits).items():
        ratios = [credits[i].share for i in sharers]
        parts = {figure: split(figure, ratios) for figure in set(figures)}
        for place, i in enumerate(sharers):
            row = (i, tuple(parts[figure][place] for figure in figures))
            masks[row] = masks.get(row, 0) | mask
    return tuple(
        Allocation(credits[i].touch, credits[i].share, mask, part)
        for (i, part), mask in sorted(masks.items())
    )


def _sharers(credits: Sequence[Credit]) -> dict[tuple[int, ...], int]:
    """Returns the positions of credits that share an order, and the bits under which they do."""
    partial = [(i, credit.mask) for i, credit in enumerate(credits) if credit.share != 1]
    masks: dict[tuple[int, ...], int] = {}
    for model_bit in bits_of(reduce(or_, (mask for _, mask in partial), 0)):
        if sharers := tuple(i for i, mask in partial if mask & model_bit):
            masks[sharers] = masks.get(sharers, 0) | model_bit
    return masks
