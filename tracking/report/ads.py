"""The ROI report by ad and by pin: the same orders and the same spend as by campaign.

Links tell an ad and a pin, and are not agreed which of Pinterest's variables is which. What the ad
account lists as an ad or as a pin is taken as such, whichever parameter tells it.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from tracking.domain.shop_days import ShopDays
from tracking.report.campaigns import (
    NO_CAMPAIGN,
    NOT_ATTRIBUTED,
    CampaignKey,
    CampaignLabel,
    CampaignNames,
    label_of,
)
from tracking.report.credit_sums import CreditSpan, are_complete
from tracking.report.known_rows import KnownRows, SummedDays, parts_of
from tracking.report.roi import CampaignSpend, EarnedCredit, report_of_lines
from tracking.report.shared_figures import is_of_this_release
from tracking.store import ad_credits, ad_figures, ad_spend, report_progress
from tracking.store.ad_credits import AdCreditSum, CampaignAdSum, CreditedSpan, UntoldAdCredit
from tracking.store.ad_spend import AdRow, AdSpendSum
from tracking.store.engine.statement import Connection
from tracking.store.reports import CreditSum
from tracking.store.values import path_from

Group = Literal["campaign", "ad", "pin"]
GROUPS: tuple[Group, ...] = get_args(Group)

_COLUMNS = ("orders", "revenue", "spend", "roas")


@dataclass(frozen=True, slots=True)
class AdLink:
    """The ad and the pin that a link names, "" where it names none."""

    ad_id: str
    pin_id: str


class ListedAds:
    """The ads of the ad account and the pins that they promote, as lines of a report."""

    def __init__(self, ads: Iterable[AdRow]) -> None:
        self._ads = {ad.ad_id: ad for ad in ads}
        newest = sorted(self._ads.values(), key=lambda ad: (ad.recorded_at, ad.ad_id))
        self._pins = {ad.pin_id: ad.name for ad in newest if ad.pin_id}

    def __len__(self) -> int:
        return len(self._ads)

    def key_of(self, label: CampaignLabel) -> CampaignKey:
        """Returns the line of an ad or pin, which has one name, or that of what is none's."""
        is_pinterest, id, name = label
        if not (id or name):
            name = NO_CAMPAIGN if is_pinterest else NOT_ATTRIBUTED
        return CampaignKey(name, id, is_pinterest)

    def id_of(self, group: Group, link: AdLink) -> str:
        """Returns the id of the ad, or of the pin, that a link is of."""
        told = link.ad_id, link.pin_id
        ad_id = told[0] if told[0] in self._ads else told[1] if told[1] in self._ads else ""
        if group == "ad":
            # An id that is listed as a pin is no ad's.
            return ad_id or ("" if link.ad_id in self._pins else link.ad_id)
        pin_id = next((id for id in (link.pin_id, link.ad_id) if id in self._pins), "")
        if pin_id or not ad_id:
            return pin_id or link.pin_id
        return self._ads[ad_id].pin_id or ("" if link.pin_id in self._ads else link.pin_id)

    def name_of(self, group: Group, id: str) -> str:
        """Returns the name of an ad, or of the ad that was listed last for a pin; "" for others."""
        if group == "pin":
            return self._pins.get(id, "")
        return self._ads[id].name if id in self._ads else ""


@dataclass(frozen=True, slots=True)
class AdFigures:
    """The credits and the spend of some days, and the ads that they may belong to."""

    earned: Sequence[AdCreditSum]
    spent: Sequence[AdSpendSum]
    ads: ListedAds


def listed_ads(conn: Connection) -> ListedAds:
    """Returns every ad that was ever listed."""
    return ListedAds(ad_spend.ads(conn))


def credits_by_ad(
    conn: Connection,
    span: CreditSpan,
    days: ShopDays,
    of_all: Iterable[CreditSum],
    known: KnownRows,
) -> list[AdCreditSum]:
    """Returns the credits of some days by the ad and pin of their links; `of_all` are the sums of
    all credits of these days."""
    found = [_by_link(row) for row in _of_pinterest(conn, span, days, known)]
    if any(row.ad_id is None for row in found):
        # They are among these without an ad and a pin, and go from there to where they belong.
        for row in ad_credits.untold(conn, _instants(span, days)):
            found += _moved(row)
    return [*found, *(_of_others(row) for row in of_all if not row.is_pinterest)]


def credits_of_campaign(
    conn: Connection,
    span: CreditSpan,
    days: ShopDays,
    names: CampaignNames,
    key: CampaignKey,
    known: KnownRows,
) -> list[AdCreditSum]:
    """Returns the credits of one Pinterest campaign by the ad and pin of their links."""
    of_all = _of_pinterest(conn, span, days, known)
    found = [_by_link(row) for row in of_all if names.key_of(label_of(row)) == key]
    if any(row.ad_id is None for row in found):
        for row in ad_credits.untold(conn, _instants(span, days)):
            if names.key_of(CampaignLabel(True, row.campaign_id, row.campaign)) == key:
                found += _moved(row)
    return found


