"""Pinterest says, we credit, the shop sold: the difference, from the tables of the store."""

import csv
import io
from typing import Any

import pytest

from commands.doctor import findings
from tests.actors import (
    COLLECTOR_KEY,
    DAY,
    HOUR,
    NOW,
    BuildWorld,
    Clock,
    Storefront,
    World,
    bearer,
    deliver,
    instant,
    notes,
    order,
    pinned,
    refund,
)
from tests.handed_in import checkout, hand_in
from tests.store_contents import rows
from tracking.domain.waterfall import PARTS
from tracking.report.accuracy_writer import AccuracyWriter
from tracking.store import match_verdicts, pinterest_figures, pinterest_readings
from tracking.store.match_verdicts import ComponentRow, LookbackVerdicts
from tracking.store.pinterest_figures import PinterestFigures
from tracking.store.pinterest_readings import ReadingRow

ZONE = "America/New_York"
DAYS = {"start_date": "2026-11-19", "end_date": "2026-11-20"}
NOTHING = {"orders": "0.000000", "value": "0.00"}
# Three o'clock in the morning UTC, which is ten in the evening of the day before in New York.
NIGHT = NOW - 9 * HOUR
ADS = {"PINTEREST_ADS_TOKEN": "pina_ads_token_of_the_tests"}


def sell(world: World, number: int, at: float = NOW, **changes: Any) -> None:
    """Take in an order of its own buyer, who clicked on a pin of campaign 11."""
    when = {"created_at": instant(at), "processed_at": instant(at), "updated_at": instant(at)}
    buyer = {"email": f"buyer-{number}@example.com", "contact_email": None, "customer": None}
    told = {"id": number, "billing_address": None, "landing_site": pinned("11"), **when, **buyer}
    assert world.shop.sends("orders/create", order(**{**told, **changes})).status_code == 200


def pinterest_says(
    world: World, orders: int, value: int, views: tuple[int, int] = (0, 0), **changes: Any
) -> None:
    """Store what Pinterest says of campaign 11 and 20 November; values are whole units."""
    account = world.service.settings.pinterest_ad_account_id
    micros, view_orders, view_micros = value * 1_000_000, views[0], views[1] * 1_000_000
    row = PinterestFigures(
        "2026-11-20",
        "11",
        "order_date",
        "USD",
        "Summer",
        orders,
        micros,
        orders - view_orders,
        micros - view_micros,
        view_orders,
        view_micros,
        orders,
        0,
        30,
        1,
        NOW,
        account,
    )._replace(**changes)
    reading = ReadingRow(account, "conversions", through="2026-11-20", read_at=NOW)

    def write(conn: Any) -> None:
        pinterest_figures.put(conn, [row])
        pinterest_readings.put(conn, reading)

    world.service.store.commit(write)


def parts(line: Any) -> dict[str, tuple[str, str]]:
    """The parts of a line's difference that are not nothing."""
    return {
        part["part"]: (part["orders"], part["value"])
        for part in line["difference"]["parts"]
        if (part["orders"], part["value"]) != ("0.000000", "0.00")
    }


def part(line: Any, name: str) -> Any:
    return next(part for part in line["difference"]["parts"] if part["part"] == name)


def test_a_comparison_has_the_keys_of_its_contract(everywhere: BuildWorld) -> None:
    world = everywhere(**ADS)
    sell(world, 1)
    pinterest_says(world, 1, 40)
    found = world.shop.reads("/comparison", **DAYS)
    assert [*found] == [
        *("start_date", "end_date", "timezone", "report_by", "model", "ad_account"),
        *("missing", "windows"),
        *("currency", "note", "totals", "days", "campaigns", "withheld", "hints"),
    ]
    assert [*found["totals"]] == ["pinterest", "credited", "sold", "difference"]
    assert [*found["days"][0]] == ["date", "pinterest", "credited", "sold", "difference"]
    (campaign,) = found["campaigns"]
    assert [*campaign] == ["campaign_id", "campaign", "pinterest", "credited", "difference"]
    assert campaign["campaign"] == "Summer"
    told = campaign["difference"]["parts"]
    assert {one["part"]: one["basis"] for one in told} == PARTS
    assert all(
        [*one] == ["part", "basis", "orders", "value", "reasons", "order_ids"] for one in told
    )


