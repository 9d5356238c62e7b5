"""Ad spend comes in whole or not at all, to the last millionth, and can be restated."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from api.reports import MAX_SPEND_BODY
from app import assemble
from tests.actors import NOW, Operator, Shop, bearer
from tests.conftest import BuildService
from tests.store_contents import rows
from tracking.domain.money import digits, to_major
from tracking.domain.validation import ValidationError
from tracking.receive.spend.upload import MOST_ROWS
from tracking.service import Service
from tracking.store import spend
from tracking.store.spend import ROWS_A_COMMIT, SpendRow

HEAD = "date,campaign_id,spend,currency\n"


@pytest.fixture
def single(build_service: BuildService, sqlite_url: str) -> Service:
    return build_service(sqlite_url)


@pytest.fixture
def owner(single: Service) -> Shop:
    return Shop(assemble(single).test_client())


def row(**changes: Any) -> dict[str, Any]:
    told = {"date": "2026-11-20", "campaign_id": "11", "spend": "12.50", "currency": "USD"}
    return {key: value for key, value in (told | changes).items() if value is not ...}


def posts(owner: Shop, body: Any, kind: str = "application/json") -> Any:
    data = body if isinstance(body, bytes | str) else json.dumps(body)
    return owner.client.post("/spend", data=data, content_type=kind, headers=bearer())


def on_record(owner: Shop) -> list[tuple[str, str, str, str]]:
    found = owner.reads("/spend", start_date="2000-01-01", end_date="2100-01-01")["rows"]
    return [(r["date"], r["campaign_id"], r["spend"], r["currency"]) for r in found]


def errors(response: Any) -> list[str]:
    assert response.status_code == 400, response.get_data(as_text=True)
    assert response.content_type == "application/problem+json"
    return [error["field"] for error in response.json["errors"]]


# --- What is taken


def test_rows_are_taken_as_json(build_service: BuildService, database_url: str) -> None:
    owner = Shop(assemble(build_service(database_url)).test_client())
    found = posts(owner, {"rows": [row(), row(date="2026-11-19", campaign="Summer")]})
    assert (found.status_code, found.json) == (200, {"stored": 2})
    assert on_record(owner) == [
        ("2026-11-19", "11", "12.50", "USD"),
        ("2026-11-20", "11", "12.50", "USD"),
    ]


def test_rows_are_taken_as_a_bare_list(owner: Shop) -> None:
    assert posts(owner, [row()]).json == {"stored": 1}


def test_no_rows_are_no_fault(owner: Shop) -> None:
    assert posts(owner, {"rows": []}).json == {"stored": 0}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_rows_are_taken_as_a_spreadsheet_writes_them(owner: Shop, line_end: str, mark: str) -> None:
    sheet = f'{mark}campaign,{HEAD}"Summer, 2026",2026-11-20,11,12.50,usd\n\n'
    found = posts(owner, sheet.replace("\n", line_end), "text/csv; charset=utf-8")
    assert found.json == {"stored": 1}
    (seen,) = owner.reads("/spend")["rows"]
    assert seen == {
        "date": "2026-11-20",
        "campaign_id": "11",
        "campaign": "Summer, 2026",
        "spend": "12.50",
        "currency": "USD",
    }


@pytest.mark.parametrize(
    ("given_as", "currency", "micros"),
    [
        ("0.01", "USD", 10_000),
        ("0.0001", "UYW", 100),
        ("999999999.65", "USD", 999_999_999_650_000),
        ("1000000000", "JPY", 10**15),
        (12, "USD", 12_000_000),
        (0.1, "USD", 100_000),
        ("0", "USD", 0),
        (" 12.5 ", "USD", 12_500_000),
        ("12.500000", "USD", 12_500_000),
        ("1.250", "KWD", 1_250_000),
        (0.1 + 0.2, "USD", 300_000),
        ("0.30000000000000004", "USD", 300_000),
        (1.1 * 3, "USD", 3_300_000),
        (sum([0.1] * 1000), "USD", 100_000_000),
        (sum([123_456.78] * 500), "USD", 61_728_390_000_000),
        (1.25, "KWD", 1_250_000),
        (1250.0, "JPY", 1_250_000_000),
    ],
)
def test_spend_is_kept_exactly_and_without_the_noise_of_floats(
    single: Service, owner: Shop, given_as: Any, currency: str, micros: int
) -> None:
    assert posts(owner, [row(spend=given_as, currency=currency)]).json == {"stored": 1}
    assert [kept["micros"] for kept in rows(single.store, "spend")] == [micros]


def test_parts_of_a_cent_are_summed_before_they_are_rounded(single: Service, owner: Shop) -> None:
    # As Pinterest reports them: an upload has none.
    parts = [SpendRow(f"2026-11-{day:02d}", "11", "USD", "", 500, NOW) for day in range(1, 11)]
    single.store.commit(lambda conn: spend.put(conn, parts))
    found = owner.reads("/roi-analysis")
    assert (found["total_spend"], found["campaigns"][0]["spend"]) == ("0.01", "0.01")


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["2026-11-18", "2026-11-19"]),
            st.sampled_from(["11", "22", "summer"]),
            st.sampled_from(["USD", "JPY", "KWD"]),
            st.integers(0, 10**9),
        ),
        max_size=12,
    )
)
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_last_figure_for_a_day_campaign_and_currency_holds(
    single: Service, told: list[tuple[str, str, str, int]]
) -> None:
    for day, id, currency, units in told:
        text = to_major(units, currency)
        body = [row(date=day, campaign_id=id, currency=currency, spend=text)]
        single.spend_upload.take_json(json.dumps(body).encode())
    kept = {
        (r["date"], r["campaign_id"], r["currency"]): r["micros"]
        for r in rows(single.store, "spend")
    }
    expected = {(d, c, k): units * 10 ** (6 - digits(k)) for d, c, k, units in told}
    assert {key: kept[key] for key in expected} == expected


def test_a_restated_figure_replaces_the_first_and_its_name(owner: Shop) -> None:
    posts(owner, [row(campaign="Sumer")])
    posts(owner, [row(campaign="Summer", spend="9.99")])
    posts(owner, [row(currency="EUR")])
    assert on_record(owner) == [
        ("2026-11-20", "11", "12.50", "EUR"),
        ("2026-11-20", "11", "9.99", "USD"),
    ]
    assert owner.reads("/spend")["rows"][1]["campaign"] == "Summer"


# --- What a spreadsheet may look like

EXPORT = (
    "Date,Campaign ID,Campaign name,Spend in account currency,Currency\n"
    "2026-11-20,626735565838,Summer,12.50,USD\n"
)
EXPORTED = [("2026-11-20", "626735565838", "12.50", "USD")]


def test_an_export_of_the_ads_manager_is_understood(owner: Shop) -> None:
    assert posts(owner, EXPORT, "text/csv").json == {"stored": 1}
    assert on_record(owner) == EXPORTED
    assert owner.reads("/spend")["rows"][0]["campaign"] == "Summer"


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_than_commas_are_understood(owner: Shop, separator: str) -> None:
    assert posts(owner, EXPORT.replace(",", separator), "text/csv").json == {"stored": 1}
    assert on_record(owner) == EXPORTED


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_spreadsheet_is_read_in_the_encodings_spreadsheets_have(
    owner: Shop, encoding: str
) -> None:
    sheet = EXPORT.replace("Summer", "Été")
    assert posts(owner, sheet.encode(encoding), "text/csv").json == {"stored": 1}
    assert owner.reads("/spend")["rows"][0]["campaign"] == "Été"


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("$12.50", "12.50"),
        ("12.50 $", "12.50"),
        ("US$12.50", "12.50"),
        ("$1,012.50", "1012.50"),
        ("1,234,567", "1234567.00"),
    ],
)
def test_an_amount_may_be_written_for_people(owner: Shop, told: str, kept: str) -> None:
    assert posts(owner, f'{HEAD}2026-11-20,11,"{told}",USD\n', "text/csv").json == {"stored": 1}
    assert [spend for _, _, spend, _ in on_record(owner)] == [kept]


@pytest.mark.parametrize("told", ["12,50", "1,01.50", "10,12,500", "1.012,50", "$", "USD 12"])
def test_an_amount_that_can_be_read_in_two_ways_is_refused(owner: Shop, told: str) -> None:
    found = posts(owner, f'{HEAD}2026-11-20,11,"{told}",USD\n', "text/csv")
    assert errors(found) == ["line 2: spend"]


def test_a_comma_beside_semicolons_is_not_taken_for_one_between_thousands(owner: Shop) -> None:
    head = HEAD.replace(",", ";")
    sheet = f"{head}2026-11-20;11;1,012;USD\n2026-11-21;11;1,012.50;USD\n"
    assert errors(posts(owner, sheet, "text/csv")) == ["line 2: spend"]


def test_a_line_with_more_cells_than_the_head_is_refused(owner: Shop) -> None:
    told = "date,campaign_id,currency,spend\n2026-11-20,111,USD,1,012.50\n"
    assert errors(posts(owner, told, "text/csv")) == ["line 2"]
    assert on_record(owner) == []


@pytest.mark.parametrize("told", ["\u200b11", "\u201911", "11\ufeff", "\u202a11\u202c"])
def test_an_id_with_marks_that_nobody_sees_is_the_same_campaign(owner: Shop, told: str) -> None:
    posts(owner, [row()])
    sheet = f"{HEAD}2026-11-20,{told},9.99,USD\n"
    assert posts(owner, sheet.encode(), "text/csv").json == {"stored": 1}
    assert on_record(owner) == [("2026-11-20", "11", "9.99", "USD")]


def test_the_totals_of_a_spreadsheet_are_no_spend(owner: Shop) -> None:
    sheet = f"{HEAD}2026-11-20,11,12.50,USD\n,,12.50,USD\nTotal,,12.50,USD\n,,,\n"
    assert posts(owner, sheet, "text/csv").json == {"stored": 1}


def test_a_spreadsheet_without_a_currency_is_told_to_add_one(owner: Shop) -> None:
    found = posts(owner, "Date,Campaign ID,Spend\n2026-11-20,11,12.50\n", "text/csv")
    assert errors(found) == ["currency"]
    assert "add a column" in found.json["errors"][0]["message"]


def test_two_columns_for_the_same_are_refused(owner: Shop) -> None:
    found = posts(owner, "date,day,campaign_id,spend,currency\n", "text/csv")
    assert errors(found) == ["date"]


@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_excels_line_with_the_separator_is_no_head(owner: Shop, separator: str, mark: str) -> None:
    sheet = f"{mark}sep={separator}\r\n" + EXPORT.replace(",", separator).replace("\n", "\r\n")
    assert posts(owner, sheet, "text/csv").json == {"stored": 1}
    assert on_record(owner) == EXPORTED
    wrong = sheet.replace("12.50", "x")
    assert errors(posts(owner, wrong, "text/csv")) == ["line 3: spend"]


@pytest.mark.parametrize(
    "id",
    [
        *("626735565838.0", "626735565838.00", "'626735565838", " 626735565838 "),
        *('"=""626735565838"""', "=626735565838"),
    ],
)
def test_an_id_that_a_spreadsheet_has_dressed_up_is_the_id(owner: Shop, id: str) -> None:
    posts(owner, f"{HEAD}2026-11-20,{id},1.00,USD\n", "text/csv")
    posts(owner, EXPORT, "text/csv")
    assert on_record(owner) == EXPORTED


