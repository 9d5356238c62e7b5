"""What is handed out in files: the figures of the reports, and nobody's data."""

import csv
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

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
from tracking.service import Service
from tracking.store import conversions, exports

TABLES = {"events", "orders", "credits", "funnel", "roi", "roi_totals"}


@pytest.fixture
def operator(app: Any) -> Operator:
    return Operator(app)


def sells(shop: Shop) -> None:
    """A week of a shop: earned and direct orders, a refund, a cancellation, two currencies."""
    shop.sends("orders/create", order(id=1, landing_site=pinned(utm_campaign="mugs")))
    shop.sends("refunds/create", refund(order_id=1))
    shop.sends("orders/create", order(id=2, email="b@b.example", created_at=instant(NOW - 2 * DAY)))
    gone = {"cancelled_at": instant(NOW), "updated_at": instant(NOW + HOUR)}
    shop.sends("orders/cancelled", order(id=3, landing_site=pinned("77"), **gone))
    shop.sends("orders/create", order(id=4, currency="EUR", landing_site=pinned()))
    shop.sends("orders/create", order(id=5, test=True))
    shop.spends(
        {"date": "2026-11-20", "campaign_id": "626735565838", "spend": "8.00", "currency": "USD"}
    )


def read(folder: Path) -> dict[str, list[dict[str, str]]]:
    """Every file of a folder, by its name."""
    found = {}
    for path in folder.iterdir():
        with path.open(newline="", encoding="utf-8") as file:
            found[path.stem] = list(csv.DictReader(file))
    return found


def text(value: object) -> str:
    return "" if value is None else str(value)


@pytest.fixture
def exported(shop: Shop, service: Service, operator: Operator, tmp_path: Path) -> Iterator[Path]:
    """A folder with the export of that week."""
    sells(shop)
    deliver(service)
    operator.reads("export", "--to", str(tmp_path / "out"))
    yield tmp_path / "out"


def test_an_export_has_every_table_and_says_how_many_rows(
    shop: Shop, operator: Operator, tmp_path: Path
) -> None:
    sells(shop)

    said = operator.reads("export", "--to", str(tmp_path / "out"))

    assert said.startswith(f"{tmp_path}/out: 5 events, 5 orders, ")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {f"{n}.csv" for n in TABLES}


def test_the_figures_are_those_of_the_return_on_ad_spend(exported: Path, shop: Shop) -> None:
    report, found = shop.reads("/roi-analysis"), read(exported)

    lines = [
        {"currency": book["currency"], **{name: text(value) for name, value in line.items()}}
        for book in report["currencies"]
        for line in book["campaigns"]
    ]
    assert [dict(sorted(row.items())) for row in found["roi"]] == [
        dict(sorted(line.items())) for line in lines
    ]
    totals = [
        {name: text(value) for name, value in book.items() if name != "campaigns"}
        for book in report["currencies"]
    ]
    assert found["roi_totals"] == totals
    assert len(totals) == 2


@pytest.mark.parametrize("traffic", ["pinterest", "all"])
def test_the_figures_are_those_of_the_funnel(traffic: str, exported: Path, shop: Shop) -> None:
    report = shop.reads("/conversion-funnel", traffic=traffic)

    groups = [{"campaign_id": "", "campaign": "(all)", **report}, *report["by_campaign"]]
    told = [
        [traffic, group["campaign_id"], group["campaign"], *map(text, stage.values())]
        for group in groups
        for stage in group["stages"]
    ]
    found = [list(row.values()) for row in read(exported)["funnel"] if row["traffic"] == traffic]
    assert found == told


def test_orders_and_their_credits_sum_to_the_totals(exported: Path) -> None:
    found = read(exported)
    for total in found["roi_totals"]:
        for kind in ("gross_revenue", "refunds", "cancellations"):
            of_orders = sum(
                round(100 * float(row[kind]))
                for row in found["orders"]
                if row["currency"] == total["currency"] and row["is_counted"] == "1"
            )
            of_credits = sum(
                round(100 * float(row[kind]))
                for row in found["credits"]
                if row["currency"] == total["currency"]
                and "pinterest/last_touch" in row["models"].split()
            )
            assert of_orders == of_credits == round(100 * float(total[kind])), kind


