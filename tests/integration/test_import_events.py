"""Files of events and orders: what is taken in, what is refused and how it is said."""

import csv
import gzip
import io
import json
import os
import stat
import time
import tracemalloc
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app import assemble
from tests.actors import (
    DAY,
    HOUR,
    NOW,
    Operator,
    Shop,
    deliver,
    instant,
    notes,
    order,
    pinned,
    refund,
)
from tests.conftest import BuildService
from tests.import_files import SOLD, _must_not_be, lines, sale, sales, table
from tests.standins.pinterest import FakePinterest
from tests.store_contents import everything, is_empty, rows, state
from tests.watched_store import WatchedStore
from tracking.domain.conversion import Policy
from tracking.domain.validation import ValidationError
from tracking.receive.event_input import InboundEvent, RowReader, event_from
from tracking.receive.imports import Importer, ImportSource, RejectedRecord, UnreadableFile
from tracking.receive.imports.file_reader import MAX_CELL, MAX_LINE
from tracking.receive.imports.records import UsableRecord, parse_records
from tracking.receive.server_events import ServerEvents
from tracking.service import Service
from tracking.store import StoreUnavailable
from tracking.store.engine.statement import Contended

ROOT = Path(__file__).parents[2]
PATIENCE = 60


@pytest.fixture
def service(build_service: BuildService, sqlite_url: str, pinterest: FakePinterest) -> Service:
    """A service on SQLite that sends every order to the stand-in."""
    return build_service(sqlite_url, pinterest=pinterest, PINTEREST_SEND="all")


class Clerk(Operator):
    """Types import-events at an app, with files of its own."""

    def __init__(self, app: Any, folder: Path) -> None:
        super().__init__(app)
        self.folder = folder

    def file(self, content: bytes, name: str = "events.csv") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def imports(self, content: bytes, *options: str) -> str:
        """What the command says of a file that is taken in."""
        return self.reads("import-events", str(self.file(content)), *options)

    def is_refused(self, content: bytes, *options: str) -> list[str]:
        """The lines that it says of a file that is not; the last of them says what came of it."""
        file = str(self.file(content))
        result = self.types("import-events", file, *options)
        assert result.exit_code == 1, result.output
        return [line.replace(file, "FILE") for line in result.stderr.splitlines()]


@pytest.fixture
def clerk(app: Any, tmp_path: Path) -> Clerk:
    return Clerk(app, tmp_path)


def event_ids(service: Service) -> list[str]:
    return sorted(row["event_id"] for row in rows(service.store, "conversions"))


# --- What a file may look like