@pytest.mark.parametrize("id", [626735565838, 626735565838.0, "626735565838.0", "'626735565838"])
def test_an_id_may_be_a_number_of_json(owner: Shop, id: object) -> None:
    posts(owner, [row(campaign_id=id)])
    assert on_record(owner) == EXPORTED


@pytest.mark.parametrize(
    "day", [" 2026-11-20", "2026-11-20 ", "\u00a02026-11-20", "'2026-11-20", '"=""2026-11-20"""']
)
def test_a_date_may_be_padded(owner: Shop, day: str) -> None:
    assert posts(owner, f"{HEAD}{day},626735565838,12.50,USD\n", "text/csv").json == {"stored": 1}
    assert on_record(owner) == EXPORTED


@pytest.mark.parametrize(
    "total",
    [
        "2026-11-20,Total,,12.50,USD",
        "2026-11-20,TOTALS,,12.50,USD",
        "Total,626735565838,Summer,12.50,USD",
        "Grand total,,,12.50,USD",
        "2026-11-20,,Total,12.50,USD",
        "2026-11-20,--,Total,12.50,USD",
        "2026-11-20,nan,total,12.50,USD",
        "Gesamt,,,12.50,USD",
        "total:,,,12.50,USD",
        "Total,--,--,12.50,--",
        "Total,,,12.50,USD,,,",
    ],
)
@pytest.mark.parametrize("is_first", [True, False])
def test_a_total_is_no_spend_wherever_it_stands(owner: Shop, total: str, is_first: bool) -> None:
    head, line = EXPORT.splitlines()
    sheet = [head, total, line] if is_first else [head, line, total]
    assert posts(owner, "\n".join(sheet), "text/csv").json == {"stored": 1}
    assert on_record(owner) == EXPORTED


