"""By ad and by pin the report is of the same orders and the same spend, to the cent."""

from decimal import Decimal
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracking.report.ads import AdFigures, AdLink, ListedAds, with_lines
from tracking.report.roi import CampaignSpend, EarnedCredit, roi_report
from tracking.store.ad_credits import AdCreditSum
from tracking.store.ad_spend import AdRow, AdSpendSum

IDS = ("", "1", "2", "71", "72", "9")
CURRENCIES = ("USD", "JPY", "KWD")
ADS = ListedAds(
    [
        AdRow("1", "Blue mug", "11", "71", 5),
        AdRow("2", "Red mug", "11", "72", 5),
        AdRow("3", "Red mug, again", "12", "72", 6),
        AdRow("4", "No pin", "12", "", 5),
    ]
)

amounts = st.integers(0, 10**9)
credits = st.builds(
    AdCreditSum,
    currency=st.sampled_from(CURRENCIES),
    is_pinterest=st.integers(0, 1),
    ad_id=st.sampled_from(IDS),
    pin_id=st.sampled_from(IDS),
    share=st.integers(1, 5_000_000),
    gross=amounts,
    net=amounts,
    cancellations=st.just(0),
)
campaign_costs = st.builds(
    CampaignSpend,
    campaign_id=st.sampled_from(("11", "12")),
    campaign=st.just(""),
    currency=st.sampled_from(CURRENCIES),
    micros=amounts,
)
ad_costs = st.builds(
    AdSpendSum,
    ad_id=st.sampled_from(("1", "2", "3", "4", "5")),
    currency=st.sampled_from(CURRENCIES),
    micros=amounts,
)


def report_of(
    group: Literal["ad", "pin"],
    earned: list[AdCreditSum],
    spent: list[AdSpendSum],
    in_all: list[CampaignSpend],
) -> Any:
    by_campaign = [
        EarnedCredit(
            row.currency,
            bool(row.is_pinterest),
            "11" if row.is_pinterest else "",
            "",
            int(row.share),
            int(row.gross),
            int(row.net),
            0,
        )
        for row in earned
    ]
    report = roi_report(by_campaign, in_all)
    return with_lines(report, group, AdFigures(earned, spent, ADS), in_all)


@given(
    st.sampled_from(("ad", "pin")),
    st.lists(credits, max_size=8),
    st.lists(ad_costs, max_size=6),
    st.lists(campaign_costs, max_size=4),
)
def test_ads_and_pins_sum_to_the_totals_exactly(
    group: Literal["ad", "pin"],
    earned: list[AdCreditSum],
    spent: list[AdSpendSum],
    in_all: list[CampaignSpend],
) -> None:
    report = report_of(group, earned, spent, in_all)

    for book in report["currencies"]:
        lines = book[f"{group}s"]
        for total, part in (("total_revenue", "revenue"), ("total_spend", "spend")):
            assert sum(Decimal(line[part]) for line in lines) == Decimal(book[total])
        assert round(sum(line["orders"] for line in lines), 6) == round(book["orders"], 6)
    ids = [line[f"{group}_id"] for line in report[f"{group}s"] if line[f"{group}_id"]]
    assert len(ids) == len(set(ids))


def credit(ad_id: str = "", pin_id: str = "", *, is_pinterest: int = 1) -> AdCreditSum:
    return AdCreditSum("USD", is_pinterest, ad_id, pin_id, 1_000_000, 40_00, 40_00, 0)


def test_each_ad_has_its_name_its_spend_and_its_return_and_the_rest_a_line_of_its_own() -> None:
    report = report_of(
        "ad",
        [credit("1"), credit("2"), credit(), credit(is_pinterest=0)],
        [AdSpendSum("1", "USD", 10_000_000)],
        [CampaignSpend("11", "Mugs", "USD", 15_000_000)],
    )

    found = {line["name"]: (line["ad_id"], line["spend"], line["roas"]) for line in report["ads"]}
    assert found == {
        "Blue mug": ("1", "10.00", "4.00"),
        "Red mug": ("2", "0.00", None),
        "(no ad)": ("", "5.00", "8.00"),
        "(not attributed)": ("", "0.00", None),
    }
    assert report["ads"][-1]["name"] == "(not attributed)"


def test_a_pin_has_the_spend_of_all_its_ads() -> None:
    report = report_of(
        "pin",
        [credit("2"), credit("3")],
        [AdSpendSum(id, "USD", 5_000_000) for id in ("2", "3", "4")],
        [CampaignSpend("11", "Mugs", "USD", 15_000_000)],
    )

    lines = [(line["pin_id"], line["name"], line["spend"]) for line in report["pins"]]
    assert lines == [("72", "Red mug, again", "10.00"), ("", "(no pin)", "5.00")]


@pytest.mark.parametrize(
    ("link", "ad", "pin"),
    [
        (("1", "71"), "1", "71"),
        (("71", "1"), "1", "71"),
        (("1", ""), "1", "71"),
        (("", "1"), "1", "71"),
        (("71", ""), "", "71"),
        (("", "71"), "", "71"),
        (("1", "999"), "1", "71"),
        (("4", "999"), "4", "999"),
        (("999", "998"), "999", "998"),
        (("999", ""), "999", ""),
        (("", ""), "", ""),
    ],
)
def test_an_id_that_the_account_lists_is_taken_for_what_it_is_there(
    link: tuple[str, str], ad: str, pin: str
) -> None:
    assert (ADS.id_of("ad", AdLink(*link)), ADS.id_of("pin", AdLink(*link))) == (ad, pin)


def test_spend_of_ads_that_is_newer_than_that_of_their_campaigns_changes_no_total() -> None:
    report = report_of(
        "ad",
        [credit("1")],
        [AdSpendSum("1", "USD", 12_000_000)],
        [CampaignSpend("11", "Mugs", "USD", 10_000_000)],
    )

    lines = [(line["name"], line["spend"], line["roas"]) for line in report["ads"]]
    assert lines == [("Blue mug", "12.00", "3.33"), ("(no ad)", "-2.00", None)]
    assert report["total_spend"] == "10.00"


def test_without_any_spend_of_campaigns_that_of_ads_counts_nothing() -> None:
    report = report_of("ad", [credit("1")], [AdSpendSum("1", "EUR", 12_000_000)], [])
    assert [(line["ad_id"], line["spend"]) for line in report["ads"]] == [("1", "0.00")]