def test_every_order_explains_its_part_of_the_difference(everywhere: BuildWorld) -> None:
    world = everywhere(SHOP_TIMEZONE=ZONE, PINTEREST_SEND="all", **ADS)
    sell(world, 1)
    sell(world, 2, note_attributes=notes(pin_consent="marketing=no"))
    sell(world, 3, NIGHT)
    sell(world, 4)
    sell(world, 5)
    deliver(world.service)
    sell(world, 6)
    world.shop.sends("refunds/create", refund(order_id=4))
    world.shop.sends("orders/delete", {"id": 5})
    # Four were sent, of which one counts on the day before here; a fifth was nobody's.
    pinterest_says(world, 5, 205)

    today = {"start_date": "2026-11-20", "end_date": "2026-11-20"}
    found = world.shop.reads("/comparison", **today)

    totals = found["totals"]
    assert totals["sold"] == {"orders": 4, "revenue": "150.00", "currency": "USD"}
    assert totals["credited"] == {"orders": "4.000000", "value": "150.00", "currency": "USD"}
    assert (totals["difference"]["orders"], totals["difference"]["value"]) == ("1.000000", "55.00")
    assert parts(totals) == {
        "days": ("1.000000", "40.00"),
        "not_sent": ("-1.000000", "-40.00"),
        "undelivered": ("-1.000000", "-40.00"),
        "refunded_since": ("1.000000", "50.00"),
        "not_explained": ("1.000000", "45.00"),
    }
    assert found["days"][0] == {"date": "2026-11-20", **totals}
    assert part(totals, "days")["order_ids"] == ["3"]
    assert part(totals, "refunded_since")["order_ids"] == ["5", "4"]
    (reason,) = part(totals, "not_sent")["reasons"]
    assert (reason["reason"], reason["orders"]) == ("consent_refused", "-1.000000")
    assert part(totals, "undelivered")["reasons"][0]["reason"] == "waiting"
    both = world.shop.reads("/comparison", **DAYS)
    assert "days" not in parts(both["totals"])
    assert [parts(day).get("days") for day in both["days"]] == [
        ("-1.000000", "-40.00"),
        ("1.000000", "40.00"),
    ]


def test_a_view_counts_as_a_view_on_both_sides(everywhere: BuildWorld, clock: Clock) -> None:
    world = everywhere(COLLECTOR_KEY=COLLECTOR_KEY, **ADS)
    visitor = "visitor-0123456789"
    shop = Storefront(world.service, world.pinterest, clock)
    shop.sees("ad_viewed", visitor, HOUR, customData=None, data={"utm_campaign_id": "11"})
    shop.sells(note_attributes=notes(pin_vid=visitor))
    deliver(world.service)
    pinterest_says(world, 3, 120, views=(3, 120))

    found = world.shop.reads("/comparison", **DAYS)

    assert found["totals"]["credited"]["orders"] == "1.000000"
    assert parts(found["totals"]) == {"views": ("2.000000", "80.00")}


def test_an_order_that_another_systems_event_told_is_not_missing(everywhere: BuildWorld) -> None:
    world = everywhere(PINTEREST_SEND="all", **ADS)
    hand_in(world, checkout())
    deliver(world.service)
    world.sells(landing_site=pinned("11"), subtotal_price="44.00")
    pinterest_says(world, 1, 40)

    found = world.shop.reads("/comparison", **DAYS)

    assert parts(found["totals"]) == {"value_sent": ("0.000000", "-4.00")}