def test_a_total_among_the_rows_of_json_is_no_spend(owner: Shop) -> None:
    assert posts(owner, [row(), row(campaign_id="Total")]).json == {"stored": 1}


def test_a_campaign_may_be_called_total(owner: Shop) -> None:
    assert posts(owner, [row(campaign="Total")]).json == {"stored": 1}
    assert owner.reads("/spend")["rows"][0]["campaign"] == "Total"


@pytest.mark.parametrize(
    "id",
    [
        "nan",
        "--",
        "-",
        "null",
        "None",
        "\\N",
        "(not set)",
        "<NA>",
        "#N/A",
        "{campaignid}",
        "0",
        "n/a",
    ],
)
def test_what_names_no_campaign_is_refused(owner: Shop, id: str) -> None:
    ((field, message),) = told_of(posts(owner, f"{HEAD}2026-11-20,{id},1,USD\n", "text/csv"))
    assert (field, message) == ("line 2: campaign_id", "names no campaign")
    assert on_record(owner) == []


@pytest.mark.parametrize(
    ("separator", "told", "currency"),
    [
        (",", "0,125", "EUR"),
        (",", "1,250", "KWD"),
        (",", "1.250", "EUR"),
        (",", "1.250", "JPY"),
        (";", "1.250", "EUR"),
        (";", "1.250", "KWD"),
        (";", "1,250", "EUR"),
        (";", "1,250", "JPY"),
        ("\t", "1,250", "EUR"),
        ("\t", "€1,250", "EUR"),
        (";", "€1.250", "EUR"),
        (";", "12.500", "USD"),
    ],
)
def test_separators_that_can_be_read_in_two_ways_are_refused(
    owner: Shop, separator: str, told: str, currency: str
) -> None:
    cells = ["2026-11-20", "11", f'"{told}"', currency]
    sheet = HEAD.replace(",", separator) + separator.join(cells) + "\n"
    assert errors(posts(owner, sheet, "text/csv")) == ["line 2: spend"]