def test_an_event_tells_what_became_of_it(exported: Path) -> None:
    events = {row["event_id"]: row for row in read(exported)["events"]}

    assert events["checkout-1"]["state"] == "sent"
    assert events["checkout-1"]["settled_at"] == instant(NOW).replace("+00:00", "Z")
    assert (events["checkout-1"]["sent_as"], events["checkout-5"]["sent_as"]) == ("checkout-1", "")
    assert (events["checkout-5"]["state"], events["checkout-5"]["reason"]) == (
        "not_sent",
        "It is a test order.",
    )


def test_only_the_days_asked_for_are_exported(
    shop: Shop, operator: Operator, tmp_path: Path
) -> None:
    sells(shop)
    days = ("--start-date", "2026-11-18", "--end-date", "2026-11-18")

    operator.reads("export", "--to", str(tmp_path / "out"), *days)

    found = read(tmp_path / "out")
    assert [row["order_id"] for row in found["orders"]] == ["2"]
    assert {row["order_id"] for row in found["credits"]} == {"2"}
    assert [row["event_id"] for row in found["events"]] == ["checkout-2"]


def test_a_wrong_date_is_named_in_one_line(operator: Operator, tmp_path: Path) -> None:
    said = operator.is_told("export", "--to", str(tmp_path / "out"), "--start-date", "yesterday")

    assert said == "start_date: not a date of the form YYYY-MM-DD"
    assert not (tmp_path / "out").exists()