def test_an_edit_is_explained_after_its_buyer_was_erased(everywhere: BuildWorld) -> None:
    world = everywhere(**ADS)
    sell(world, 1)
    deliver(world.service)
    buyer = {"email": "buyer-1@example.com"}
    asked = {"shop_id": 1, "shop_domain": "mug-shop.myshopify.com", "orders_to_redact": [1]}
    assert world.shop.sends("customers/redact", {**asked, "customer": buyer}).status_code == 200
    assert {row["payload"] for row in rows(world.service.store, "outbox")} == {b""}
    sell(world, 1, updated_at=instant(NOW + HOUR), subtotal_price="44.00")
    pinterest_says(world, 1, 40)

    found = world.shop.reads("/comparison", **DAYS)

    assert found["totals"]["credited"]["value"] == "44.00"
    assert parts(found["totals"]) == {"value_sent": ("0.000000", "-4.00")}


def test_an_order_counts_on_the_day_of_its_click_on_both_sides(everywhere: BuildWorld) -> None:
    world = everywhere(SHOP_TIMEZONE=ZONE, **ADS)
    ada = {"email": "ada@example.com"}
    sell(world, 1, NOW - DAY, **ada)
    sell(world, 2, NOW, landing_site="/", **ada)
    deliver(world.service)
    pinterest_says(world, 2, 80, report_by="click_date", date="2026-11-19")

    by_order, by_click = (
        world.shop.reads("/comparison", **DAYS, report_by=report_by)
        for report_by in ("order_date", "click_date")
    )

    assert [day["credited"]["orders"] for day in by_order["days"]] == ["1.000000", "1.000000"]
    assert parts(by_order["totals"]) == {"not_explained": ("-2.000000", "-80.00")}
    assert [day["credited"]["orders"] for day in by_click["days"]] == ["2.000000", "0.000000"]
    assert [parts(line) for line in (by_click["totals"], *by_click["days"])] == [{}, {}, {}]
    assert [day["sold"]["orders"] for day in by_click["days"]] == [1, 1]


def test_shares_of_two_campaigns_are_compared_to_the_millionth(everywhere: BuildWorld) -> None:
    world = everywhere(ATTRIBUTION_MODEL="linear", **ADS)
    mail = {"email": "ada@example.com", "subtotal_price": "40.01"}
    for number, campaign, at in ((1, "11", NOW - 4 * HOUR), (2, "22", NOW)):
        sell(world, number, at, landing_site=pinned(campaign), **mail)
    deliver(world.service)
    pinterest_says(world, 1, 40)

    found = world.shop.reads("/comparison", **DAYS)

    told = {line["campaign_id"]: line["credited"] for line in found["campaigns"]}
    assert told["11"] == {"orders": "1.500000", "value": "60.02", "currency": "USD"}
    assert told["22"] == {"orders": "0.500000", "value": "20.00", "currency": "USD"}
    rest = {line["campaign_id"]: parts(line) for line in found["campaigns"]}
    assert rest["11"] == {"not_explained": ("-0.500000", "-20.02")}
    assert rest["22"] == {"not_explained": ("-0.500000", "-20.00")}


def test_amounts_of_two_currencies_are_not_subtracted(everywhere: BuildWorld) -> None:
    world = everywhere(**ADS)
    sell(world, 1)
    deliver(world.service)
    pinterest_says(world, 1, 38, currency="EUR")

    found = world.shop.reads("/comparison", **DAYS)

    assert found["currency"] is None
    assert found["note"] == (
        "Values in EUR and USD are never subtracted from each other: such a value is null."
    )
    totals = found["totals"]
    assert (totals["pinterest"]["value"], totals["pinterest"]["currency"]) == ("38.00", "EUR")
    assert (totals["credited"]["value"], totals["credited"]["currency"]) == ("40.00", "USD")
    assert (totals["difference"]["orders"], totals["difference"]["value"]) == ("0.000000", None)


def test_without_an_ads_token_the_report_says_what_is_missing(everywhere: BuildWorld) -> None:
    world = everywhere()
    sell(world, 1)
    found = world.shop.reads("/comparison", **DAYS)
    assert found["missing"] == ("Pinterest's figures are not read: PINTEREST_ADS_TOKEN is not set.")
    totals = found["totals"]
    assert (totals["pinterest"], totals["difference"]) == (None, None)
    assert totals["credited"]["orders"] == "1.000000"
    assert totals["sold"]["orders"] == 1