@pytest.mark.parametrize("told", ["12.505", 12.505, "0.125", "0.0005", "12.3456", 1e-05, "0.00001"])
def test_more_decimals_than_the_currency_has_are_refused(owner: Shop, told: Any) -> None:
    assert errors(posts(owner, [row(spend=told)])) == ["/rows/0/spend"]


@pytest.mark.parametrize(
    ("told", "currency"),
    [("€12.50", "USD"), ("12.50 €", "GBP"), ("$12.50", "EUR"), ("£12.50", "USD"), ("CA$1", "USD")],
)
def test_the_sign_of_another_currency_is_refused(owner: Shop, told: str, currency: str) -> None:
    ((field, message),) = told_of(
        posts(owner, f"{HEAD}2026-11-20,11,{told},{currency}\n", "text/csv")
    )
    assert field == "line 2: spend"
    assert message == f"has the sign of another currency than {currency}"


# --- What is taken back


def test_a_row_of_spend_is_taken_back(build_service: BuildService, database_url: str) -> None:
    owner = Shop(assemble(build_service(database_url)).test_client())
    posts(owner, [row(), row(currency="EUR"), row(date="2026-11-19"), row(campaign_id="12")])
    key = {"date": "2026-11-20", "campaign_id": "11", "currency": "USD"}

    found = owner.client.delete("/spend", query_string=key, headers=bearer())

    assert (found.status_code, found.json) == (200, {"deleted": 1})
    assert on_record(owner) == [
        ("2026-11-19", "11", "12.50", "USD"),
        ("2026-11-20", "11", "12.50", "EUR"),
        ("2026-11-20", "12", "12.50", "USD"),
    ]
    again = owner.client.delete("/spend", query_string=key, headers=bearer())
    assert again.status_code == 404


