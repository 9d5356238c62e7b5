"""Figures in the text format that Prometheus reads."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tracking.operate.prometheus import Family, Sample, gauge, text_of


def test_a_family_says_what_it_is_before_its_figures() -> None:
    samples = (Sample(1, {"topic": "orders/create"}), Sample(2.5, {}))

    assert text_of([Family("found", "counter", "What was found.", samples)]) == (
        "# HELP found What was found.\n"
        "# TYPE found counter\n"
        'found{topic="orders/create"} 1\n'
        "found 2.5\n"
    )


def test_a_family_without_figures_is_left_out() -> None:
    assert (
        text_of([Family("nothing", "gauge", "None.", ()), gauge("one", "One.", 1)]).count("# TYPE")
        == 1
    )


@given(st.text())
def test_no_label_breaks_its_line(value: str) -> None:
    told = value.replace("\r", "").replace("\u2028", "")
    text = text_of([Family("found", "gauge", "Help.", (Sample(1, {"reason": told}),))])

    found = re.fullmatch(
        r'found\{reason="((?:[^"\\\n]|\\[\\n"])*)"\} 1', text.split("\n", 2)[2][:-1]
    )
    assert found is not None
    plain = re.sub(r"\\(.)", lambda m: {"n": "\n"}.get(m[1], m[1]), found[1], flags=re.DOTALL)
    assert plain == told
