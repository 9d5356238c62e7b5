"""A customer is new or returning by the surest of what is known, and unknown without any of it."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from tracking.domain.customer import CustomerFacts, customer_type_of, is_first_of

TOLD = st.none() | st.booleans()
FACTS = st.builds(CustomerFacts, TOLD, TOLD, st.booleans(), st.booleans())


@given(FACTS)
def test_shopifys_word_stands_before_all_else(facts: CustomerFacts) -> None:
    if facts.is_first is not None:
        assert customer_type_of(facts) == ("new" if facts.is_first else "returning")


@given(TOLD, st.booleans())
def test_a_known_earlier_order_stands_before_the_pixels_word(
    told: bool | None, is_watched: bool
) -> None:
    assert customer_type_of(CustomerFacts(None, told, True, is_watched)) == "returning"


@given(st.booleans(), st.booleans())
def test_the_pixels_word_stands_before_an_order_that_is_not_known(
    told: bool, is_watched: bool
) -> None:
    found = customer_type_of(CustomerFacts(None, told, False, is_watched))
    assert found == ("new" if told else "returning")


def test_no_earlier_order_means_something_only_of_a_shop_that_was_watched() -> None:
    assert customer_type_of(CustomerFacts(is_watched=True)) == "new"
    assert customer_type_of(CustomerFacts(is_watched=False)) == ""


@given(st.lists(TOLD, max_size=4))
def test_what_several_tell_together_does_not_depend_on_their_order(told: list[bool | None]) -> None:
    assert len({is_first_of(*some) for some in permutations(told)}) == 1
    if False in told:
        assert is_first_of(*told) is False