def test_spend_of_an_id_that_is_refused_today_can_be_taken_back(
    single: Service, owner: Shop
) -> None:
    ids = ["'626735565838", '="626735565838"', "626735565838.0", "nan", "Total", "6.26736E+11"]
    stored = [SpendRow("2026-11-20", id, "USD", "", 1, NOW) for id in ids]
    single.store.commit(lambda conn: spend.put(conn, stored))
    for id in ids:
        key = {"date": "2026-11-20", "campaign_id": id, "currency": "USD"}
        assert owner.client.delete("/spend", query_string=key, headers=bearer()).status_code == 200
    assert on_record(owner) == []


@pytest.mark.parametrize(
    ("key", "fields"),
    [
        ({}, ["date", "currency", "campaign_id"]),
        ({"date": "2026-11-20", "campaign_id": "11"}, ["currency"]),
        ({"date": "20.11.2026", "campaign_id": "11", "currency": "USD"}, ["date"]),
        ({"date": "2026-11-20", "campaign_id": "", "currency": "USD"}, ["campaign_id"]),
        ({"date": "2026-11-20", "campaign": "11", "currency": "USD"}, ["campaign"]),
    ],
)
def test_spend_is_taken_back_by_its_whole_key_only(
    owner: Shop, key: dict[str, str], fields: list[str]
) -> None:
    posts(owner, [row()])
    assert errors(owner.client.delete("/spend", query_string=key, headers=bearer())) == fields
    assert len(on_record(owner)) == 1


def test_only_a_bearer_of_the_token_takes_spend_back(owner: Shop) -> None:
    assert (
        owner.client.delete("/spend?date=2026-11-20&campaign_id=1&currency=USD").status_code == 401
    )


def test_a_command_lists_spend_and_takes_it_back(single: Service) -> None:
    app = assemble(single)
    posts(Shop(app.test_client()), [row(campaign="Summer"), row(campaign_id="12")])
    operator = Operator(app)

    assert operator.reads("spend", "list").splitlines() == [
        "date        campaign_id  spend  currency  campaign",
        "2026-11-20  11           12.50  USD       Summer",
        "2026-11-20  12           12.50  USD",
    ]
    assert (
        operator.reads("spend", "delete", "2026-11-20", "11", "USD") == "1 row of spend deleted\n"
    )
    gone = operator.types("spend", "delete", "2026-11-20", "11", "USD")
    assert (gone.exit_code, "no spend of this day" in gone.stderr) == (1, True)
    assert "Summer" not in operator.reads("spend", "list")


# --- What is refused

