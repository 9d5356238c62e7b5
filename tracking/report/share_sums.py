"""The shares of the comparison, added up: in all, by day, and by campaign."""

from collections.abc import Set
from dataclasses import dataclass, field

from tracking.domain.waterfall import ComparedShare, Waterfall
from tracking.report.campaigns import CampaignLabel
from tracking.store.credit_figures import ReportDay


@dataclass(frozen=True, slots=True)
class ComparedSpan:
    """The days [first, last] (as ordinals) that are compared, the model as a bit, and by which date
    an order counts."""

    first: int
    last: int
    bit: int
    report_by: ReportDay

    def holds(self, day: int) -> bool:
        """Returns True if a day is one of them."""
        return self.first <= day <= self.last


@dataclass(slots=True)
class ShareSums:
    """The shares of one line of the report: its waterfall, and the shares of each currency."""

    waterfall: Waterfall = field(default_factory=Waterfall)
    by_currency: dict[str, int] = field(default_factory=dict)

    def add(self, found: ComparedShare, currency: str, *, in_utc: bool, in_shop: bool) -> None:
        """Adds a share that counts in the UTC days of this line, in its shop days, or in both."""
        self.waterfall.add(found, in_utc=in_utc, in_shop=in_shop)
        self.by_currency[currency] = self.by_currency.get(currency, 0) + found.share

    def merge(self, other: "ShareSums", unnamed: Set[str] = frozenset()) -> None:
        """Adds the sums of others, of which some orders are not to be named."""
        self.waterfall.merge(other.waterfall, unnamed)
        for currency, share in other.by_currency.items():
            self.by_currency[currency] = self.by_currency.get(currency, 0) + share


@dataclass(slots=True)
class ComparedShares:
    """The shares of all campaigns, in all and by day, and of each campaign as touches named it."""

    totals: ShareSums = field(default_factory=ShareSums)
    days: dict[int, ShareSums] = field(default_factory=dict)
    campaigns: dict[CampaignLabel, ShareSums] = field(default_factory=dict)
    # The newest UTC day of each campaign that has several names.
    newest: dict[CampaignLabel, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return 1 + len(self.days) + len(self.campaigns)

    def labels(self) -> list[CampaignLabel]:
        """Returns the campaigns as touches named them, of several names the newest one last."""
        # Nothing is left of a name whose orders have all changed since they were summed up.
        labels = (label for label, sums in self.campaigns.items() if any(sums.by_currency.values()))
        return sorted(labels, key=lambda label: (self.newest.get(label, 0), label))

    def add(
        self, span: ComparedSpan, label: CampaignLabel, currency: str, found: ComparedShare
    ) -> None:
        """Adds a share that counts on one of the days, on either side."""
        in_utc, in_shop = span.holds(found.utc_day), span.holds(found.shop_day)
        if in_utc or in_shop:
            self.add_to_days(span, currency, found)
            self.add_to_campaign(label, currency, found, in_utc=in_utc, in_shop=in_shop)
            self.newest[label] = max(found.utc_day, self.newest.get(label, found.utc_day))

    def add_to_days(self, span: ComparedSpan, currency: str, found: ComparedShare) -> None:
        """Adds a share to the totals and to the lines of its days, to no campaign's."""
        in_utc, in_shop = span.holds(found.utc_day), span.holds(found.shop_day)
        if in_utc or in_shop:
            self.totals.add(found, currency, in_utc=in_utc, in_shop=in_shop)
        is_same = found.utc_day == found.shop_day
        if in_utc:
            day = self.days.setdefault(found.utc_day, ShareSums())
            day.add(found, currency, in_utc=True, in_shop=is_same)
        if in_shop and not is_same:
            day = self.days.setdefault(found.shop_day, ShareSums())
            day.add(found, currency, in_utc=False, in_shop=True)

    def add_to_campaign(
        self,
        label: CampaignLabel,
        currency: str,
        found: ComparedShare,
        *,
        in_utc: bool,
        in_shop: bool,
    ) -> None:
        """Adds a share to a campaign's line alone."""
        campaign = self.campaigns.get(label)
        if campaign is None:
            campaign = self.campaigns[label] = ShareSums()
        campaign.add(found, currency, in_utc=in_utc, in_shop=in_shop)

    def merge(self, other: "ComparedShares", unnamed: Set[str]) -> None:
        """Adds the sums of others, of which some orders are not to be named."""
        self.totals.merge(other.totals, unnamed)
        for day, sums in other.days.items():
            self.days.setdefault(day, ShareSums()).merge(sums, unnamed)
        for label, sums in other.campaigns.items():
            self.campaigns.setdefault(label, ShareSums()).merge(sums, unnamed)