FORMS: dict[str, bytes] = {
    "commas": table(sales(2)),
    "semicolons": table(sales(2), ";"),
    "tabs": table(sales(2), "\t"),
    "line feeds": table(sales(2), end="\n"),
    "no line feed at the end": table(sales(2)).rstrip(),
    "a byte order mark": b"\xef\xbb\xbf" + table(sales(2)),
    "blank lines": b"\n" + table(sales(2)).replace(b"\r\n", b"\n\n"),
    "UTF-16": table(sales(2)).decode().encode("utf-16"),
    "UTF-16 with the large byte first": b"\xfe\xff" + table(sales(2)).decode().encode("utf-16-be"),
    "Excel's Unicode text": table(sales(2), "\t").decode().encode("utf-16"),
    "UTF-16 in gzip": gzip.compress(table(sales(2)).decode().encode("utf-16")),
    "JSON lines in UTF-16": lines(*sales(2)).decode().encode("utf-16"),
    "Excel's line with the separator": b"sep=;\r\n" + table(sales(2), ";"),
    "that line in quotes": b'\xef\xbb\xbf"sep=|"\r\n' + table(sales(2), "|"),
    "that line in UTF-16": ("sep=\t\r\n" + table(sales(2), "\t").decode()).encode("utf-16"),
    "padded cells": table([{k: f" {v} " for k, v in row.items()} for row in sales(2)]),
    "gzip": gzip.compress(table(sales(2))),
    "names in capitals": table([{k.upper(): v for k, v in row.items()} for row in sales(2)]),
    "a line break in a cell": table([row | {"value": "12.50\n"} for row in sales(2)]),
    "JSON lines": lines(*sales(2)),
    "JSON lines with numbers": lines(
        *(row | {"event_time": NOW - 60, "value": 12.5} for row in sales(2))
    ),
    "JSON lines in gzip": gzip.compress(lines(*sales(2))),
    "JSON lines with a byte order mark": b"\xef\xbb\xbf" + lines(*sales(2)),
    "JSON lines of Pinterest's form": lines(
        *(
            {
                "event_data": {
                    **{name: row[name] for name in SOLD[:4]},
                    "user_data": {"em": [row["em"]]},
                    "custom_data": {"value": row["value"], "currency": row["currency"]},
                }
            }
            for row in sales(2)
        )
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_file_says_the_same(form: str, clerk: Clerk, service: Service) -> None:
    assert clerk.imports(FORMS[form]) == "2 taken in, 0 known already\n"

    payloads = [json.loads(row["payload"]) for row in rows(service.store, "outbox")]
    told = [event_from(row, Policy(), NOW).event for row in sales(2)]
    assert sorted(payloads, key=lambda e: e["event_id"]) == told


def test_a_file_may_come_over_standard_input(app: Any, service: Service) -> None:
    runner = app.test_cli_runner()
    typed = ["import-events", "-", "--stop-on-invalid"]
    found = runner.invoke(args=typed, input=gzip.compress(table(sales(3))))

    assert found.output == "3 taken in, 0 known already\n"
    assert event_ids(service) == ["till-1", "till-2", "till-3"]


def test_standard_input_cannot_be_checked_first(app: Any, service: Service) -> None:
    found = app.test_cli_runner().invoke(args=["import-events", "-"], input=table(sales(1)))

    assert found.exit_code == 2
    assert "can be read only once: give --skip-invalid or --stop-on-invalid" in found.output
    assert is_empty(service.store)


def test_what_was_taken_in_is_delivered_once(
    clerk: Clerk, service: Service, pinterest: FakePinterest
) -> None:
    clerk.imports(table(sales(25)))
    clerk.imports(table(sales(25)))
    deliver(service)
    clerk.imports(table(sales(25)))
    deliver(service)

    assert set(pinterest.accepted.values()) == {1}
    assert len(pinterest.accepted) == 25


def test_an_event_without_an_id_has_the_same_one_again(clerk: Clerk, service: Service) -> None:
    told = table([sale(n, event_id="", order_id=str(n)) for n in (1, 2)])

    assert clerk.imports(told) == "2 taken in, 0 known already\n"
    assert clerk.imports(told) == "0 taken in, 2 known already\n"


def test_the_same_row_again_is_known_already(clerk: Clerk, service: Service) -> None:
    assert clerk.imports(table([sale(1), sale(2), sale(1)])) == "2 taken in, 1 known already\n"
    assert len(rows(service.store, "conversions")) == 2


# --- The rows of an order


def item(number: int, **changes: str) -> dict[str, str]:
    """A row of order 5001, with one of its items."""
    row = {name: value for name, value in sale(1).items() if name != "event_id"}
    added = {"order_id": "5001", "item_id": str(number), "item_price": "5.00"}
    return row | added | {"item_quantity": str(number)} | changes


def items(count: int, **changes: str) -> list[dict[str, str]]:
    return [item(number, **changes) for number in range(1, count + 1)]


def sent(service: Service) -> list[dict[str, Any]]:
    payloads = [json.loads(row["payload"]) for row in rows(service.store, "outbox")]
    return sorted(payloads, key=lambda event: str(event["custom_data"].get("order_id")))


def without_value(told: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{name: cell for name, cell in row.items() if name != "value"} for row in told]


@pytest.mark.parametrize("write", [table, lambda told: lines(*told)], ids=["CSV", "JSON lines"])
@pytest.mark.parametrize("option", [(), ("--skip-invalid",), ("--batch-size", "1")])
def test_the_rows_of_an_order_are_one_event_with_its_items(
    write: Callable[[Sequence[Mapping[str, str]]], bytes],
    option: tuple[str, ...],
    clerk: Clerk,
    service: Service,
) -> None:
    content = write([*items(3), item(1, order_id="5002")])
    assert clerk.imports(content, *option) == "2 taken in, 0 known already\n"
    assert clerk.imports(content, *option) == "0 taken in, 2 known already\n"

    whole, single = sent(service)
    assert whole["custom_data"]["value"] == "12.50"
    assert whole["custom_data"]["contents"] == [
        {"id": str(n), "item_price": "5.00", "quantity": n} for n in (1, 2, 3)
    ]
    assert single["custom_data"]["contents"] == [{"id": "1", "item_price": "5.00", "quantity": 1}]
    assert sorted(row["value"] for row in rows(service.store, "conversions")) == [1250, 1250]


def test_the_event_of_an_orders_rows_has_the_id_of_a_row_alone(
    clerk: Clerk, service: Service
) -> None:
    clerk.imports(table(items(3)))
    alone = event_from(item(1), Policy(), NOW)
    assert event_ids(service) == [alone.conversion.event_id]


@pytest.mark.parametrize("id", ["till-1", "checkout-5001"])
def test_the_rows_of_an_order_may_have_its_event_id(
    id: str, clerk: Clerk, service: Service
) -> None:
    assert clerk.imports(table(items(2, event_id=id))) == "1 taken in, 0 known already\n"
    assert event_ids(service) == [id]
    assert len(sent(service)[0]["custom_data"]["contents"]) == 2


def test_the_rows_of_an_order_need_not_stand_side_by_side(clerk: Clerk, service: Service) -> None:
    told = [item(n, order_id=str(order)) for n in (1, 2, 3) for order in range(5001, 5301)]
    assert clerk.imports(table(told)) == "300 taken in, 0 known already\n"
    assert clerk.imports(table(told)) == "0 taken in, 300 known already\n"
    assert {len(event["custom_data"]["contents"]) for event in sent(service)} == {3}


def test_rows_that_stand_too_far_apart_are_refused_if_their_money_differs(
    service: Service,
) -> None:
    refused: list[RejectedRecord] = []
    told = without_value([item(1), *(item(1, order_id=str(n)) for n in range(1, 21)), item(2)])
    importer = Importer(service.events, service.tracker, NOW, refused.append, reach=10)
    importer.run(ImportSource(io.BytesIO(table(told))))
    assert importer.counts.stored == 21
    assert [record.line for record in refused] == [23]


def test_an_item_too_far_from_the_rows_of_its_order_is_refused_with_their_line(
    service: Service,
) -> None:
    others = [item(1, order_id=str(n)) for n in range(1, 21)]
    content = table([item(1), *others, item(2), item(1)])
    for mode in ("run", "check"):
        refused: list[RejectedRecord] = []
        importer = Importer(service.events, service.tracker, NOW, refused.append, reach=10)
        getattr(importer, mode)(ImportSource(io.BytesIO(content)))
        (late,) = refused
        assert late.line == 23
        assert "line 2 is a row of the same order, more than 10 rows before" in str(late.errors)
    assert len(event_ids(service)) == 21


def test_an_order_without_a_value_is_worth_its_items(clerk: Clerk, service: Service) -> None:
    clerk.imports(table(without_value([*items(3), item(2, order_id="5002")])))
    assert [event["custom_data"]["value"] for event in sent(service)] == ["30.00", "10.00"]
    assert sorted(row["value"] for row in rows(service.store, "conversions")) == [1000, 3000]


def test_an_order_with_an_item_without_a_price_has_no_value_to_sum(
    clerk: Clerk, service: Service
) -> None:
    clerk.imports(table(without_value([item(1), item(2, item_price="")])))
    (event,) = sent(service)
    assert "value" not in event["custom_data"]
    assert len(event["custom_data"]["contents"]) == 2


def test_equal_rows_of_an_order_are_one_row_of_it(clerk: Clerk, service: Service) -> None:
    clerk.imports(table(without_value([item(1), item(2), item(1), item(2)])))
    assert sent(service)[0]["custom_data"]["value"] == "15.00"


@pytest.mark.parametrize(
    ("other", "field"),
    [
        ({"value": "13.00"}, "value"),
        ({"value": ""}, "value"),
        ({"em": "grace@example.com"}, "em"),
        ({"currency": "USD"}, "currency"),
        ({"action_source": "web"}, "action_source"),
        ({"em": "grace@example.com", "value": "13.00"}, "em, value"),
    ],
)
@pytest.mark.parametrize("id", [{}, {"event_id": "till-1"}])
def test_other_content_under_one_id_is_refused_with_all_its_lines(
    id: dict[str, str], other: dict[str, str], field: str, clerk: Clerk, service: Service
) -> None:
    told = [sale(7, order_id="", item_id="", item_price="", item_quantity=""), *items(2)]
    content = table(with_columns([told[0], *(row | id for row in (*told[1:], item(3) | other))]))

    said, summary = clerk.is_refused(content)
    assert said.startswith("line 3: lines 3, 4 and 5 are one event by their event_id, or by ")
    assert said.endswith(f"but they differ in {field}")
    assert summary.startswith("Error: 3 of 4 records cannot be used; nothing was stored")
    assert event_ids(service) == []

    assert "1 taken in, 0 known already" in clerk.imports(content, "--skip-invalid")
    kept = (clerk.folder / "events.csv.refused.csv").read_text()
    assert [row["refused_line"] for row in csv.DictReader(io.StringIO(kept))] == ["3", "4", "5"]


@pytest.mark.parametrize("write", [table, lambda told: lines(*told)], ids=["CSV", "JSON lines"])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_no_order_is_taken_in_without_the_item_of_a_row_that_is_refused(
    place: int, write: Callable[[Any], bytes], clerk: Clerk, service: Service
) -> None:
    told = without_value([*items(3), item(1, order_id="5002")])
    told[place]["item_price"] = "free"
    content = write(told)
    said = clerk.is_refused(content)
    assert said[-1].startswith("Error: 3 of 4 records cannot be used")
    assert any("a row of the same order, cannot be used" in line for line in said)

    assert "1 taken in, 0 known already" in clerk.imports(content, "--skip-invalid")
    (refused,) = clerk.folder.glob("events.csv.refused.*")
    mended = refused.read_bytes().replace(b"free", b"5.00")
    assert clerk.imports(mended) == "1 taken in, 0 known already\n"
    assert [event["custom_data"]["value"] for event in sent(service)] == ["30.00", "5.00"]


def test_sales_of_one_order_id_and_time_do_not_vanish(clerk: Clerk, service: Service) -> None:
    told = [item(1, em=f"c{n}@example.com", value=f"1{n}.00") for n in range(3)]
    (said, _) = clerk.is_refused(table(told), "--dry-run")
    assert "lines 2, 3 and 4" in said
    assert clerk.is_refused(table(told), "--stop-on-invalid")[0].endswith("nothing was stored")
    assert event_ids(service) == []


@pytest.mark.parametrize("word", ["\\N", "nan", "null", "None", "undefined", "0"])
def test_sales_without_an_order_id_are_sales_of_their_own(
    word: str, clerk: Clerk, service: Service
) -> None:
    told = [item(1, em=f"c{n}@example.com", value=f"1{n}.00", order_id=word) for n in range(3)]
    said = "3 taken in, 0 known already\nvalues left out, by field: order_id 3\n"
    assert clerk.imports(table(told)) == said
    assert all("order_id" not in event["custom_data"] for event in sent(service))


@pytest.mark.parametrize("write", [table, lambda told: lines(*told)], ids=["CSV", "JSON lines"])
@pytest.mark.parametrize("field", ["order_id", "external_id", "item_id"])
def test_a_row_with_a_shortened_id_is_refused_by_its_line(
    field: str, write: Callable[[Any], bytes], clerk: Clerk
) -> None:
    told = with_columns([item(1), item(1, **{field: "5.90123E+12"}), item(2, order_id="7")])
    said = clerk.is_refused(write(told))
    place = 3 if write is table else 2
    reason = f"line {place}: {field}: a spreadsheet has shortened this id"
    assert any(line.startswith(reason) for line in said)


def test_a_shortened_number_of_json_lines_is_refused(clerk: Clerk) -> None:
    content = lines(item(1)).replace(b'"5001"', b"5.90123E+12")
    assert "has shortened this id" in clerk.is_refused(content)[0]


def test_rows_without_an_order_are_one_event_only_if_they_are_equal(clerk: Clerk) -> None:
    said, _ = clerk.is_refused(table([sale(1), sale(2), sale(1, value="99.00")]))
    assert said.endswith("but they are not equal, and have no order_id")
    assert "lines 2 and 4 are one event" in said


@pytest.mark.parametrize("option", ["--skip-invalid", "--stop-on-invalid"])
def test_a_sale_under_an_id_on_record_is_refused_if_it_is_another(
    option: str, clerk: Clerk, service: Service
) -> None:
    clerk.imports(table([sale(1)]))
    told = table([sale(1), sale(2), sale(1, value="99.00")][1:])
    if option == "--skip-invalid":
        assert "1 taken in, 0 known already" in clerk.imports(told, option)
        assert "another event on record" in (clerk.folder / "events.csv.refused.csv").read_text()
    else:
        (said,) = clerk.is_refused(told, option)
        assert said.startswith("Error: line 3: another event on record has this event_id")
    assert [row["value"] for row in rows(service.store, "conversions")] == [1250, 1250]


def test_an_id_of_another_kind_of_event_on_record_is_refused(clerk: Clerk) -> None:
    clerk.imports(table([sale(1)]))
    told = table([sale(1, event_name="add_to_cart")])
    assert clerk.is_refused(told, "--stop-on-invalid")[0].startswith("Error: line 2: another event")


def test_a_test_shows_the_rows_of_an_order_as_one_event(
    clerk: Clerk, pinterest: FakePinterest
) -> None:
    file = str(clerk.file(table(items(3))))
    assert "1 record shown to Pinterest" in clerk.reads("import-events", file, "--test")
    assert [call.events for call in pinterest.calls] == [1]


# --- One by one, or many at once


def everybody() -> list[dict[str, str]]:
    """Rows of people who are strangers, acquainted, joined by a phone, known, and erased."""
    return [
        sale(1),
        sale(2, ph="+12125550101"),
        sale(3, ph="+12125550101"),
        sale(4, em="", hashed_maids="a-device"),
        sale(5, em="buyer2@example.com", external_id="c-7"),
        sale(6, em="ada@example.com"),
        sale(7, em="gone@example.com"),
        sale(8, order_id="666"),
        sale(9, event_id="checkout-77", order_id="77"),
        sale(10, event_source_url="https://shop.example/?utm_source=pinterest&utm_campaign=mugs"),
        sale(11, em="pinned@example.com"),
        sale(12, em="buyer1@example.com", event_name="page_visit", item_id="9"),
        sale(13, opt_out="yes"),
        sale(14, ph="+12125550101", em="ada@example.com"),
        sale(1),
    ]


def acquainted(shop: Shop) -> None:
    """Let the service know Ada, who came by herself, and somebody whom a pin brought."""
    shop.sends("orders/create", order(id=70, created_at=instant(NOW - HOUR)))
    pin = order(id=71, landing_site=pinned(), email="pinned@example.com", customer=None)
    shop.sends("orders/create", pin | {"contact_email": None, "billing_address": None})
    redact = {
        "shop_id": 1,
        "shop_domain": "linen.myshopify.com",
        "customer": {"id": 4, "email": "gone@example.com", "phone": None},
        "orders_to_redact": [666],
    }
    shop.sends("customers/redact", redact)


def with_columns(told: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    names = dict.fromkeys(name for row in told for name in row)
    return [{name: row.get(name, "") for name in names} for row in told]


@pytest.mark.parametrize("settings", [{}, {"CONSENT_UNKNOWN": "hold"}, {"PINTEREST_SEND": "off"}])
def test_a_file_is_recorded_as_if_each_row_was_told_by_itself(
    settings: dict[str, str],
    build_service: BuildService,
    database_url: str,
    sqlite_template: Path,
    pinterest: FakePinterest,
    tmp_path: Path,
) -> None:
    path = tmp_path / "other.db"
    path.write_bytes(sqlite_template.read_bytes())
    one, other = (
        build_service(url, pinterest=pinterest, **settings)
        for url in (database_url, f"sqlite:///{path}")
    )
    for service in (one, other):
        acquainted(Shop(assemble(service).test_client()))

    told = with_columns(everybody())
    Clerk(assemble(one), tmp_path).imports(table(told))
    for row in told:
        other.events.record(json.dumps(row).encode())

    assert _comparable(one) == _comparable(other)


def _comparable(service: Service) -> dict[str, Any]:
    """What is known, but for the ids that are drawn for the erased."""
    found = state(service.store)
    for row in found["conversions"]:
        row["visitor"] = (
            row["visitor"].partition(":")[0] if row["reason"] == "erased" else row["visitor"]
        )
    return {name: sorted(some, key=str) for name, some in found.items()}


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_the_size_of_the_batches_changes_nothing_that_is_known(
    size: int, clerk: Clerk, service: Service
) -> None:
    told = with_columns(everybody())

    assert clerk.imports(table(told), "--batch-size", str(size)).startswith("14 taken in, 1 known")


def test_a_batch_is_one_transaction(service: Service) -> None:
    store = WatchedStore(service.store)
    events = ServerEvents(store, service.events.planner, service.clock)
    importer = Importer(events, service.tracker, NOW, _must_not_be)

    importer.run(ImportSource(io.BytesIO(table(sales(100)))), batch_size=25)

    assert (importer.counts.stored, store.commits) == (100, 4)


class ContendedStore(WatchedStore):
    """A store in which others hold for too long what the first writers need."""

    times = 2

    def commit(self, work: Callable[[Any], Any]) -> Any:
        if self.commits < self.times:
            self.commits += 1
            raise Contended("others hold it")
        return super().commit(work)


def test_an_import_waits_while_others_hold_what_it_needs(service: Service) -> None:
    events = ServerEvents(ContendedStore(service.store), service.events.planner, service.clock)
    importer = Importer(events, service.tracker, NOW, _must_not_be)

    importer.run(ImportSource(io.BytesIO(table(sales(3)))))

    assert importer.counts.stored == 3


@pytest.mark.parametrize("telling", [1, 2])
def test_a_large_batch_is_taken_in_once_even_by_two_at_the_same_time(
    telling: int, build_service: BuildService, database_url: str
) -> None:
    service = build_service(database_url)
    content = table([sale(n, ph=f"+1212555{n:04}", order_id=str(n)) for n in range(700)])

    def take() -> int:
        importer = Importer(service.events, service.tracker, NOW, _must_not_be)
        importer.run(ImportSource(io.BytesIO(content)), 10_000)
        return importer.counts.stored

    with ThreadPoolExecutor(telling) as threads:
        taken = [done.result() for done in [threads.submit(take) for _ in range(telling)]]

    assert sum(taken) == 700
    assert len(rows(service.store, "conversions")) == 700


_CELLS = """
    x 12.50 USD a@b.example 0 -1 true 1e3 checkout-5 5 1,2 DE us é 2026-11-20T11:59:00Z LDP mañana
    checkout offline 10115 null [1,2] 999999999999.99 0.123456 1000000000 JPY ::
"""
_VALUES = st.sampled_from(
    (
        *_CELLS.split(),
        "",
        " ",
        "A@B.example ",
        "\x00",
        "\ud800",
        '["\\ud800"]',
        "+49 30 901820",
        f"{NOW - 5}",
        f"{NOW - 8 * DAY}",
    )
)
_NAMES = """
    em EM_1 ph fn ln ct st zp country ge db external_id hashed_maids email value currency order_id
    event_id event_source_url opt_out opt_out_type click_id client_ip_address client_user_agent
    num_items content_ids content_ids_1 content_name item_id item_price item_quantity item_id_2
    item_price_2 price timestamp language partner_name contents nonsense
"""


@settings(max_examples=100)
@given(
    row=st.dictionaries(st.sampled_from(_NAMES.split()), _VALUES, max_size=9),
    fits=st.booleans(),
    limit=st.booleans(),
)
def test_the_straight_way_of_reading_a_row_says_what_the_long_one_says(
    row: dict[str, str], fits: bool, limit: bool
) -> None:
    if fits:
        row = {"event_name": "checkout", "action_source": "web", "event_time": str(NOW - 60)} | row
    policy = Policy(consent_unknown="limit" if limit else "send")

    def straight() -> object:
        return RowReader(list(row), policy).read(list(row.values()), NOW)

    def long() -> object:
        return event_from(row, policy, NOW, needs_time=True)

    assert _said(straight) == _said(long)


@pytest.mark.parametrize(("price", "is_taken"), [("99.99", True), ("999999999999.99", False)])
def test_a_sum_of_items_that_no_amount_can_be_is_refused_on_either_way(
    price: str, is_taken: bool
) -> None:
    row = sale(order_id="5", item_price=price, item_quantity="1000000") | {"value": ""}

    said = _said(lambda: RowReader(list(row), Policy()).read(list(row.values()), NOW))

    assert said == _said(lambda: event_from(row, Policy(), NOW, needs_time=True))
    assert isinstance(said, InboundEvent) == is_taken


def _said(read: Callable[[], object]) -> object:
    try:
        return read()
    except ValidationError as error:
        return error.errors


# --- What is wrong with a file

BROKEN: list[tuple[bytes, str]] = [
    (b"", "FILE: the file is empty"),
    (b" \n\n", "FILE: the file is empty"),
    (
        b"PK\x03\x04",
        "FILE: this is a ZIP archive or an Excel workbook: unpack it, or save it as CSV",
    ),
    (
        "em".encode("utf-16")[:-1],
        "FILE: after line 0: not UTF-16: 'utf-16-le' codec can't decode byte 0x6d in position 0:"
        " truncated data",
    ),
    (b"[{}]", "FILE: line 1: a JSON list: write one object a line, without commas"),
    (
        table([sale() | {"emial": "x"}]),
        'FILE: "emial" is no column of an event; did you mean email?',
    ),
    (
        table([{k: v for k, v in sale().items() if k != "event_time"}]),
        "FILE: the column event_time is missing",
    ),
    (table([sale() | {"Em": "x"}]), 'FILE: line 1: columns 5 and 8 are both named "Em"'),
    (table([sale() | {"": "x"}]), "FILE: line 1: column 8 has no name"),
    (
        table(sales(1)) + b'checkout,"offline',
        "FILE: line 3: a quote is opened and never closed; nothing after it was read",
    ),
    (
        table(sales(1)) + b'"' + b"x" * (MAX_CELL + 1),
        f"FILE: line 3: a cell of more than {MAX_CELL} characters: is a quote opened and never"
        " closed?; nothing after it was read",
    ),
    (
        table(sales(1)) + b"x" * (MAX_LINE + 1),
        f"FILE: line 3: longer than {MAX_LINE} bytes",
    ),
    (
        table([{"Financial Status": "paid", "Lineitem name": "Mug", "Name": "#1"}]),
        "FILE: this looks like Shopify's export of orders, but these columns are missing: Id,"
        " Created at, Currency, Total",
    ),
]


@pytest.mark.parametrize(("content", "words"), BROKEN, ids=[words[:48] for _, words in BROKEN])
@pytest.mark.parametrize("option", [(), ("--skip-invalid",)])
def test_a_file_that_cannot_be_read_is_refused_in_one_line(
    content: bytes, words: str, option: tuple[str, ...], clerk: Clerk
) -> None:
    (said,) = clerk.is_refused(content, *option)

    assert said.startswith(f"Error: {words}; ")


def test_a_gzip_file_that_ends_too_early_says_so(clerk: Clerk, service: Service) -> None:
    whole = gzip.compress(table(sales(3000)))

    (said,) = clerk.is_refused(whole[: len(whole) // 2])

    assert "ended before the end-of-stream marker was reached; the rest is lost" in said
    assert is_empty(service.store)


ROWS: list[tuple[dict[str, str], str]] = [
    (sale(value="twelve"), "value: not an amount of zero or more, such as 12.50"),
    (sale(value="12,50"), "value: not an amount of zero or more, such as 12.50"),
    (sale(currency="euro"), "currency: not an ISO 4217 code such as USD"),
    (sale(event_time=""), "event_time: missing"),
    (
        sale(event_time="20.11.2026"),
        "event_time: neither Unix time nor ISO 8601, such as 2026-11-29T16:00:00Z",
    ),
    (
        sale(event_time=str(NOW - 8 * DAY)),
        "event_time: older than the seven days Pinterest accepts",
    ),
    (sale(event_time=str(NOW + HOUR)), "event_time: more than 300 seconds in the future"),
    (sale(event_name="purchase"), "event_name: not one of: "),
    (sale(em=""), "user_data: needs em, hashed_maids, or client_ip_address together with"),
    (sale(event_id="a b"), "event_id: not 1 to 128 printable ASCII characters without spaces"),
    (
        sale(value="x", currency="y"),
        "currency: not an ISO 4217 code such as USD; value: not an amount",
    ),
]


@pytest.mark.parametrize(("row", "words"), ROWS, ids=[words[:40] for _, words in ROWS])
def test_a_row_that_cannot_be_used_is_named_with_line_and_column(
    row: dict[str, str], words: str, clerk: Clerk
) -> None:
    said, end = clerk.is_refused(table([sale(1), row, sale(3)]))

    assert said.startswith(f"line 3: {words}")
    assert "buyer1" not in said
    assert end.startswith("Error: 1 of 3 records cannot be used; nothing was stored")


BYTES: list[tuple[bytes, str]] = [
    (
        table([sale(1), sale(2, em="jos\xe9@example.com")]).decode().encode("latin-1"),
        "line 3: not UTF-8: byte 0xE9 at position 39 of line 3; save the file as UTF-8",
    ),
    (
        table(sales(2)).replace(b"buyer2", b"buy\0r2"),
        "line 3: line 3 holds a NUL byte",
    ),
    (table(sales(1)) + b"checkout,offline\n", "line 3: 2 columns, and the header has 7"),
    (lines(sale(1)) + b"{'a': 1}\n", "line 2: not JSON: "),
    (lines(sale(1)) + b"[1]\n", "line 2: not a JSON object"),
    (
        lines(sale(1), {**sale(2), "emial": 1}),
        "line 2: emial: not a field of an event; did you mean email?",
    ),
    (
        lines({**sale(1), "event_time": None}),
        "line 1: event_time: missing",
    ),
]


@pytest.mark.parametrize(("content", "words"), BYTES, ids=[words for _, words in BYTES])
def test_a_record_that_cannot_be_read_is_named_with_its_line(
    content: bytes, words: str, clerk: Clerk, service: Service
) -> None:
    said, _ = clerk.is_refused(content)

    assert said.startswith(words)
    assert is_empty(service.store)


def test_lines_are_counted_as_an_editor_counts_them(clerk: Clerk) -> None:
    told = table([sale(1, value="12.50\n"), sale(2)]) + b"\r\n" + table([sale(3, value="x")])[64:]

    assert clerk.is_refused(told)[0].startswith("line 6: ")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_the_line_with_the_separator_is_counted(clerk: Clerk, encoding: str) -> None:
    content = "sep=;\n" + table(sales(2, currency="€"), ";").decode()
    assert clerk.is_refused(content.encode(encoding))[0].startswith("line 3: currency: ")


def test_a_large_file_in_utf_16_is_read_to_its_end(clerk: Clerk) -> None:
    content = table([row | {"fn": "Zoë 🙂"} for row in sales(1500)])
    assert clerk.imports(content.decode().encode("utf-16")) == "1,500 taken in, 0 known already\n"


def test_of_many_faults_the_first_are_listed(clerk: Clerk) -> None:
    said = clerk.is_refused(table(sales(50, value="x")))

    assert len(said) == 22
    assert said[-2] == "… and more"


_PIECES = (
    *(b'"', b",", b"\n", b"\r", b"\0", b"\xff", b"{", b"[[[[", b"null", b"1e999", b"9" * 400),
    *(b"\\ud800", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"checkout-", b"\x1f\x8b", b"Id", b"+0100"),
)


@settings(max_examples=100)
@given(
    content=st.sampled_from([table(sales(3)), lines(*sales(3)), gzip.compress(table(sales(3)))]),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), st.sampled_from(_PIECES))),
)
def test_whatever_a_file_holds_it_is_read_or_said_what_is_wrong(
    content: bytes, cuts: list[tuple[float, int, bytes]]
) -> None:
    for where, length, piece in cuts:
        place = int(where * len(content))
        content = content[:place] + piece + content[place + length :]
    try:
        for reading in parse_records(ImportSource(io.BytesIO(content)), Policy(), NOW):
            assert isinstance(reading, UsableRecord) or reading.reason
    except UnreadableFile as error:
        assert str(error).isprintable()


# --- What is done about it

MIXED = table([sale(1), sale(2, value="x"), sale(3), sale(4, currency="?"), sale(5)])


def test_unless_told_otherwise_nothing_is_stored_of_a_file_with_faults(
    clerk: Clerk, service: Service
) -> None:
    said = clerk.is_refused(MIXED)

    assert [line.partition(":")[0] for line in said] == ["line 3", "line 5", "Error"]
    assert is_empty(service.store)


def test_stop_on_invalid_takes_in_what_comes_before(clerk: Clerk, service: Service) -> None:
    (said,) = clerk.is_refused(MIXED, "--stop-on-invalid")

    assert said == (
        "Error: line 3: value: not an amount of zero or more, such as 12.50; 1 taken in, 0 known"
        " already before that. Mend it, and run it again to go on: nothing counts twice"
    )
    assert event_ids(service) == ["till-1"]


def test_skip_invalid_takes_in_all_that_can_be_and_keeps_the_rest_privately(
    clerk: Clerk, service: Service
) -> None:
    said = clerk.imports(MIXED, "--skip-invalid")

    file = clerk.folder / "events.csv.refused.csv"
    assert said.splitlines()[0] == "3 taken in, 0 known already"
    assert f"2 refused: {file} has them with the reasons, in clear text." in said
    assert event_ids(service) == ["till-1", "till-3", "till-5"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = list(csv.DictReader(io.StringIO(file.read_text("utf-8"))))
    assert [(row["refused_line"], row["event_id"]) for row in found] == [
        ("3", "till-2"),
        ("5", "till-4"),
    ]
    assert found[0]["refused_reason"] == "value: not an amount of zero or more, such as 12.50"
    assert list(clerk.folder.glob("*.part")) == []


def test_what_was_refused_can_be_mended_and_taken_in(clerk: Clerk, service: Service) -> None:
    clerk.imports(MIXED, "--skip-invalid")
    file = clerk.folder / "events.csv.refused.csv"
    mended = file.read_text("utf-8").replace(",x,", ",1.00,").replace(",?", ",EUR")

    assert clerk.imports(mended.encode()) == "2 taken in, 0 known already\n"
    assert len(event_ids(service)) == 5


def test_what_was_refused_is_kept_even_of_a_file_that_breaks_off(clerk: Clerk) -> None:
    file = str(clerk.file(MIXED + b'"'))
    found = clerk.types("import-events", file, "--skip-invalid")

    assert found.exit_code == 1
    assert found.stdout.startswith(f"2 refused: {file}.refused.csv has them")
    assert "a quote is opened and never closed" in found.stderr
    assert "3 taken in, 0 known already before that" in found.stderr


def test_a_file_of_refused_rows_that_is_being_mended_stays_as_it_is(clerk: Clerk) -> None:
    clerk.imports(MIXED, "--skip-invalid")
    first = clerk.folder / "events.csv.refused.csv"
    first.write_text("half mended", "utf-8")

    said = clerk.imports(MIXED, "--skip-invalid")

    assert first.read_text("utf-8") == "half mended"
    assert f"2 refused: {clerk.folder}/events.csv.refused.2.csv has them" in said


def test_a_file_of_refused_rows_that_cannot_be_written_is_not_told_of(clerk: Clerk) -> None:
    part = clerk.folder / "events.csv.refused.csv.part"
    part.mkdir()

    found = clerk.types("import-events", str(clerk.file(MIXED)), "--skip-invalid")

    assert found.exit_code == 1
    assert found.stdout == ""
    assert f"{part}: " in found.stderr


def test_a_first_line_that_cannot_be_read_leaves_the_second_alone(
    clerk: Clerk, service: Service
) -> None:
    bad = lines(sale(1)).replace(b"buyer1", b"b\xfcyer")

    clerk.imports(bad + lines(sale(2), sale(3)), "--skip-invalid")

    assert event_ids(service) == ["till-2", "till-3"]


def test_a_line_of_json_that_is_too_long_is_left_out_and_no_other(
    clerk: Clerk, service: Service
) -> None:
    long = lines(sale(2, item_name="x" * (2 * MAX_LINE)))

    said = clerk.imports(lines(sale(1)) + long + lines(sale(3)), "--skip-invalid")

    assert event_ids(service) == ["till-1", "till-3"]
    kept = (clerk.folder / "events.csv.refused.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line)["refused_line"] for line in kept] == [2]
    assert json.loads(kept[0])["refused_reason"] == f"longer than {MAX_LINE} bytes"
    assert said.startswith("2 taken in")


def test_a_pipe_cannot_be_checked_first(clerk: Clerk) -> None:
    pipe = clerk.folder / "pipe"
    os.mkfifo(pipe)
    found = clerk.types("import-events", str(pipe))
    assert found.exit_code == 2
    assert "a pipe can be read only once" in found.stderr


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_what_was_stored_of_a_batch_that_broke_off_is_told(
    build_service: BuildService, database_url: str
) -> None:
    """On PostgreSQL a batch is several transactions."""
    service = build_service(database_url)
    store = WatchedStore(service.store)
    events = ServerEvents(store, service.events.planner, service.clock)
    store.breaks_after = 1
    importer = Importer(events, service.tracker, NOW, _must_not_be)

    with pytest.raises(StoreUnavailable):
        importer.run(ImportSource(io.BytesIO(table(sales(900)))), batch_size=900)

    stored = len(rows(service.store, "conversions"))
    assert 0 < stored < 900
    assert importer.counts.stored == stored


def test_refused_lines_of_json_stay_json_and_can_be_mended(clerk: Clerk, service: Service) -> None:
    clerk.imports(lines(sale(1), sale(2, value="x")) + b"{oops\n", "--skip-invalid")
    file = clerk.folder / "events.csv.refused.jsonl"
    first, second = map(json.loads, file.read_text("utf-8").splitlines())

    assert first["refused_line"] == 2
    assert second["refused_text"] == "{oops"
    assert clerk.imports(lines({**first, "value": 5})) == "1 taken in, 0 known already\n"


def test_a_file_without_faults_leaves_no_file_of_refused_rows(clerk: Clerk) -> None:
    clerk.imports(table(sales(2)), "--skip-invalid")

    assert [path.name for path in clerk.folder.glob("events*")] == ["events.csv"]


def test_a_dry_run_stores_nothing(clerk: Clerk, service: Service) -> None:
    said = clerk.imports(table(sales(3)), "--dry-run")

    assert said == "3 records read, all of them fit; nothing was stored\n"
    assert is_empty(service.store)


def test_only_one_way_can_be_chosen(clerk: Clerk) -> None:
    file = str(clerk.file(table(sales(1))))
    found = clerk.types("import-events", file, "--dry-run", "--skip-invalid")

    assert found.exit_code == 2
    assert "give one of --test, --dry-run, --skip-invalid, --stop-on-invalid" in found.output


def test_a_store_that_is_away_ends_it_in_one_line(
    clerk: Clerk, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = WatchedStore(service.store)
    monkeypatch.setattr(service.events, "store", store)
    store.is_away = True

    assert clerk.is_refused(table(sales(3))) == ["Error: the disk is gone; nothing was stored"]


# --- What of a file could not be used

WORD = "\\N"
NESTED = {
    **{name: sale(1)[name] for name in SOLD[:4]},
    "user_data": {"em": ["ada@example.com", "nobody"], "zp": ["-"]},
    "custom_data": {"contents": [{"id": "1", "item_name": WORD}, {"id": "n/a"}]},
}
LEFT_OUT: dict[str, tuple[bytes, str]] = {
    "columns": (
        table(
            [sale(n, ph="secret", zp=zip, external_id=WORD) for n, zip in ((1, "-"), (2, "10001"))]
        ),
        "external_id 2, ph 2, zp 1",
    ),
    "columns with numbers": (
        table([sale(n, em_1="secret", em_2="secret") for n in (1, 2)]),
        "em_1 2, em_2 2",
    ),
    "a number and an id": (
        table([sale(1, num_items="nan", order_id=WORD)]),
        "num_items 1, order_id 1",
    ),
    "lines": (lines(sale(1, ph="secret"), sale(2)), "ph 1"),
    "lists": (
        lines(NESTED, {**NESTED, "event_id": "till-2"}),
        "custom_data/contents/id 2, custom_data/contents/item_name 2, "
        "user_data/em 2, user_data/zp 2",
    ),
    "the rows of an order": (
        table([{**row, "ph": "secret"} for row in items(3)]),
        "ph 3",
    ),
    "the same row again": (table([sale(1, ph="secret")] * 2), "ph 2"),
}


@pytest.mark.parametrize("option", ["--dry-run", "--stop-on-invalid", "--skip-invalid", "--test"])
@pytest.mark.parametrize("form", LEFT_OUT)
def test_an_import_says_how_many_values_of_each_field_it_left_out(
    form: str, option: str, clerk: Clerk
) -> None:
    content, fields = LEFT_OUT[form]
    said = clerk.imports(content, option)

    assert f"values left out, by field: {fields}\n" in said
    assert "secret" not in said


def test_values_left_out_are_said_once_of_a_file_that_is_checked_first(clerk: Clerk) -> None:
    content = table([sale(1, ph="secret"), sale(2, ph="secret")])
    again = "0 taken in, 2 known already\nvalues left out, by field: ph 2\n"
    assert clerk.imports(content) == again.replace("0 taken in, 2", "2 taken in, 0")
    assert clerk.imports(content) == again


def test_nothing_left_out_is_not_talked_about(clerk: Clerk) -> None:
    assert clerk.imports(table(sales(2))) == "2 taken in, 0 known already\n"


def test_values_of_refused_rows_are_not_counted_as_left_out(clerk: Clerk) -> None:
    content = table([sale(1, ph="secret"), sale(2, ph="secret", value="free")])
    assert "left out, by field: ph 1\n" in clerk.imports(content, "--skip-invalid")
    found = clerk.types("import-events", str(clerk.file(content)), "--dry-run")
    assert found.exit_code == 1
    assert found.stdout == "values left out, by field: ph 1\n"
    # Another sale under an id on record is refused as well.
    other = table([sale(1, ph="secret", value="9.00")])
    assert "left out" not in clerk.imports(other, "--skip-invalid")


def test_an_import_names_twenty_fields_and_says_that_there_are_more(clerk: Clerk) -> None:
    row = sale(1, **{f"em_{n}": "secret" for n in range(1, 23)})
    said = clerk.imports(table([row]))
    assert said.endswith(" 1, …\n")
    assert said.count("em_") == 20


# --- Showing it to Pinterest


def test_a_test_shows_everything_to_pinterest_and_stores_no_event(
    clerk: Clerk, service: Service, pinterest: FakePinterest
) -> None:
    said = clerk.imports(table(sales(45, external_id="c", click_id="dj0yJnU9abc")), "--test")

    assert said.splitlines()[-1] == (
        "45 records shown to Pinterest, which would count 45; nothing was stored"
    )
    assert [(call.events, call.is_test) for call in pinterest.calls] == [
        (20, True),
        (20, True),
        (5, True),
    ]
    assert pinterest.accepted == {}
    left = {name for name, some in everything(service.store).items() if some}
    assert left <= {"limits", "accounts"}


def test_a_test_tells_pinterests_words_with_the_line(
    clerk: Clerk, pinterest: FakePinterest
) -> None:
    pinterest.poisoned = frozenset({"till-2"})
    pinterest.mode = "partial"

    file = str(clerk.file(table(sales(3))))
    found = clerk.types("import-events", file, "--test")

    assert found.exit_code == 1
    assert any(line.startswith("line 3: ") for line in found.stdout.splitlines())
    assert found.stderr == (
        "Error: 3 records shown to Pinterest, which would count 2; nothing was stored\n"
    )


def test_a_test_without_an_account_says_what_is_missing(
    build_service: BuildService, sqlite_url: str, tmp_path: Path
) -> None:
    clerk = Clerk(assemble(build_service(sqlite_url)), tmp_path)

    assert clerk.is_refused(table(sales(1)), "--test") == [
        "Error: nobody to show it to: set PINTEREST_ACCESS_TOKEN and PINTEREST_AD_ACCOUNT_ID"
    ]


# --- Shopify's own export of orders


def when(seconds: int) -> str:
    """A time as the export writes it."""
    return time.strftime("%Y-%m-%d %H:%M:%S +0000", time.gmtime(seconds))


def sold(**changes: str) -> dict[str, str]:
    """The row of the export of the order that `tests.actors.order()` tells of."""
    row = {
        "Name": "#1001",
        "Email": "ada@example.com",
        "Financial Status": "paid",
        "Paid at": when(NOW),
        "Fulfillment Status": "unfulfilled",
        "Currency": "USD",
        "Subtotal": "40.00",
        "Shipping": "7.00",
        "Taxes": "3.00",
        "Total": "50.00",
        "Discount Amount": "0.00",
        "Created at": when(NOW),
        "Lineitem quantity": "2",
        "Lineitem name": "Mug",
        "Lineitem price": "20.00",
        "Lineitem sku": "MUG-1",
        "Billing Name": "Ada Love",
        "Billing City": "New York",
        "Billing Zip": "'10001",
        "Billing Province": "NY",
        "Billing Country": "US",
        "Billing Phone": "212-555-0142",
        "Note Attributes": "",
        "Cancelled at": "",
        "Payment Method": "shopify_payments",
        "Refunded Amount": "0.00",
        "Vendor": "Kiln",
        "Id": "5001",
        "Source": "web",
        "Phone": "",
    }
    row.update({name.replace("_", " "): value for name, value in changes.items()})
    return row


def further(**changes: str) -> dict[str, str]:
    """A further row of an order: its name and a line item."""
    row = dict.fromkeys(sold(), "")
    row |= {"Name": "#1001", "Lineitem quantity": "1", "Lineitem name": "Jug"}
    row |= {"Lineitem price": "5.00", "Vendor": "Kiln"}
    row.update({name.replace("_", " "): value for name, value in changes.items()})
    return row


def purchase(service: Service) -> dict[str, Any]:
    (row,) = rows(service.store, "outbox")
    found: dict[str, Any] = json.loads(row["payload"])
    return found


def test_an_exported_order_is_the_purchase_that_its_webhook_tells_of(
    clerk: Clerk, service: Service, build_service: BuildService, sqlite_template: Path
) -> None:
    path = clerk.folder / "other.db"
    path.write_bytes(sqlite_template.read_bytes())
    env = {"PINTEREST_ACCESS_TOKEN": "pina_test_token", "PINTEREST_AD_ACCOUNT_ID": "1"}
    other = build_service(f"sqlite:///{path}", PINTEREST_SEND="all", **env)
    Shop(assemble(other).test_client()).sends("orders/create", order(customer=None))

    clerk.imports(table([sold()]))

    told, known = purchase(service), purchase(other)
    # A file knows neither product ids nor the browser.
    product = {"item_name": "Mug", "item_brand": "Kiln", "item_price": "20.00", "quantity": 2}
    assert told["custom_data"]["contents"] == [product]
    assert "client_ip_address" not in told["user_data"]
    for event in (told, known):
        for name in ("event_source_url", "language"):
            event.pop(name, None)
        for name in ("contents", "content_ids"):
            event["custom_data"].pop(name, None)
        for name in ("client_ip_address", "client_user_agent"):
            event["user_data"].pop(name, None)
    assert told == known


@pytest.mark.parametrize("first", ["webhook", "file"])
def test_an_order_counts_once_whoever_tells_of_it_first(
    first: str, clerk: Clerk, service: Service, shop: Shop, pinterest: FakePinterest
) -> None:
    ways: list[Callable[[], object]] = [
        lambda: shop.sends("orders/create", order(landing_site=pinned())),
        lambda: clerk.imports(table([sold()])),
    ]
    for way in ways if first == "webhook" else reversed(ways):
        way()
        deliver(service)

    assert pinterest.accepted == {"checkout-5001": 1}
    report = shop.reads("/roi-analysis")
    assert (report["orders"], report["total_revenue"]) == (1, "40.00")
    # What only the webhook knows stays, in either order.
    assert report["campaigns"][0]["campaign_id"] == "626735565838"


def test_the_rows_of_an_order_are_one_purchase(clerk: Clerk, service: Service) -> None:
    told = [sold(Subtotal="45.00", Total="55.00"), further(), sold(Id="5002", Name="#1002")]

    assert clerk.imports(table(told)) == "2 taken in, 0 known already\n"
    payloads = [json.loads(row["payload"]) for row in rows(service.store, "outbox")]
    contents = {e["event_id"]: e["custom_data"]["contents"] for e in payloads}
    assert [c["item_name"] for c in contents["checkout-5001"]] == ["Mug", "Jug"]
    assert len(contents["checkout-5002"]) == 1


MONEY: list[tuple[dict[str, str], str]] = [
    ({}, "40.00"),
    ({"Subtotal": "43.00", "Shipping": "7.00", "Total": "50.00"}, "40.00"),
    (
        {"Currency": "JPY", "Subtotal": "4000", "Shipping": "0", "Taxes": "0", "Total": "4000"},
        "4000",
    ),
    ({"Subtotal": "", "Lineitem_price": "20.00"}, "40.00"),
]


@pytest.mark.parametrize(("changes", "value"), MONEY)
def test_an_exported_order_is_worth_its_goods_after_discounts_without_tax(
    changes: dict[str, str], value: str, clerk: Clerk, service: Service
) -> None:
    clerk.imports(table([sold(**changes)]))

    assert purchase(service)["custom_data"]["value"] == value


def test_notes_tell_of_the_visit_and_of_consent(clerk: Clerk, service: Service, shop: Shop) -> None:
    said = "utm_source: pinterest\nutm_medium: cpc\nutm_campaign: mugs\npin_consent: marketing=no"
    clerk.imports(table([sold(**{"Note Attributes": said})]))

    assert shop.reads("/roi-analysis")["campaigns"][0]["campaign"] == "mugs"
    (kept,) = rows(service.store, "conversions")
    assert kept["reason"] == "consent_refused"
    assert rows(service.store, "outbox") == []


def test_a_trial_order_and_a_cancelled_one_are_not_sent(clerk: Clerk, service: Service) -> None:
    told = [
        sold(Payment_Method="(for testing) Bogus Gateway"),
        sold(Id="5002", Name="#1002", Cancelled_at=when(NOW)),
    ]
    clerk.imports(table(told))

    kept = {row["event_id"]: row["reason"] for row in rows(service.store, "conversions")}
    assert kept == {"checkout-5001": "test", "checkout-5002": "cancelled"}


def test_what_was_given_back_counts_once_whoever_tells_of_it(
    build_service: BuildService, database_url: str, tmp_path: Path
) -> None:
    app = assemble(build_service(database_url))
    clerk, shop = Clerk(app, tmp_path), Shop(app.test_client())
    untaxed = {"Taxes": "0.00", "Total": "47.00", "Financial_Status": "partially_refunded"}
    clerk.imports(table([sold(Refunded_Amount="10.00", **untaxed)]))
    assert shop.reads("/roi-analysis")["refunds"] == "10.00"

    shop.sends("refunds/create", refund())
    assert shop.reads("/roi-analysis")["refunds"] == "10.00"

    more = refund(id=7002, refund_line_items=[{"id": 2, "subtotal": 5.0, "total_tax": 0}])
    more["transactions"][0]["amount"] = "5.00"
    shop.sends("refunds/create", more)
    assert shop.reads("/roi-analysis")["refunds"] == "15.00"


def test_a_refund_that_no_webhook_told_of_comes_with_the_file(clerk: Clerk, shop: Shop) -> None:
    shop.sends("orders/create", order(landing_site=pinned()))
    clerk.imports(table([sold(Refunded_Amount="50.00", Financial_Status="refunded")]))

    report = shop.reads("/roi-analysis")
    assert (report["gross_revenue"], report["refunds"]) == ("40.00", "40.00")


@pytest.mark.parametrize(
    ("shipping", "taxes", "total"),
    [("11.90", "20.90", "130.90"), ("0.00", "19.00", "124.00")],
    ids=["taxed shipping", "a tip"],
)
def test_where_prices_include_taxes_the_goods_are_counted_without_theirs(
    clerk: Clerk, shop: Shop, shipping: str, taxes: str, total: str
) -> None:
    sums = {"Subtotal": "119.00", "Shipping": shipping, "Taxes": taxes, "Total": total}
    clerk.imports(table([sold(**sums, Refunded_Amount="59.50")]))

    report = shop.reads("/roi-analysis")
    assert (report["gross_revenue"], report["refunds"]) == ("100.00", "50.00")


@pytest.mark.parametrize(
    ("shipping", "total", "refunded", "refunds"),
    [
        ("0.00", "108.00", "54.00", "50.00"),
        ("10.00", "118.00", "54.00", "50.00"),
        ("10.00", "118.00", "108.00", "100.00"),
        ("10.00", "118.00", "118.00", "100.00"),
    ],
)
def test_the_tax_on_top_of_what_was_given_back_is_no_goods(
    clerk: Clerk, shop: Shop, shipping: str, total: str, refunded: str, refunds: str
) -> None:
    sums = {"Subtotal": "100.00", "Shipping": shipping, "Taxes": "8.00", "Total": total}
    tax = {"Tax 1 Name": "State Tax 8%", "Tax 1 Value": "8.00"}
    clerk.imports(table([sold(**sums, **tax, Refunded_Amount=refunded)]))

    report = shop.reads("/roi-analysis")
    assert (report["gross_revenue"], report["refunds"]) == ("100.00", refunds)


def test_a_newer_export_brings_what_has_changed_since(clerk: Clerk, shop: Shop) -> None:
    clerk.imports(table([sold()]))
    clerk.imports(table([sold(Cancelled_at=when(NOW + HOUR))]))
    clerk.imports(table([sold()]))

    report = shop.reads("/roi-analysis")
    assert (report["orders"], report["cancellations"]) == (1, "40.00")


WRONG: list[tuple[list[dict[str, str]], str]] = [
    ([sold(Total="")], "line 2: Total: not an amount"),
    ([sold(Taxes="3,00")], "line 2: Taxes: not an amount of zero or more, such as 12.50"),
    ([sold(Currency="")], "line 2: Currency: not an ISO 4217 code"),
    ([sold(Created_at="yesterday")], "line 2: Created at: not a time such as"),
    ([sold(Created_at="")], "line 2: Created at: not an ISO 8601 instant"),
    ([sold(Created_at=when(NOW - 8 * DAY))], "line 2: Created at: older than the seven days"),
    (
        [sold(Created_at=when(NOW + HOUR))],
        "line 2: Created at: more than 300 seconds in the future",
    ),
    ([sold(Id="gid://5")], "line 2: Id: not a Shopify id"),
    ([further()], "line 2: Id: missing, and no row of the same order precedes this one"),
    ([sold(Total="-5.00")], "line 2: Total: not an amount of zero or more"),
    ([sold(), further(Lineitem_price="x")], "line 2: Lineitem price: not an amount of zero or"),
    ([sold(), further(Lineitem_quantity="-1")], "line 2: Lineitem quantity: not a whole number"),
]


@pytest.mark.parametrize(("told", "words"), WRONG, ids=[words for _, words in WRONG])
def test_an_exported_order_that_cannot_be_used_is_named_with_its_line(
    told: list[dict[str, str]], words: str, clerk: Clerk
) -> None:
    assert clerk.is_refused(table(told))[0].startswith(words)


@pytest.mark.parametrize("column", ["Id", "Lineitem sku"])
def test_an_exported_order_with_a_shortened_id_is_refused(column: str, clerk: Clerk) -> None:
    said, _ = clerk.is_refused(table([sold(**{column: "5.90123E+12"})]))
    assert said.startswith(f"line 2: {column}: a spreadsheet has shortened this id")


@pytest.mark.parametrize("id", ["5001.0", "'5001", '="5001"'])
def test_the_id_of_an_exported_order_may_be_dressed_up(
    id: str, clerk: Clerk, service: Service
) -> None:
    clerk.imports(table([sold(Id=id)]))
    assert event_ids(service) == ["checkout-5001"]


def test_all_rows_of_a_refused_order_are_kept_together(clerk: Clerk) -> None:
    told = [sold(Total="x"), further(), sold(Id="5002", Name="#1002")]
    clerk.imports(table(told), "--skip-invalid")

    kept = (clerk.folder / "events.csv.refused.csv").read_text("utf-8")
    assert [row["refused_line"] for row in csv.DictReader(io.StringIO(kept))] == ["2", "3"]


def test_a_test_shows_exported_orders_but_for_those_that_are_never_sent(
    clerk: Clerk, pinterest: FakePinterest
) -> None:
    refused = sold(Id="5002", Name="#1002", **{"Note Attributes": "pin_consent: no"})
    file = str(clerk.file(table([sold(), refused])))
    found = clerk.types("import-events", file, "--test")

    assert "line 3: The buyer refused marketing consent.\n" in found.stdout
    assert [call.events for call in pinterest.calls] == [1]


def test_no_clear_data_of_a_file_gets_into_the_database(
    clerk: Clerk, service: Service, sqlite_url: str
) -> None:
    clerk.imports(table([sold(Email="Ada.Secret@example.com", Billing_City="Hiddenville")]))
    clerk.imports(table(sales(1, em="bob.secret@example.com", ct="Hiddenville")))

    kept = Path(sqlite_url.removeprefix("sqlite:///"))
    for path in kept.parent.glob(f"{kept.name}*"):
        content = path.read_bytes().lower()
        assert b"secret" not in content
        assert b"hiddenville" not in content


# --- In a process of its own


def test_memory_does_not_grow_with_the_file(service: Service) -> None:
    def most_held(first: int, last: int) -> int:
        told = io.BytesIO(table([sale(n) for n in range(first, last)]))
        importer = Importer(service.events, service.tracker, NOW, _must_not_be, reach=100)
        tracemalloc.start()
        importer.run(ImportSource(told), 100)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert importer.counts.stored == last - first
        return peak

    few, many = most_held(0, 600), most_held(600, 3000)

    assert many < 1.5 * few


# --- What a file leaves out, and what is not sent

LESS = [
    {name: cell for name, cell in row.items() if name not in ("event_name", "action_source")}
    for row in sales(2)
]
DEFAULTS = ("--default", "action_source=offline", "--default", "event_name=checkout")


@pytest.mark.parametrize("content", [table(LESS), lines(*LESS)], ids=["CSV", "JSON lines"])
def test_columns_that_a_file_lacks_can_be_given(
    clerk: Clerk, service: Service, content: bytes
) -> None:
    assert clerk.imports(content, *DEFAULTS) == "2 taken in, 0 known already\n"
    assert event_ids(service) == ["till-1", "till-2"]


def test_a_default_fills_empty_cells_and_replaces_none(clerk: Clerk, service: Service) -> None:
    rows_of_file = [sale(1, currency=""), sale(2)]
    clerk.imports(table(rows_of_file), "--default", "currency=USD")

    found = {row["event_id"]: row["currency"] for row in rows(service.store, "conversions")}
    assert found == {"till-1": "USD", "till-2": "EUR"}


def test_a_default_of_a_nested_event_replaces_none(clerk: Clerk, service: Service) -> None:
    told = sale(1)
    custom = {name: told.pop(name) for name in ("value", "currency")}
    clerk.imports(
        lines({"event_data": {**told, "custom_data": custom}}), "--default", "currency=USD"
    )

    assert [row["currency"] for row in rows(service.store, "conversions")] == ["EUR"]


@pytest.mark.parametrize("given", ["colour=red", "currency", "currency=", "=USD"])
def test_a_default_that_cannot_be_used_is_an_error_of_usage(clerk: Clerk, given: str) -> None:
    result = clerk.types("import-events", str(clerk.file(table(LESS))), "--default", given)

    assert (result.exit_code, "--default" in result.stderr) == (2, True)


def test_an_import_says_how_many_are_not_sent_and_why(
    build_service: BuildService, sqlite_url: str, tmp_path: Path
) -> None:
    clerk = Clerk(assemble(build_service(sqlite_url)), tmp_path)
    content = table(sales(3))

    said = "3 taken in, of which 3 not sent: report only; 0 known already\n"
    assert clerk.imports(content) == said
    assert clerk.imports(content) == "0 taken in, 3 known already\n"


def test_an_import_says_each_reason_with_its_number(
    build_service: BuildService, sqlite_url: str, pinterest: FakePinterest, tmp_path: Path
) -> None:
    service = build_service(sqlite_url, pinterest=pinterest, CONSENT_UNKNOWN="hold")
    clerk = Clerk(assemble(service), tmp_path)
    free = [sale(n, value="0", opt_out="false") for n in (4, 5)]

    said = clerk.imports(table([*(row | {"opt_out": ""} for row in sales(3)), *free]))

    assert "5 taken in, of which 5 not sent: consent unknown 3, free 2; 0 known" in said


@pytest.mark.parametrize("is_order", [False, True], ids=["events", "Shopify's export"])
def test_what_missing_credentials_held_back_is_sent_by_another_import(
    build_service: BuildService,
    database_url: str,
    pinterest: FakePinterest,
    tmp_path: Path,
    is_order: bool,
) -> None:
    content = table([sold()]) if is_order else table(sales(2))
    more = {"PINTEREST_SEND": "all"}
    reporting = build_service(database_url, **more)
    Clerk(assemble(reporting), tmp_path).imports(content)
    service = build_service(database_url, pinterest=pinterest, **more)
    clerk = Clerk(assemble(service), tmp_path)

    count = len(event_ids(service))
    assert clerk.imports(content) == f"0 taken in, {count} known already\n"
    assert deliver(service) == 0
    said = clerk.imports(content, "--resend")
    assert said == f"0 taken in, {count} put in line again, 0 known already\n"
    assert deliver(service) == count
    assert clerk.imports(content, "--resend") == f"0 taken in, {count} known already\n"
    assert set(pinterest.accepted.values()) == {1}


def test_what_the_buyer_refused_is_not_sent_by_another_import(
    clerk: Clerk, service: Service, shop: Shop
) -> None:
    refused = order(id=5001, note_attributes=notes(pin_consent="marketing=no"))
    shop.sends("orders/create", refused)
    clerk.imports(table([sale(1, order_id="5001")]))

    assert clerk.imports(table([sale(1, order_id="5001")]), "--resend").startswith("0 taken in, 1")
    assert deliver(service) == 0
