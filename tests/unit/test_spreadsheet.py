"""Only the marks of a spreadsheet are taken off a text; other formulas stay as they are."""

import pytest

from tracking.domain.spreadsheet import plain_id, plain_text


@pytest.mark.parametrize("cell", ["'0626", '="0626"', ' ="0626" ', "=0626", '=" 0626 "', "''0626"])
def test_the_mark_of_a_text_is_taken_off(cell: str) -> None:
    assert plain_text(cell) == "0626"


@pytest.mark.parametrize("mark", ["\u2018", "\u2019"])
def test_a_typographic_apostrophe_marks_a_text_as_well(mark: str) -> None:
    assert plain_text(f"{mark}0626") == "0626"
    assert plain_id(f"{mark}626.0") == "626"
    assert plain_text(f"{mark}Tis the season") == f"{mark}Tis the season"


@pytest.mark.parametrize(
    "unseen", ["\u200b", "\ufeff", "\u2060", "\u200e", "\u202d", "\u2069", "\u00a0"]
)
def test_what_nobody_sees_at_the_ends_of_a_text_is_taken_off(unseen: str) -> None:
    assert plain_text(f"{unseen} 0626{unseen}") == "0626"
    assert plain_text(f'{unseen}="0626"') == "0626"
    assert plain_text(f"a{unseen}b") == f"a{unseen}b"


@pytest.mark.parametrize("cell", ["626.0", "626.", '="626.0"', "'626", "=626"])
def test_an_id_is_read_without_its_marks(cell: str) -> None:
    assert plain_id(cell) == "626"


@pytest.mark.parametrize(
    "cell",
    [
        *("=HYPERLINK(1)", '=HYPERLINK("x")', "=A1", "=1+1", '="a"&"b"', "==626", "=", "=-626"),
        *('="626', '=626"', "+1", "-1", "@A1"),
    ],
)
def test_another_formula_is_no_mark(cell: str) -> None:
    assert plain_text(cell) == cell
    assert plain_id(cell) == cell
