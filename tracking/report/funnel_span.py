"""Which events a funnel counts, and the campaign that each of them names."""

from dataclasses import dataclass

from tracking.report.campaigns import CampaignLabel

# The events and distinct visitors of each stage.
StageCounts = dict[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FunnelSpan:
    """The shop days [first, last] (as ordinals) of a report, and whether it counts all traffic or
    Pinterest's alone."""

    first: int
    last: int
    all_traffic: bool


def order_of_label(newest: int, label: CampaignLabel) -> tuple[int, str, str, bool]:
    """Returns what campaigns are ordered by: the instant of the newest event, and then the name, so
    that two of one instant never change places."""
    return newest, label.campaign, label.campaign_id, label.is_pinterest
