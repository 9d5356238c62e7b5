"""The ads of an ad account and their spend, from Pinterest's Ads API."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

import msgspec

from tracking.clients.pinterest_ads import (
    PAGE_SIZE,
    STATUSES,
    PinterestAds,
    checked_ids,
    printable_name,
    whole_number,
)

_SPEND = "SPEND_IN_MICRO_DOLLAR"


@dataclass(frozen=True, slots=True)
class ListedAd:
    """An ad, the campaign it belongs to and the pin it promotes."""

    id: str
    name: str
    campaign_id: str
    pin_id: str


@dataclass(frozen=True, slots=True)
class AdPage:
    """Some ads, and the bookmark of the next page, "" for the last page."""

    ads: Sequence[ListedAd]
    bookmark: str


class _Ad(msgspec.Struct):
    id: str | int
    name: str | None = None
    campaign_id: str | int | None = None
    pin_id: str | int | None = None


class _Ads(msgspec.Struct):
    items: list[_Ad]
    bookmark: str | None = None


class _AdSpendRow(msgspec.Struct):
    date: str = msgspec.field(name="DATE")
    id: str | int = msgspec.field(name="AD_ID")
    micros: Decimal | None = msgspec.field(name=_SPEND, default=None)


def page(ads: PinterestAds, bookmark: str = "") -> AdPage:
    """A page of the account's ads, paused and archived ones included.

    Raises:
        PinterestAdsError: the ads cannot be read.
    """
    parameters: dict[str, object] = {"page_size": PAGE_SIZE, "entity_statuses": STATUSES}
    if bookmark:
        parameters["bookmark"] = bookmark
    found = ads.get("/ads", parameters, _Ads)
    return AdPage([_listed(one) for one in found.items], found.bookmark or "")


def spend(
    ads: PinterestAds, ids: Sequence[str], start: date, end: date
) -> dict[tuple[str, str], int]:
    """Spend of 1 to 250 ads on each UTC day from `start` to `end` (at most 90 days, inclusive), in
    millionths, by ISO date and ad id. Spend of zero may be absent.

    Raises:
        PinterestAdsError: the spend cannot be read.
    """
    rows = ads.analytics("/ads/analytics", {"ad_ids": ids}, start, end, [_SPEND], _AdSpendRow)
    checked_ids(rows, ids)
    return {(row.date, str(row.id)): whole_number(row.micros, "a spend") for row in rows}


def _listed(ad: _Ad) -> ListedAd:
    return ListedAd(
        id=str(ad.id),
        name=printable_name(ad.name),
        campaign_id=str(ad.campaign_id or ""),
        pin_id=str(ad.pin_id or ""),
    )
