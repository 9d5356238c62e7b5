"""The same line is logged once a minute, with how often it was left out."""

import logging

import pytest

from tracking.operate.rare_lines import EVERY_SECONDS, RareLines


class Log:
    """Rare lines at a time of the test's own."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.seconds = 0.0
        self._caplog = caplog
        self._lines = RareLines(logging.getLogger("shop"), lambda: self.seconds)

    def tells(self, *texts: str) -> list[str]:
        """The lines that these texts leave."""
        self._caplog.clear()
        for text in texts:
            self._lines.log(logging.ERROR, text)
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Log:
    return Log(caplog)


def test_the_same_text_is_logged_once(log: Log) -> None:
    assert log.tells("locked", "locked", "full", "locked") == ["locked", "full"]


def test_after_a_minute_it_is_logged_with_how_often_it_was_left_out(log: Log) -> None:
    log.tells("locked", "locked", "locked")
    log.seconds = EVERY_SECONDS
    assert log.tells("locked") == ["locked (2 more times since it was logged last)"]
    log.seconds = 2 * EVERY_SECONDS
    assert log.tells("locked") == ["locked"]


def test_texts_that_are_always_others_are_not_all_remembered(log: Log) -> None:
    assert len(log.tells(*(f"error {n}" for n in range(1_000)))) == 1_000
    assert len(log._lines._texts) <= 100