def test_an_export_of_many_pages_has_every_row_once(
    shop: Shop, operator: Operator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "PAGE", 3)
    for number in range(10):
        # Some of one second, so that pages end between them.
        at = instant(NOW - number // 4)
        body = order(id=100 + number, created_at=at, landing_site=pinned())
        shop.sends("orders/create", body)

    operator.reads("export", "--to", str(tmp_path / "out"))

    found = read(tmp_path / "out")
    numbers = sorted(str(100 + number) for number in range(10))
    assert sorted(row["order_id"] for row in found["orders"]) == numbers
    assert sorted(row["event_id"] for row in found["events"]) == [f"checkout-{n}" for n in numbers]
    shares = [row for row in found["credits"] if "pinterest/last_touch" in row["models"].split()]
    assert sorted(row["order_id"] for row in shares) == numbers


def test_one_sqlite_file_says_the_same(exported: Path, operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "out.sqlite"
    operator.reads("export", "--to", str(file))

    with closing(sqlite3.connect(file)) as raw:
        raw.row_factory = sqlite3.Row
        names = {name for (name,) in raw.execute("SELECT name FROM sqlite_master")}
        assert names == TABLES
        for name, rows in read(exported).items():
            found = [dict(row) for row in raw.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
            assert [{n: text(v) for n, v in row.items()} for row in found] == rows
        kinds = raw.execute("SELECT typeof(gross_revenue), typeof(is_counted) FROM orders")
        assert set(map(tuple, kinds)) == {("text", "integer")}


def test_nobody_can_be_found_in_an_export(
    build_service: Any, sqlite_url: str, pinterest: Any, tmp_path: Path
) -> None:
    service = build_service(
        sqlite_url,
        pinterest=pinterest,
        PINTEREST_SEND="all",
        COLLECTOR_KEY="a-public-key-of-the-tests",
    )
    shop = Shop(assemble(service).test_client())
    sells(shop)
    visit = notes(__pin_vid="visitor-0001", __pin_epik="dj0yJnU9aB3aB3aB3aB3")
    shop.sends("orders/create", order(id=9, note_attributes=visit))
    with service.store.read() as conn:
        kept = {row.visitor for row in conn_rows(conn)}

    folder = tmp_path / "out"
    Operator(assemble(service)).reads("export", "--to", str(folder))

    told = "".join(path.read_text("utf-8") for path in folder.iterdir()).lower()
    for one in (*kept, "visitor-0001", "dj0yj", "ada", "203.0.113.7", "mozilla", "10001"):
        assert one.lower() not in told, one
    assert not any(len(word) == 64 for word in told.replace(",", " ").split())


def conn_rows(conn: Any) -> list[Any]:
    """Every conversion, with its visitor."""
    found = [conversions.of_event(conn, f"checkout-{number}") for number in (1, 2, 3, 4, 9)]
    return [row for row in found if row is not None]


@pytest.mark.parametrize("begins", ["=", "+", "-", "@", "\t", "＝"])  # noqa: RUF001
def test_no_text_is_taken_for_a_formula(
    begins: str, shop: Shop, operator: Operator, tmp_path: Path
) -> None:
    said = notes(utm_source="pinterest", utm_medium="cpc", utm_campaign=f"{begins}1+1")
    shop.sends("orders/create", order(note_attributes=said))

    operator.reads("export", "--to", str(tmp_path / "out"))

    for path in (tmp_path / "out").iterdir():
        with path.open(newline="", encoding="utf-8") as file:
            cells = [cell for row in csv.reader(file) for cell in row]
        assert not any(cell.startswith(("=", "+", "@", "\t", "\r", "\uff1d")) for cell in cells)
        assert not any(cell == "-1+1" for cell in cells)


# --- Where it goes


def test_what_is_there_is_not_replaced_unless_told(
    exported: Path, operator: Operator, shop: Shop
) -> None:
    before = read(exported)
    shop.sends("orders/create", order(id=8))

    said = operator.is_told("export", "--to", str(exported))

    assert said.startswith(f"{exported}/events.csv, ")
    assert said.endswith("there already; --force replaces what is there")
    assert read(exported) == before
    operator.reads("export", "--to", str(exported), "--force")
    assert len(read(exported)["orders"]) == len(before["orders"]) + 1


def test_a_sqlite_file_is_not_replaced_unless_told(operator: Operator, tmp_path: Path) -> None:
    file = tmp_path / "out.sqlite"
    file.write_bytes(b"mine")

    assert "--force" in operator.is_told("export", "--to", str(file))
    assert file.read_bytes() == b"mine"
    operator.reads("export", "--to", str(file), "--force")
    assert file.read_bytes().startswith(b"SQLite format 3")


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("ending", ["", "-wal"])
def test_the_database_itself_is_not_replaced_even_if_told(
    operator: Operator, database_url: str, ending: str
) -> None:
    file = database_url.removeprefix("sqlite:///") + ending

    said = operator.is_told("export", "--to", file, "--force")

    assert said.endswith("this is the database itself; name another file")


def test_only_the_owner_may_read_what_is_exported(
    exported: Path, operator: Operator, tmp_path: Path
) -> None:
    file = tmp_path / "out.sqlite"
    operator.reads("export", "--to", str(file))

    modes = {stat.S_IMODE(path.stat().st_mode) for path in (*exported.iterdir(), file)}
    assert modes == {0o600}
    assert stat.S_IMODE(exported.stat().st_mode) == 0o700


def test_an_export_that_fails_leaves_nothing_half_written(
    shop: Shop,
    service: Service,
    operator: Operator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sells(shop)

    def breaks(*_: object) -> Iterator[Any]:
        yield from ()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exports, "credits_of", breaks)
    for name in ("out", "out.sqlite"):
        assert "No space left on device" in operator.is_told("export", "--to", str(tmp_path / name))

    assert not (tmp_path / "out.sqlite").exists()
    assert list((tmp_path / "out").iterdir()) == []
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_folder_that_cannot_be_written_is_named(operator: Operator, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    said = operator.is_told("export", "--to", str(tmp_path / "file"))

    assert said == f"{tmp_path}/file: File exists"
