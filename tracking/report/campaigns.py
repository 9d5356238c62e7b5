"""The names of campaigns in reports."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

NOT_ATTRIBUTED = "(not attributed)"
NO_CAMPAIGN = "(no campaign)"


class CampaignKey(NamedTuple):
    """A line of a report: another network may have a campaign of the same name or id."""

    campaign: str
    campaign_id: str
    is_pinterest: bool


class CampaignLabel(NamedTuple):
    """A campaign as one event or one day of spend names it."""

    is_pinterest: bool
    campaign_id: str
    campaign: str


class NamesCampaign(Protocol):
    """A row that names a campaign."""

    @property
    def is_pinterest(self) -> int: ...

    @property
    def campaign_id(self) -> str: ...

    @property
    def campaign(self) -> str: ...


def label_of(row: NamesCampaign) -> CampaignLabel:
    """Returns the campaign that a row names."""
    return CampaignLabel(bool(row.is_pinterest), row.campaign_id, row.campaign)


class CampaignNames:
    """The names that campaigns have and had, and the campaigns of these names.

    A campaign that was renamed has its newest name. Traffic that tells a name alone is that of the
    one campaign of this name.
    """

    def __init__(self, labels: Iterable[CampaignLabel]) -> None:
        """Reads the names from labels, of which the newest name of a campaign is the last."""
        self._newest: dict[tuple[bool, str], str] = {}
        self._bearers: dict[tuple[bool, str], set[str]] = {}
        for is_pinterest, campaign_id, campaign in labels:
            if campaign_id:
                known = self._newest.setdefault((is_pinterest, campaign_id), campaign)
                self._newest[is_pinterest, campaign_id] = campaign or known
                name = (is_pinterest, campaign.casefold())
                self._bearers.setdefault(name, set()).add(campaign_id)

    def key_of(self, label: CampaignLabel) -> CampaignKey:
        """Returns the line of a report that a label belongs to."""
        is_pinterest, campaign_id, campaign = label
        campaign_id = campaign_id or self._id_of(is_pinterest, campaign)
        name = self._newest.get((is_pinterest, campaign_id)) or campaign
        if not (name or campaign_id):
            name = NO_CAMPAIGN if is_pinterest else NOT_ATTRIBUTED
        return CampaignKey(name, campaign_id, is_pinterest)

    def is_called(self, label: CampaignLabel, wanted: str) -> bool:
        """Returns True if the campaign of a label has or had this name, or has this id."""
        key = self.key_of(label)
        if wanted in (label.campaign, label.campaign_id, key.campaign, key.campaign_id):
            return True
        return bool(key.campaign_id) and key.campaign_id in (
            self._id_of(label.is_pinterest, wanted),
            *self._bearers.get((label.is_pinterest, wanted.casefold()), ()),
        )

    def _id_of(self, is_pinterest: bool, campaign: str) -> str:
        """Returns the id of the one campaign of a name; many shops put the id in the name."""
        if not campaign or (is_pinterest, campaign) in self._newest:
            return campaign
        name = campaign.casefold()
        bearers = self._bearers.get((is_pinterest, name), set())
        # A campaign that has the name now takes precedence over one that had it once.
        today = {id for id in bearers if self._newest[is_pinterest, id].casefold() == name}
        (only,) = today or bearers if len(today or bearers) == 1 else ("",)
        return only
