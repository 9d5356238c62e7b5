"""The names that the campaigns of an order had since."""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

from tracking.report.campaigns import CampaignLabel, label_of
from tracking.store import report_progress, reports
from tracking.store.credit_figures import FOREVER
from tracking.store.engine.statement import Connection


def later_names(conn: Connection, since: int, told: Collection[str]) -> Sequence[CampaignLabel]:
    """Returns the labels of campaigns of these names and ids that were credited since an instant,
    the newest last, for one order of that time.

    All credits since are read only where a campaign may have had another name: where the figures
    know two labels with an id or a name in common, or do not know all credits yet.
    """
    if report_progress.of(conn, "credits").through == FOREVER:
        known = [*map(label_of, reports.known_names_of_campaigns(conn, told))]
        if _are_apart(known):
            # Each has an id or a name of the order's own labels, so it is one of these.
            return known
    return [*map(label_of, reports.names_of_campaigns(conn, since, told))]


def _are_apart(labels: Iterable[CampaignLabel]) -> bool:
    texts = Counter(
        (label.is_pinterest, text)
        for label in labels
        for text in {label.campaign_id.casefold(), label.campaign.casefold()} - {""}
    )
    return max(texts.values(), default=0) <= 1
