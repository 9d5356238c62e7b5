"""A return on spend where both are of one currency, each with its campaign."""

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.domain.money import MICROS
from tracking.report.roi import CampaignSpend, EarnedCredit, roi_report

RATIOS = ("roas", "roi", "cpa")
NOTHING = (None, None, None)


def earned(currency: str = "USD", campaign_id: str = "11", campaign: str = "") -> EarnedCredit:
    return EarnedCredit(currency, True, campaign_id, campaign, 1_000_000, 4_000, 4_000, 0)


def spent(
    currency: str = "USD", campaign_id: str = "11", campaign: str = "", amount: int = 10
) -> CampaignSpend:
    return CampaignSpend(campaign_id, campaign, currency, amount * 1_000_000)


def books(report: Any) -> dict[str, Any]:
    return {book["currency"]: book for book in report["currencies"]}


def lines(report: Any) -> dict[str, Any]:
    return {line["campaign_id"]: line for line in report["campaigns"]}


def ratios(figures: Any) -> tuple[str | None, ...]:
    return tuple(figures[name] for name in RATIOS)


# --- Of several currencies


def test_spend_of_nothing_in_another_currency_hides_no_figures() -> None:
    found = roi_report([earned()], [spent(), spent("EUR", amount=0)])
    assert (found["currency"], found["total_spend"], found["roas"]) == ("USD", "10.00", "4.00")
    assert [book["currency"] for book in found["currencies"]] == ["USD"]


def test_spend_of_nothing_still_names_its_campaign() -> None:
    found = roi_report(
        [earned(campaign_id="", campaign="summer")], [spent("EUR", "11", "Summer", 0)]
    )
    assert list(lines(found)) == ["11"]
    assert lines(found)["11"]["campaign"] == "Summer"


def test_spend_that_earned_in_another_currency_has_no_return() -> None:
    euros = books(roi_report([earned("USD")], [spent("EUR")]))["EUR"]
    assert (euros["total_spend"], ratios(euros)) == ("10.00", NOTHING)
    assert (lines(euros)["11"]["spend"], ratios(lines(euros)["11"])) == ("10.00", NOTHING)


def test_spend_that_earned_in_its_own_currency_too_has_its_return() -> None:
    euros = books(roi_report([earned("USD"), earned("EUR")], [spent("EUR")]))["EUR"]
    assert ratios(euros) == ratios(lines(euros)["11"]) == ("4.00", "3.00", "10.00")


def test_a_campaign_that_earned_nothing_anywhere_has_a_return_of_nothing() -> None:
    euros = books(roi_report([earned("USD")], [spent("EUR"), spent("EUR", "22")]))["EUR"]
    assert ratios(lines(euros)["22"]) == ("0.00", "-1.00", None)


def test_orders_that_came_by_themselves_are_no_earnings_of_another_currency() -> None:
    direct = EarnedCredit("USD", False, "", "", 1_000_000, 4_000, 4_000, 0)
    assert ratios(books(roi_report([direct], [spent("EUR")]))["EUR"]) == ("0.00", "-1.00", None)


# --- Of the cents of spend


@pytest.mark.parametrize("currency", ["USD", "JPY", "KWD"])
@given(parts=st.lists(st.integers(1, 10**10), min_size=1, max_size=9))
def test_the_spend_of_the_campaigns_sums_to_the_total_as_it_is_printed(
    currency: str, parts: list[int]
) -> None:
    rows = [CampaignSpend(str(n), "", currency, micros) for n, micros in enumerate(parts)]
    found = roi_report([], rows)
    printed = [Decimal(line["spend"]) for line in found["campaigns"]]
    assert sum(printed) == Decimal(found["total_spend"])
    unit = Decimal(found["total_spend"]).as_tuple().exponent
    exact = [Decimal(micros) / MICROS for micros in sorted(parts)]
    assert isinstance(unit, int)
    assert all(
        abs(text - value) < Decimal(1).scaleb(unit)
        for text, value in zip(sorted(printed), exact, strict=True)
    )


def test_a_spare_cent_goes_to_the_largest_remainder() -> None:
    rows = [
        CampaignSpend(str(n), "", "USD", micros)
        for n, micros in enumerate((10_004_000, 10_004_500, 10_003_000))
    ]
    found = roi_report([], rows)
    assert found["total_spend"] == "30.01"
    assert {id: line["spend"] for id, line in lines(found).items()} == {
        "0": "10.00",
        "1": "10.01",
        "2": "10.00",
    }


# --- Of names


def test_every_name_a_campaign_ever_had_leads_to_it_and_the_last_is_shown() -> None:
    found = roi_report(
        [earned(campaign_id="", campaign=name) for name in ("winter", "SUMMER")],
        [spent(campaign="Winter"), spent(campaign="Summer"), spent(campaign="")],
    )
    (line,) = found["campaigns"]
    assert (line["campaign_id"], line["campaign"], line["orders"]) == ("11", "Summer", 2)
    assert (line["spend"], line["roas"]) == ("30.00", "2.67")


def test_a_name_that_went_to_another_campaign_leads_to_the_one_that_bears_it_now() -> None:
    found = roi_report(
        [earned(campaign_id="", campaign="Summer")],
        [
            spent(campaign="Summer"),
            spent(campaign="Autumn"),
            spent(campaign_id="22", campaign="Summer"),
        ],
    )
    assert {id: line["orders"] for id, line in lines(found).items()} == {"11": 0, "22": 1}


def test_a_name_of_two_campaigns_leads_to_neither() -> None:
    found = roi_report(
        [earned(campaign_id="", campaign="Summer")],
        [spent(campaign="Summer"), spent(campaign_id="22", campaign="Summer")],
    )
    assert {id: line["orders"] for id, line in lines(found).items()} == {"": 1, "11": 0, "22": 0}
