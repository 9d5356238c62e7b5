"""What the dashboard's pages are put together from: keys, charts, figures, vendored files."""

from hashlib import sha256
from pathlib import Path

import pytest

from api.dashboard.charts import path_of
from api.dashboard.formats import count_text, money_text
from api.dashboard.static_files import static_files
from server.derived_keys import derived_key

STATIC = Path(__file__).parents[2] / "api/dashboard/static"
VENDORED = {
    "modern-normalize.css": "b4ad31da9b1b17de182a08e4c39159496574d90a82464c6d5afeda7133f0e110",
    "uPlot.iife.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
    "uPlot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}
# modern-normalize 3.0.1 and uPlot 1.6.32, as npm has them.
LICENCES = {
    "modern-normalize.LICENSE": "52390989c3437957416a692ac5fd2fbe08d8c7dcb725ef5f43d1c817640c04ae",
    "uPlot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
}
# A page may have as much again: 60 kB in all on the first view.
MOST_OF_FILES = 35_000


@pytest.mark.parametrize("name", [*VENDORED, *LICENCES])
def test_a_vendored_file_is_the_one_that_its_makers_published(name: str) -> None:
    digest = sha256((STATIC / name).read_bytes()).hexdigest()

    assert digest == (VENDORED | LICENCES)[name]


def test_all_files_together_are_light() -> None:
    assert sum(len(file.compressed) for file in static_files().values()) < MOST_OF_FILES


def test_no_page_has_a_script_or_a_style_in_it() -> None:
    for template in STATIC.with_name("templates").iterdir():
        text = template.read_text("utf-8")
        assert "style=" not in text, template.name
        assert "<style" not in text, template.name
        assert "<script" not in text.replace("<script defer src=", ""), template.name
        assert "safe" not in text, template.name


def test_the_key_of_a_token_is_that_of_the_standard() -> None:
    # RFC 5869, appendix A.3.
    assert derived_key(b"\x0b" * 22, b"").hex() == (
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
    )


@pytest.mark.parametrize(
    ("values", "path"),
    [
        ([], ""),
        ([5.0], "M0 0.0L1000 0.0"),
        ([0.0, 0.0], "M0 200.0L1000 200.0"),
        ([0.0, 10.0, 5.0], "M0 200.0L500 0.0L1000 100.0"),
    ],
)
def test_a_line_goes_from_the_first_day_to_the_last(values: list[float], path: str) -> None:
    assert path_of(values, max(values, default=0)) == path


def test_figures_have_commas_between_their_thousands() -> None:
    assert (count_text(1_234_567), count_text(0)) == ("1,234,567", "0")
    assert (money_text("1234567.50"), money_text("-9876.00")) == ("1,234,567.50", "-9,876.00")


def test_what_there_is_not_is_a_dash() -> None:
    assert {count_text(None), money_text(None), money_text("")} == {"\N{EN DASH}"}
