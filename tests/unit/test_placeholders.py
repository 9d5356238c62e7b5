"""What software writes where it has no value is no value, in whatever field it stands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.domain.placeholders import is_macro, is_placeholder, names_nothing

PLACEHOLDERS = (
    *(
        "\\N",
        "\\n",
        "\\\\N",
        "(not set)",
        "not set",
        "Not Set",
        "not_set",
        "(none)",
        "<NA>",
        "#N/A",
    ),
    *("#REF!", "#NAME?", "[object Object]", "null", "NULL", "<null>", "undefined", "nan", "NaN"),
    *("None", "nil", "n/a", "N.A.", "anonymous", "guest", "true", "False", "(unknown)", '"null"'),
    *("{epik}", "{{campaign.name}}", "${id}", "%%CLICK_ID%%", "%epik%", "__CLICKID__", "[ID]"),
    *("%7Bcampaignid%7D", "%257Bepik%257D", "<%= id %>"),
    *(
        "*|UNIQID|*",
        "{{${user_id}}}",
        "<?= $id ?>",
        "<?php echo $id; ?>",
        "[[customer_id]]",
        "#{id}",
    ),
)
VALUES = (
    *("California", "Guest House", "O'Null", "Nullarbor", "summer_sale", "{brace} in it", "50%"),
    *("*new*", "a|b", "[[sale]] mugs", "<3", "#1", "what?"),
    *("100% cotton", "[sale]", "a/b", "Nan Goldin", "#1 mug", "none of them", "x", "0815"),
)


@pytest.mark.parametrize("text", PLACEHOLDERS)
def test_a_placeholder_is_no_value(text: str) -> None:
    assert is_placeholder(text)
    assert is_placeholder(f"  {text}\t")
    assert names_nothing(text)


@pytest.mark.parametrize("text", VALUES)
def test_a_value_is_one(text: str) -> None:
    assert not is_placeholder(text)
    assert not names_nothing(text)


@pytest.mark.parametrize("text", ["na", "NA", "unknown", "0", "000", "-", "--", "???", "default"])
def test_what_may_be_a_value_elsewhere_is_no_id(text: str) -> None:
    assert names_nothing(text)
    assert not is_placeholder(text)


@pytest.mark.parametrize(
    "text", ["00000000-0000-0000-0000-000000000000", "0.0", "(000) 000-0000", "+0", "0_0", "-1"]
)
def test_zeros_between_signs_and_minus_one_are_no_id(text: str) -> None:
    assert names_nothing(text)
    assert not is_placeholder(text)


@pytest.mark.parametrize("text", ["1", "-10", "0-1", "00000000-0000-0000-0000-000000000001"])
def test_any_other_digit_makes_an_id(text: str) -> None:
    assert not names_nothing(text)


MACROS = (
    *("{epik}", "{{ad.id}}", "%7Bcampaign_name%7D", "%257Bad_id%257D", "${id}"),
    *("{campaign_name}_{adid}", "{campaignid} | {adgroupid}", "${a}-${b}", "{{a}}.{{b}}.{{c}}"),
)


@pytest.mark.parametrize("text", MACROS)
def test_a_variable_that_nobody_filled_in_is_a_macro(text: str) -> None:
    assert is_macro(text)


@pytest.mark.parametrize("text", ["null", "autumn", "{a} and {b} x", "summer_{adid}", "%", "50%"])
def test_other_text_is_no_macro(text: str) -> None:
    assert not is_macro(text)


@given(st.integers(1, 10**18))
def test_a_number_is_an_id(number: int) -> None:
    assert not names_nothing(str(number))


@given(st.text(max_size=200))
def test_no_text_is_too_odd_to_be_judged(text: str) -> None:
    assert names_nothing(text) or not is_placeholder(text)


@given(st.text("abcxnoe019 .@:/+-", max_size=20))
def test_a_text_without_brackets_is_a_placeholder_as_in_marks_that_mean_nothing(text: str) -> None:
    # A tab is a space to the list of placeholders, but no character of a plain text.
    assert is_placeholder(text) == is_placeholder(text.replace(" ", "\t"))
