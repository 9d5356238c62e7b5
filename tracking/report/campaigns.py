"""The names of campaigns in reports."""

NOT_ATTRIBUTED = "(not attributed)"
NO_CAMPAIGN = "(no campaign)"
# Name, id, and whether it is Pinterest's: another network may have a campaign of the same name.
CampaignKey = tuple[str, str, bool]


def campaign_name(is_pinterest: bool, campaign_id: str, campaign: str) -> str:
    """Returns the name that a report shows for traffic that may have no campaign."""
    if campaign or campaign_id:
        return campaign
    return NO_CAMPAIGN if is_pinterest else NOT_ATTRIBUTED
