"""Decides whether a buyer is a new customer or a returning one."""

from typing import Literal

import msgspec

# "" if neither is known.
CustomerType = Literal["", "new", "returning"]
# That no earlier order is known means something only of a shop that has been watched for so long.
HISTORY_SECONDS = 90 * 86_400


class CustomerFacts(msgspec.Struct, frozen=True, gc=False):
    """The facts about the place of an order among those of its buyer.

    `is_first` is Shopify's word, `told_first` the pixel's, which anybody could have sent; None if
    there is none. `has_earlier` says that an earlier order of the buyer is known, `is_watched` that
    every order of the last HISTORY_SECONDS before it is.
    """

    is_first: bool | None = None
    told_first: bool | None = None
    has_earlier: bool = False
    is_watched: bool = False


NO_CUSTOMER_FACTS = CustomerFacts()


def customer_type_of(facts: CustomerFacts) -> CustomerType:
    """Returns the type of the customer by the surest of the facts, whichever came first."""
    is_first = facts.is_first
    if is_first is None and facts.has_earlier:
        is_first = False
    if is_first is None:
        is_first = facts.told_first
    if is_first is None and facts.is_watched:
        is_first = True
    if is_first is None:
        return ""
    return "new" if is_first else "returning"


def is_first_of(*told: bool | int | None) -> bool | None:
    """Returns what several tell of one order together: a no stands, None says nothing."""
    known = [bool(each) for each in told if each is not None]
    return all(known) if known else None
