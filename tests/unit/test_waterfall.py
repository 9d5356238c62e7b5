"""A difference falls apart into named parts, each order's share in the first that holds."""

from typing import Any

from tracking.domain.attribution import WHOLE_ORDER
from tracking.domain.waterfall import (
    ComparedShare,
    Outcome,
    PinterestSums,
    ShareKind,
    Waterfall,
    kind_of,
    money_part,
)


def share(
    outcome: Outcome = "sent",
    reason: str = "",
    *,
    is_taken_back: bool = False,
    is_view: bool = False,
    **changes: Any,
) -> ComparedShare:
    net, value = changes.get("net", 4_000), changes.get("value", 4_000)
    money = money_part(net, value, is_taken_back=is_taken_back) if outcome == "sent" else ""
    kind = ShareKind(outcome, reason, is_view, money)
    assert kind_of(kind.text()) == kind
    found = ComparedShare(5, 5, kind, WHOLE_ORDER, 4_000, 4_000, ("5001",))
    return found._replace(**changes)


def parts(theirs: PinterestSums, *shares: ComparedShare) -> dict[str, tuple[int, int]]:
    """The parts that are not nothing, of day 5."""
    found = Waterfall()
    for one in shares:
        found.add(one, in_utc=one.utc_day == 5, in_shop=one.shop_day == 5)
    told = {part.name: (part.share, part.value) for part in found.parts(theirs)}
    return {name: amount for name, amount in told.items() if amount != (0, 0)}


ONE_CLICK = PinterestSums(1, 4_000, 1, 4_000)


def test_an_order_of_another_day_at_pinterest_is_a_difference_of_days() -> None:
    assert parts(PinterestSums(), share(utc_day=6)) == {"days": (-WHOLE_ORDER, -4_000)}
    assert parts(ONE_CLICK, share(shop_day=4)) == {"days": (WHOLE_ORDER, 4_000)}


def test_an_order_that_was_not_sent_is_told_with_its_reason() -> None:
    found = Waterfall()
    held = share("not_sent", "consent_unknown", value=0)
    found.add(held, in_utc=True, in_shop=True)
    part = found.parts(PinterestSums())[1]
    assert (part.name, part.reasons) == ("not_sent", {"consent_unknown": (-WHOLE_ORDER, -4_000)})
    assert [*part.order_ids] == ["5001"]


def test_a_refund_since_the_order_was_sent_stays_at_pinterest() -> None:
    refunded = share(net=1_000, is_taken_back=True)
    assert parts(ONE_CLICK, refunded) == {"refunded_since": (0, 3_000)}


def test_an_order_deleted_since_it_was_sent_stays_at_pinterest() -> None:
    deleted = share("uncounted", "deleted", net=0)
    assert parts(ONE_CLICK, deleted) == {"refunded_since": (WHOLE_ORDER, 4_000)}


def test_an_item_added_after_the_order_was_sent_is_missing_at_pinterest() -> None:
    assert parts(ONE_CLICK, share(net=5_000)) == {"value_sent": (0, -1_000)}


def test_each_part_names_twenty_orders_at_most() -> None:
    found = Waterfall()
    for n in range(30):
        found.add(share(order_ids=(str(n),), net=0), in_utc=True, in_shop=True)
    (part,) = (part for part in found.parts(PinterestSums()) if part.name == "value_sent")
    assert [*part.order_ids] == [str(n) for n in range(20)]
