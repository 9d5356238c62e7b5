"""Charts of a page: drawn on the server from a table, and by the script again with a cursor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from api.dashboard.tables import PageTable, TableColumn
from tracking.report.earnings import step_of
from tracking.report.parameters import Days

_STEPS = {1: "Day", 7: "Week from", 28: "Four weeks from"}

# The units of a drawing, whatever size it is shown at.
WIDTH, HEIGHT = 1000, 200


@dataclass(frozen=True, slots=True)
class LineChart:
    """Lines over days. The table has the days in its first column, and a column for each line.

    The table stands beside the chart for who cannot see it, and the script reads it. The line of
    the column `bad` has the colour of trouble.
    """

    title: str
    table: PageTable
    bad: str = ""

    @property
    def lines(self) -> Sequence[TableColumn]:
        """Returns the columns that are drawn."""
        return self.table.columns[1:]

    @property
    def is_flat(self) -> bool:
        """Returns True if every figure is 0, so that there is nothing to draw."""
        return not any(value for each in self.lines for value in self._values(each))

    @property
    def is_single(self) -> bool:
        """Returns True if there is one day or less, which makes no line."""
        return len(self.table.rows) < 2

    def line_class(self, column: TableColumn) -> str:
        """Returns the class of a column's line, which names its colour."""
        if column.key == self.bad:
            return "line-bad"
        return f"line-{self.table.columns.index(column)}"

    def path(self, column: TableColumn) -> str:
        """Returns the line of a column as an SVG path."""
        highest = max((value for each in self.lines for value in self._values(each)), default=0.0)
        return path_of(self._values(column), highest)

    def _values(self, column: TableColumn) -> list[float]:
        return [float(Decimal(row[column.key] or 0)) for row in self.table.rows]


def earnings_chart(currency: str, rows: Sequence[Mapping[str, Any]], days: Days) -> LineChart:
    """Returns the chart of revenue and spend in a currency, of rows as `earnings` returns them."""
    columns = [
        TableColumn("date", _STEPS[step_of(days)]),
        TableColumn("revenue", "Revenue from Pinterest", "money"),
        TableColumn("spend", "Spend", "money"),
    ]
    title = f"Revenue and spend in {currency}"
    return LineChart(title, PageTable(f"by-day-{currency}", title, columns, rows))


def path_of(values: Sequence[float], highest: float) -> str:
    """Returns an SVG path over the whole width, from 0 at the bottom to `highest` at the top."""
    if not values:
        return ""
    step = WIDTH / max(1, len(values) - 1)
    heights = [HEIGHT - HEIGHT * value / (highest or 1) for value in values]
    points = [f"{n * step:.0f} {height:.1f}" for n, height in enumerate(heights)]
    if len(points) == 1:
        points.append(f"{WIDTH} {heights[0]:.1f}")
    return f"M{'L'.join(points)}"