def test_days_that_were_not_read_yet_are_compared_with_nothing(everywhere: BuildWorld) -> None:
    world = everywhere(**ADS)
    assert "not read yet" in world.shop.reads("/comparison", **DAYS)["missing"]
    pinterest_says(world, 0, 0)
    found = world.shop.reads("/comparison", start_date="2026-11-20", end_date="2026-11-21")
    assert found["missing"] == "Pinterest's figures were read up to 2026-11-20."
    assert [day["difference"] is None for day in found["days"]] == [False, True]


def test_days_before_the_first_reading_are_compared_with_nothing(everywhere: BuildWorld) -> None:
    world = everywhere(**ADS)
    account = world.service.settings.pinterest_ad_account_id
    reading = ReadingRow(account, "conversions", through="2026-11-20", since="2026-11-20")
    world.service.store.commit(lambda conn: pinterest_readings.put(conn, reading))

    found = world.shop.reads("/comparison", **DAYS)
    assert found["missing"] == "Pinterest's figures were read from 2026-11-20 on."
    assert [day["difference"] is None for day in found["days"]] == [True, False]
    assert found["totals"]["difference"] is not None

    before = world.shop.reads("/comparison", start_date="2026-11-18", end_date="2026-11-19")
    assert before["missing"] == "Pinterest's figures were read from 2026-11-20 on."
    assert (before["totals"]["pinterest"], before["totals"]["difference"]) == (None, None)


def test_restated_figures_are_told_at_once_and_renamed_campaigns_by_their_name(
    everywhere: BuildWorld,
) -> None:
    world = everywhere(**ADS)
    pinterest_says(world, 1, 40)
    for orders, name in ((1, "Summer"), (3, "Autumn"), (3, "Winter")):
        pinterest_says(world, orders, 40, campaign=name)
        found = world.shop.reads("/comparison", **DAYS)
        assert found["totals"]["pinterest"]["orders"] == orders
        (campaign,) = found["campaigns"]
        assert (campaign["campaign"], campaign["pinterest"]["orders"]) == (name, orders)


def test_windows_that_are_not_ours_are_told(everywhere: BuildWorld) -> None:
    world = everywhere(CLICK_WINDOW_DAYS="28", VIEW_WINDOW_HOURS="12", **ADS)
    pinterest_says(world, 0, 0)
    found = world.shop.reads("/comparison", **DAYS)["windows"]
    assert found["ours"] == {"click_days": 28, "view_hours": 12}
    assert found["pinterest"] == [{"click_days": 30, "view_days": 1}]
    assert found["note"].startswith(
        "Pinterest counts with 30 days after a click and 1 after a view"
    )


def test_what_is_withheld_is_told_with_what_it_would_take(everywhere: BuildWorld) -> None:
    world = everywhere(CONSENT_UNKNOWN="hold")
    sell(world, 1)
    sell(world, 2, landing_site="/", note_attributes=notes(pin_consent="marketing=yes"))
    sell(world, 3, landing_site="/", note_attributes=notes(pin_consent="marketing=yes"))
    found = world.shop.reads("/comparison", **DAYS)["withheld"]
    assert found["orders"] == 3
    told = {one["reason"]: (one["orders"], one["remedy"]) for one in found["reasons"]}
    assert told["not_attributed"] == (2, "PINTEREST_SEND=all sends every order.")
    orders, remedy = told["consent_unknown"]
    assert orders == 1
    assert "CONSENT_UNKNOWN" in remedy


def test_what_is_withheld_is_told_by_ready_to_the_owner_alone(world: BuildWorld) -> None:
    found = world(CONSENT_UNKNOWN="hold")
    sell(found, 1)
    sell(found, 2, NOW - 2 * DAY)
    told = found.shop.reads("/ready")["withheld"]
    assert (told["orders"], told["reasons"][0]["reason"]) == (1, "consent_unknown")
    assert found.shop.client.get("/ready").get_json() == {"status": "ok"}


def test_what_is_withheld_is_told_by_doctor(world: BuildWorld) -> None:
    found = world(CONSENT_UNKNOWN="hold")
    sell(found, 1)
    lines = findings(found.service, asks=False)
    (line,) = (each for each in lines if each.subject == "not sent")
    assert line.mark == "note"
    assert line.text.startswith("1 order of 30 days: The buyer's consent is not known")
    assert "CONSENT_UNKNOWN" in line.text


