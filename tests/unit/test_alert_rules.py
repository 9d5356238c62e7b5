"""The rules of the alerts: which figures are trouble, and which are not."""

from typing import Any

import pytest

from tracking.operate.alerts.rules import (
    DAY,
    HOUR,
    RULES,
    Deadlines,
    DiskSpace,
    EventShare,
    Fine,
    Overlap,
    PixelSilence,
    ReadingAge,
    ShareChange,
    Thresholds,
    TokenTime,
    Trouble,
    Unknown,
    Verdict,
    WaitingTime,
    WebhookSilence,
)

MB = 1_000_000
USUAL, RARE = EventShare(2, 100), EventShare(1, 19)


def verdict(rule: str, figures: Any, **limits: int) -> Verdict:
    """What a rule says of figures."""
    return RULES[rule].judge(figures, Thresholds(**limits))


TROUBLE: list[tuple[str, Any]] = [
    ("no_webhooks", WebhookSilence(HOUR, (12, 400, 15, 30))),
    ("no_pixel_events", PixelSilence(DAY, 20)),
    ("low_accuracy", EventShare(949, 1000)),
    ("low_accuracy", EventShare(18, 20)),
    ("fewer_click_ids", ShareChange(EventShare(10, 40), EventShare(50, 100))),
    ("fewer_emails", ShareChange(EventShare(11, 25), EventShare(90, 100))),
    ("low_overlap", Overlap(None, EventShare(13, 20))),
    ("low_overlap", Overlap(EventShare(69, 100), EventShare(20, 20))),
    ("low_overlap", Overlap(EventShare(69, 100), None)),
    ("more_rejects", ShareChange(EventShare(2, 40), EventShare(2, 100))),
    ("more_rejects", ShareChange(EventShare(5, 20), EventShare(0, 0))),
    ("token_refused", ("pinterest",)),
    ("token_ends", TokenTime(7 * DAY, "PINTEREST_ADS_TOKEN")),
    ("token_ends", TokenTime(-1, "PINTEREST_ADS_TOKEN")),
    ("stale_spend", ReadingAge(DAY + 1)),
    ("stale_figures", ReadingAge(2 * DAY)),
    ("late_events", WaitingTime(1, HOUR + 1)),
    ("low_disk", DiskSpace(599 * MB, 200 * MB)),
    ("dead_letters", 1),
    ("privacy_due", Deadlines(1, 7 * DAY)),
    ("privacy_due", Deadlines(2, -1)),
]
NO_TROUBLE: list[tuple[str, Any]] = [
    ("no_webhooks", WebhookSilence(HOUR, (11, 400, 15, 30))),
    ("no_webhooks", WebhookSilence(HOUR, ())),
    ("no_pixel_events", PixelSilence(DAY - 1, 1000)),
    ("no_pixel_events", PixelSilence(9 * DAY, 19)),
    ("low_accuracy", EventShare(95, 100)),
    ("fewer_click_ids", ShareChange(EventShare(11, 40), EventShare(50, 100))),
    ("fewer_emails", ShareChange(EventShare(0, 20), EventShare(0, 100))),
    ("low_overlap", Overlap(EventShare(70, 100), EventShare(14, 20))),
    ("low_overlap", Overlap(EventShare(70, 100), None)),
    ("more_rejects", ShareChange(EventShare(1, 40), EventShare(0, 100))),
    ("more_rejects", ShareChange(EventShare(20, 40), EventShare(30, 100))),
    ("token_refused", ()),
    ("token_ends", TokenTime(7 * DAY + 1, "PINTEREST_ADS_TOKEN")),
    ("stale_spend", ReadingAge(DAY)),
    ("stale_figures", ReadingAge(0)),
    ("late_events", WaitingTime(1000, HOUR)),
    ("late_events", WaitingTime(0, 0)),
    ("low_disk", DiskSpace(600 * MB, 200 * MB)),
    ("low_disk", DiskSpace(0, 0)),
    ("dead_letters", 0),
    ("privacy_due", Deadlines(1, 7 * DAY + 1)),
    ("privacy_due", Deadlines(0, 0)),
]


@pytest.mark.parametrize(("rule", "figures"), TROUBLE)
def test_figures_beyond_the_threshold_are_trouble(rule: str, figures: Any) -> None:
    found = verdict(rule, figures)

    assert isinstance(found, Trouble)
    assert found.words.endswith(".")


@pytest.mark.parametrize(("rule", "figures"), NO_TROUBLE)
def test_figures_up_to_the_threshold_are_fine(rule: str, figures: Any) -> None:
    assert verdict(rule, figures) == Fine()


def test_every_rule_is_tried_on_both_sides() -> None:
    assert {rule for rule, _ in TROUBLE} == {rule for rule, _ in NO_TROUBLE} == {*RULES}


@pytest.mark.parametrize(
    ("rule", "figures"),
    [
        ("low_accuracy", EventShare(0, 19)),
        ("low_overlap", Overlap(None, EventShare(0, 19))),
        ("more_rejects", ShareChange(EventShare(19, 19), USUAL)),
        ("fewer_click_ids", ShareChange(EventShare(0, 19), USUAL)),
        ("fewer_emails", ShareChange(EventShare(0, 20), RARE)),
        ("fewer_click_ids", ShareChange(EventShare(0, 39), EventShare(50, 100))),
        ("fewer_emails", ShareChange(EventShare(0, 0), EventShare(0, 0))),
    ],
)
def test_a_share_of_few_events_says_nothing(rule: str, figures: Any) -> None:
    assert verdict(rule, figures) == Unknown()


@pytest.mark.parametrize(
    ("rule", "figures", "limits"),
    [
        ("no_webhooks", WebhookSilence(HOUR, (20, 20, 20, 20)), {"webhooks": 21}),
        ("no_pixel_events", PixelSilence(DAY, 20), {"pixel_hours": 25}),
        ("no_pixel_events", PixelSilence(DAY, 20), {"least_events": 21}),
        ("low_accuracy", EventShare(90, 100), {"accuracy_percent": 90}),
        ("low_overlap", Overlap(None, EventShare(13, 20)), {"overlap_percent": 65}),
        ("low_overlap", Overlap(EventShare(65, 100), None), {"overlap_percent": 65}),
        ("late_events", WaitingTime(1, HOUR + 1), {"waiting_minutes": 61}),
    ],
)
def test_the_settings_move_the_thresholds(rule: str, figures: Any, limits: dict[str, int]) -> None:
    assert isinstance(verdict(rule, figures), Trouble)
    assert verdict(rule, figures, **limits) == Fine()


def test_each_alert_names_a_command_a_setting_or_a_place_to_act() -> None:
    remedies = {name: rule.remedy for name, rule in RULES.items()}

    assert [name for name, text in remedies.items() if "`" not in text and "_" not in text] == []
    assert len({rule.title for rule in RULES.values()}) == len(RULES)
