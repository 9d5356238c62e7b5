"""Text that a stranger wrote: the e-mail addresses in it are found, however they are encoded."""

import pytest

from tracking.domain.web_text import has_email


@pytest.mark.parametrize(
    "text",
    [
        *("ada@example.com", "@example.com", "mailto:ada@example.com", "a%40example.com"),
        *("a%2540example.com", "a%40example%2Ecom", "by ada@mail.example, 5 pieces"),
    ],
)
def test_an_address_is_found_in_any_text(text: str) -> None:
    assert has_email(text)


@pytest.mark.parametrize(
    "text", ["", "mugs", "2 @ 5.00", "/@mugs/new.html", "a%20b.c", "@mugs", "mugs@home"]
)
def test_what_only_has_the_sign_is_no_address(text: str) -> None:
    assert not has_email(text)
