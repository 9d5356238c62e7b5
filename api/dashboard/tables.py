"""Tables of a page, which are shown and had as CSV from the same rows."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

# `money` has its currency in the row's field "currency", and so has `change`, which shows its sign
# unless the row's tone is "total"; `orders` may be shared by campaigns, and then have decimals;
# `share` is a number from 0 to 1 that is drawn as a bar; `mark` is a word in the tone of the row's
# field "tone"; `form` is a TableForm; `links` are a tuple of texts, each with its address; `words`
# is a text of ours with `code` in it; `sparkline` is the path of a chart in the row.
Kind = Literal[
    "text",
    "code",
    "count",
    "orders",
    "money",
    "change",
    "number",
    "percent",
    "share",
    "time",
    "mark",
    "form",
    "links",
    "words",
    "sparkline",
]
_TO_THE_RIGHT = {"count", "orders", "money", "change", "number", "percent"}


_ONLY_SHOWN = {"share", "form", "sparkline"}


@dataclass(frozen=True, slots=True)
class ShownFigure:
    """A figure whose column has several kinds of them: as the page shows it, and as CSV has it."""

    shown: str
    value: str

    def __str__(self) -> str:
        return self.shown


@dataclass(frozen=True, slots=True)
class TableForm:
    """A button of a row: where its form is sent, its title, and the fields that it sends."""

    address: str
    title: str
    fields: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class ColumnSort:
    """The link of a column's title, which sorts the rows by it, and how they are sorted now."""

    address: str
    order: Literal["", "ascending", "descending"]


@dataclass(frozen=True, slots=True)
class TableColumn:
    """A column: the rows' field, its title, and the kind of its values.

    `link` returns the address that a row's cell leads to, or "". A table with a `sort` can be
    sorted by this column.
    """

    key: str
    title: str
    kind: Kind = "text"
    link: Callable[[Mapping[str, Any]], str] | None = None
    sort: ColumnSort | None = None

    @property
    def is_figure(self) -> bool:
        """Returns True if its values are aligned by their digits."""
        return self.kind in _TO_THE_RIGHT


@dataclass(frozen=True, slots=True)
class PageTable:
    """A table of a page. `name` tells it apart in the address of its CSV; `empty` is the sentence
    that stands in its place when it has no rows; the first column names its rows."""

    name: str
    title: str
    columns: Sequence[TableColumn]
    rows: Sequence[Mapping[str, Any]]
    empty: str = "There is nothing in these days."
    note: str = ""

    def csv_rows(self) -> Iterator[dict[str, Any]]:
        """Yields the rows as CSV has them: the shown columns, and the currency of money."""
        keys = [column.key for column in self.columns if column.kind not in _ONLY_SHOWN]
        if (
            any(column.kind in ("money", "change") for column in self.columns)
            and "currency" not in keys
        ):
            keys.append("currency")
        for row in self.rows:
            yield {key: _csv_value(row.get(key)) for key in keys}


def _csv_value(value: Any) -> Any:
    """Returns a value for CSV: links without their addresses, figures without commas."""
    if isinstance(value, ShownFigure):
        return value.value
    return " ".join(text for text, _ in value) if isinstance(value, tuple) else value