def test_a_late_event_is_a_hint(everywhere: BuildWorld, clock: Clock) -> None:
    world = everywhere(**ADS)
    sell(world, 1)
    clock.tick(hours=2)
    deliver(world.service)
    (found,) = world.shop.reads("/comparison", **DAYS)["hints"]
    assert (found["hint"], found["orders"], found["order_ids"]) == ("late", 1, ["1"])


def test_hints_are_exact_before_and_after_they_are_summed_up(
    everywhere: BuildWorld, clock: Clock
) -> None:
    world = everywhere(**ADS)
    for number in (1, 2, 3):
        sell(world, number)
    clock.tick(hours=2)
    deliver(world.service)
    sell(world, 4)
    store, figures = world.service.store, AccuracyWriter(world.service.store, 400, clock)

    def hints() -> dict[str, tuple[int, list[str]]]:
        found = world.shop.reads("/comparison", **DAYS)["hints"]
        return {one["hint"]: (one["orders"], one["order_ids"]) for one in found}

    def tells(order_id: str) -> None:
        told = "UPDATE conversions SET storefront_id = 'sh-' || order_id WHERE order_id = "
        store.commit(lambda conn: conn.cursor.execute(f"{told}'{order_id}'"))

    late = {"late": (3, ["3", "2", "1"])}
    assert hints() == late
    while figures.step():
        pass
    assert hints() == late
    tells("4")
    assert hints() == {**late, "not_sent_here": (1, ["4"])}
    tells("2")
    known = {"another_sender": (1, ["2"]), "late": (2, ["3", "1"]), "not_sent_here": (1, ["4"])}
    assert hints() == known
    while figures.step():
        pass
    assert hints() == known
    assert {row["hint"]: row["orders"] for row in rows(store, "hint_quarters")} == {
        name: orders for name, (orders, _) in known.items()
    }


def test_the_overlap_with_a_tag_is_a_hint(world: BuildWorld) -> None:
    found = world(**ADS)
    source = ("14d", "WEB", "CONVERSIONS_API")
    share = ComponentRow(*source, "checkout", "external_event_id", 1_000_000, 413_000, "[]")
    of_tag = share._replace(ingestion_source="TAG")
    told = LookbackVerdicts("14d", [], [share, of_tag])
    found.service.store.commit(lambda conn: match_verdicts.put(conn, [told]))
    (hint,) = found.shop.reads("/comparison", **DAYS)["hints"]
    assert hint["hint"] == "overlap"
    assert hint["text"].startswith("41% of the event ids of web purchases came from a tag as well")
    assert "the last 14 days" in hint["text"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"report_by": "week"}, "report_by"),
        ({"model": "best"}, "model"),
        ({"start_date": "yesterday"}, "start_date"),
        ({"start_date": "2020-01-01"}, "start_date"),
        ({"scope": "all"}, "scope"),
    ],
)
def test_a_bad_parameter_is_refused_by_its_name(
    world: BuildWorld, query: dict[str, str], field: str
) -> None:
    found = world().shop.client.get("/comparison", query_string=query, headers=bearer())
    assert found.status_code == 400
    assert [error["field"] for error in found.get_json()["errors"]] == [field]


def test_the_table_has_a_row_for_the_totals_each_day_and_each_campaign(world: BuildWorld) -> None:
    found = world(**ADS)
    sell(found, 1)
    pinterest_says(found, 1, 40)
    query = {**DAYS, "format": "csv"}
    text = found.shop.client.get("/comparison", query_string=query, headers=bearer()).text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["line"], row["date"] or row["campaign_id"]) for row in rows] == [
        ("total", ""),
        ("day", "2026-11-19"),
        ("day", "2026-11-20"),
        ("campaign", "11"),
    ]
    assert (rows[0]["difference_orders"], rows[0]["undelivered_orders"]) == (
        "0.000000",
        "-1.000000",
    )