WRONG = [
    ("date", ["20.11.2026", "2026-11-31", "20261120", "2026-11-20T00:00:00", 20261120, None, ...]),
    ("campaign_id", ["", "  ", "x" * 65, "a\nb", 1.5, True, None, ["11"], ...]),
    ("spend", ["", "12,50", "$1", "-1", "1e3", "NaN", "0.0000001", True, None, {}, ...]),
    ("spend", ["1000000000.000001", "1" * 12, "1" * 13, 10**11]),
    ("currency", ["", "US", "nan", "nil", "dollars", "$", 840, None, ["USD"], ...]),
]


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in WRONG for value in values]
)
def test_a_wrong_field_is_named_by_its_place(owner: Shop, field: str, value: Any) -> None:
    found = posts(owner, {"rows": [row(), row(**{field: value})]})
    assert errors(found) == [f"/rows/1/{field}"]
    assert on_record(owner) == []


def test_every_wrong_field_of_every_row_is_named_at_once(owner: Shop) -> None:
    found = posts(owner, {"rows": [row(date="x", currency="y"), row(), row(spend="z"), 7]})
    assert errors(found) == ["/rows/0/date", "/rows/0/currency", "/rows/2/spend", "/rows/3"]
    assert on_record(owner) == []


def test_a_wrong_cell_of_a_spreadsheet_is_named_by_its_line(owner: Shop) -> None:
    sheet = f"{HEAD}2026-11-20,11,12.50,USD\nyesterday,11,x,USD\n2026-11-20,11\n"
    assert errors(posts(owner, sheet, "text/csv")) == [
        "line 3: date",
        "line 3: spend",
        "line 4: currency",
        "line 4: spend",
    ]
    assert on_record(owner) == []


def test_a_spreadsheet_without_a_column_is_refused_by_the_columns_name(owner: Shop) -> None:
    found = posts(owner, "date,campaign_id,amount\n2026-11-20,11,12.50\n", "text/csv")
    assert errors(found) == ["spend", "currency"]
    assert errors(posts(owner, "", "text/csv")) == ["date", "campaign_id", "spend", "currency"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", ""),
        (b"{", ""),
        (b"\xff\xfe", ""),
        (b"[" * 100_000, ""),
        (b'{"rows": {}}', "/rows"),
        (b'"rows"', "/rows"),
        (b"{}", "/rows"),
        (b"null", "/rows"),
        (b'[{"spend": NaN}]', ""),
    ],
)
def test_a_body_that_is_no_list_of_rows_is_refused(owner: Shop, body: bytes, field: str) -> None:
    assert errors(posts(owner, body)) == [field]


@pytest.mark.parametrize("body", [b"\xff\xfe\x00", HEAD.encode() + b'"', HEAD.encode() + b"\xe9"])
def test_a_body_that_is_no_spreadsheet_is_refused(owner: Shop, body: bytes) -> None:
    assert errors(posts(owner, body, "text/csv")) == [""]


def test_text_that_no_database_can_hold_is_refused_or_cleaned(
    build_service: BuildService, database_url: str
) -> None:
    owner = Shop(assemble(build_service(database_url)).test_client())
    for body in (
        b'[{"date":"2026-11-20","campaign_id":"\\ud800","spend":"1","currency":"USD"}]',
        b'[{"date":"2026-11-20","campaign_id":"11","campaign":"\\ud800\\u0000","spend":"1",'
        b'"currency":"USD"}]',
        b'[{"date":"2026-11-20","campaign_id":"1\\u00001","spend":"1","currency":"USD"}]',
    ):
        assert posts(owner, body).status_code in (200, 400)


def told_of(response: Any) -> list[tuple[str, str]]:
    assert response.status_code == 400
    return [(error["field"], error["message"]) for error in response.json["errors"]]


def test_two_lines_for_one_day_campaign_and_currency_are_refused_by_both_their_numbers(
    owner: Shop,
) -> None:
    sheet = f"{HEAD}2026-11-20,11,1,USD\n2026-11-20,11,1,EUR\n2026-11-20, 11,2,usd\n"
    (field, message), *more = told_of(posts(owner, sheet, "text/csv"))
    assert (field, more) == ("line 4", [])
    assert message.startswith("the same day, campaign and currency as line 2")
    assert on_record(owner) == []


