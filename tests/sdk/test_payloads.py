"""What is shown to Pinterest's SDK is every kind of event there is, and none that is not sent."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.sdk.payloads import handed_in, sightings
from tracking.destinations.pinterest_schema import ACTION_SOURCES, EVENT_NAMES, is_valid
from tracking.domain.conversion import EVENT_NAMES as STAGE_NAMES

CHECKS = Path(__file__).parents[2] / ".ci/run"


@pytest.mark.parametrize("kind", [handed_in, sightings])
def test_every_event_has_the_form_that_is_sent(kind: Callable[[], Iterator[bytes]]) -> None:
    assert all(is_valid(json.loads(event)) for event in kind())


def test_every_name_is_shown_from_every_source() -> None:
    shown = {
        (event["event_name"], event["action_source"]) for event in map(json.loads, handed_in())
    }

    assert shown == {(name, source) for name in EVENT_NAMES for source in ACTION_SOURCES}


def test_every_stage_of_the_storefront_is_shown() -> None:
    shown = {json.loads(event)["event_name"] for event in sightings()}

    assert shown == {name for stage, name in STAGE_NAMES.items() if stage != "purchase"}


def test_the_checks_show_them_to_the_sdk() -> None:
    lines = [line.strip() for line in CHECKS.read_text("utf-8").splitlines()]

    assert "check check_sdk" in lines
    assert (
        ".venv/bin/python -m tests.sdk.payloads | .venv/sdk/bin/python tests/sdk/check.py" in lines
    )