def _of_pinterest(
    conn: Connection, span: CreditSpan, days: ShopDays, known: KnownRows
) -> list[CampaignAdSum]:
    """Returns the credits of Pinterest's touches, exact to the newest order; several of one
    campaign, ad and pin are to be added."""
    instants = _instants(span, days)
    progress = report_progress.of(conn, "credits")
    if not (are_complete(conn, days) and is_of_this_release(progress)):
        return ad_credits.sums(conn, instants)
    by, bit = span.report_by, span.bit
    found = ad_figures.pending(conn, by, bit, instants.since, instants.before)
    for part in parts_of(range(span.first, span.last + 1)):
        asked = (by, bit, part.start, part.stop - 1)
        found += known.of_sums(conn, SummedDays("credits", by, part), ad_figures.sums, *asked)
    return found


def _instants(span: CreditSpan, days: ShopDays) -> CreditedSpan:
    since, before = days.begin(span.first), days.begin(span.last + 1)
    return CreditedSpan(since, before, span.bit, span.report_by, span.longest_window)


def _by_link(row: CampaignAdSum) -> AdCreditSum:
    return AdCreditSum._make(row[2:])


def _of_others(row: CreditSum) -> AdCreditSum:
    sums = (row.share, row.gross, row.net, row.cancellations)
    return AdCreditSum(row.currency, 0, "", "", *sums)


def lines_of_campaign(
    group: Literal["ad", "pin"], found: AdFigures, costs: Collection[CampaignSpend]
) -> list[dict[str, Any]]:
    """Returns the lines of the ads or pins of a campaign that cost so much, each with its currency;
    they sum to the campaign's."""
    codes = sorted({*(row.currency for row in found.earned), *(cost.currency for cost in costs)})
    report = {"currencies": [{"currency": code} for code in codes]}
    return [
        {**line, "currency": each["currency"]}
        for each in with_lines(report, group, found, costs)["currencies"]
        for line in each[f"{group}s"]
    ]


def _moved(row: UntoldAdCredit) -> Iterator[AdCreditSum]:
    """Yields a credit for the ad and pin of its touch, which the path of its order tells, and what
    takes it away from those without."""
    touch = next((one for one in path_from(row.path) if one.key == row.touch_key), None)
    if touch is not None:
        sums = (row.share, row.gross, row.net, row.cancellations)
        yield AdCreditSum(row.currency, 1, touch.ad_id, touch.pin_id, *sums)
        yield AdCreditSum(row.currency, 1, None, None, *(-each for each in sums))


def with_lines(
    report: Mapping[str, Any],
    group: Literal["ad", "pin"],
    found: AdFigures,
    in_all: Iterable[CampaignSpend],
) -> dict[str, Any]:
    """Returns an ROI report with the lines `ads` or `pins`, which sum to its totals exactly.

    `in_all` is the spend of all campaigns. Of it, what is no ad's stands in the line without an id.
    """
    earned = (_credit(row, group, found.ads) for row in found.earned)
    spent = _spend(found.spent, in_all, group, found.ads)
    told = report_of_lines(earned, spent, found.ads, has_ratios=False)
    by_currency = {
        each["currency"]: _lines(each["campaigns"], group) for each in told["currencies"]
    }
    # Those of one currency are those of all.
    of_all = by_currency.get(told["currency"]) or _lines(told["campaigns"], group)
    return {
        **report,
        f"{group}s": of_all,
        "currencies": [
            {**each, f"{group}s": by_currency.get(each["currency"], [])}
            for each in report["currencies"]
        ],
    }


def _credit(row: AdCreditSum, group: Group, ads: ListedAds) -> EarnedCredit:
    id = ads.id_of(group, AdLink(row.ad_id or "", row.pin_id or "")) if row.is_pinterest else ""
    return EarnedCredit(
        currency=row.currency,
        is_pinterest=bool(row.is_pinterest),
        campaign_id=id,
        campaign=ads.name_of(group, id),
        share=int(row.share),
        gross=int(row.gross),
        net=int(row.net),
        cancellations=int(row.cancellations),
    )


def _spend(
    spent: Iterable[AdSpendSum], in_all: Iterable[CampaignSpend], group: Group, ads: ListedAds
) -> Iterator[CampaignSpend]:
    """Yields the spend of each ad, or pin, and the rest of the spend of all campaigns."""
    rest: dict[str, int] = {}
    for cost in (each for each in in_all if each.micros):
        rest[cost.currency] = rest.get(cost.currency, 0) + cost.micros
    for row in (each for each in spent if each.currency in rest):
        id = ads.id_of(group, AdLink(row.ad_id, ""))
        micros = int(row.micros)
        rest[row.currency] -= micros
        yield CampaignSpend(id, ads.name_of(group, id), row.currency, micros)
    for currency, micros in rest.items():
        yield CampaignSpend("", "", currency, micros)


def _lines(lines: Iterable[Mapping[str, Any]], group: Group) -> list[dict[str, Any]]:
    return [
        {
            f"{group}_id": line["campaign_id"],
            "name": _name(line, group),
            **{name: line[name] for name in _COLUMNS},
        }
        for line in lines
    ]


def _name(line: Mapping[str, Any], group: Group) -> Any:
    is_without = not line["campaign_id"] and line["campaign"] == NO_CAMPAIGN
    return f"(no {group})" if is_without else line["campaign"]