def test_two_rows_for_one_day_campaign_and_currency_are_refused_by_both_their_places(
    owner: Shop,
) -> None:
    (field, message), *more = told_of(posts(owner, [row(), row(date="x"), row(spend="1")]))[::-1]
    assert (field, len(more)) == ("/rows/2", 1)
    assert message.startswith("the same day, campaign and currency as /rows/0")


@pytest.mark.parametrize(
    "id", ["6.26736E+11", "6,26736E+11", "6e+11", 6.26736e11, "626736000000.0", "'6.26736E+11"]
)
def test_an_id_that_a_spreadsheet_has_shortened_is_refused_with_the_reason(
    owner: Shop, id: str | float
) -> None:
    ((field, message),) = told_of(posts(owner, [row(campaign_id=id)]))
    assert field == "/rows/0/campaign_id"
    assert "as text" in message


@pytest.mark.parametrize("amount", ["999999999999", "1000000000"])
def test_no_amount_makes_the_report_fail(
    build_service: BuildService, database_url: str, amount: str
) -> None:
    owner = Shop(assemble(build_service(database_url)).test_client())
    days = [f"2026-11-{day:02d}" for day in range(1, 21)]
    posts(owner, [row(date=day, spend=amount) for day in days])
    assert owner.reads("/roi-analysis")["total_spend"] in {"0.00", "20000000000.00"}


def test_a_file_may_have_more_rows_than_a_request_in_json(
    build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    lines = [f"2026-11-20,{n},1,USD\n" for n in range(1, MOST_ROWS + 2)]
    assert service.spend_upload.take_csv((HEAD + "".join(lines)).encode()) == MOST_ROWS + 1
    assert len(rows(service.store, "spend")) == MOST_ROWS + 1


def test_a_long_file_is_checked_whole_before_any_of_it_is_stored(single: Service) -> None:
    lines = [f"2026-11-20,{n},1,USD\n" for n in range(1, 2 * ROWS_A_COMMIT)]
    with pytest.raises(ValidationError):
        single.spend_upload.take_csv((HEAD + "".join(lines) + "2026-11-20,x,y,USD\n").encode())
    assert rows(single.store, "spend") == []


def test_more_rows_than_the_most_are_refused(single: Service, owner: Shop) -> None:
    body = [row(campaign_id=str(n)) for n in range(1, MOST_ROWS + 2)]
    with pytest.raises(ValidationError) as refused:
        single.spend_upload.take_json(json.dumps(body).encode())
    assert [fault.field for fault in refused.value.errors] == ["/rows"]
    assert single.spend_upload.take_json(json.dumps(body[:-1]).encode()) == MOST_ROWS


def test_a_thousand_faults_are_told_in_a_readable_number(owner: Shop) -> None:
    assert len(errors(posts(owner, [{}] * 1000))) == 100


def test_a_body_beyond_the_limit_is_refused_unread(owner: Shop) -> None:
    found = posts(owner, b" " * (MAX_SPEND_BODY + 1))
    assert found.status_code == 413
    assert posts(owner, b"[]" + b" " * (MAX_SPEND_BODY - 2)).status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "multipart/form-data", "application/xml", ""])
def test_another_kind_of_content_is_refused(owner: Shop, kind: str) -> None:
    assert posts(owner, "[]", kind).status_code == 415


def test_every_currency_shows_its_own_digits(owner: Shop) -> None:
    posts(owner, [row(currency=code, spend="1234") for code in ("USD", "JPY", "KWD")])
    found = {r["currency"]: r["spend"] for r in owner.reads("/spend")["rows"]}
    assert found == {"USD": "1234.00", "JPY": "1234", "KWD": "1234.000"}
    assert all(len(found[code].partition(".")[2]) == digits(code) for code in found)
