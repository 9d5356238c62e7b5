"""Queries for all rows whose column is among many names, which are passed as one value."""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
from sqlalchemy import (
    ARRAY,
    BigInteger,
    Column,
    ColumnElement,
    Select,
    Text,
    bindparam,
    cast,
    func,
    literal_column,
    select,
    true,
)
from sqlalchemy.sql.selectable import LateralFromClause, TableValuedAlias
from sqlalchemy.types import TypeEngine

from tracking.store.engine.statement import Connection, Query

DIALECTS = ("sqlite", "postgresql")

R = TypeVar("R", bound=tuple[Any, ...])
T = TypeVar("T", str, int)
K = TypeVar("K", bound=Hashable)


def is_among(dialect: str, column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Returns the condition that a column is among the `names_of` passed as "names"."""
    if dialect == "postgresql":
        return column == func.any(bindparam("names"))
    return column.in_(select(func.json_each(bindparam("names")).table_valued("value").c.value))


class NameInSpan(NamedTuple):
    """A name, and the span (seconds UTC) in which its values are wanted."""

    name: str
    since: int
    until: int


class _ValueOfEach(NamedTuple):
    """A value that was found for the n-th of the names, from 1 on."""

    n: int
    value: str


class _ValuesOfEach(NamedTuple):
    """The values (JSON) that were found for the n-th of the names, from 0 on."""

    n: int
    found: str


_decode: Callable[[str], list[str]] = msgspec.json.Decoder(list[str]).decode
# For fewer names SQLite, which is asked without a round trip, takes less for a query of each.
_FEW = 3


class _ValuesOfMany(Generic[K]):
    """The query for the values of each of many names, which are passed with their `fields`.

    More than a few are one query: PostgreSQL, where each costs a round trip, gets one for all.
    """

    def __init__(
        self, rows: Callable[..., Select[Any]], fields: Mapping[str, TypeEngine[Any]]
    ) -> None:
        of_one = rows(*map(bindparam, fields)).subquery("of_one")
        self._of_one = Query(_OneValue, select(of_one.c.value))
        asked, found = _of_each(fields, rows)
        self._of_each = Query(
            _ValueOfEach,
            select(asked.c.n, found.c.value.label("value")).select_from(asked.join(found, true())),
        )
        self._of_each_as_json = Query(_ValuesOfEach, _as_json(rows, len(fields)))

    def find(self, conn: Connection, names: Collection[K], **more: Any) -> dict[K, list[str]]:
        """Returns the values of the names; a name without any may be missing."""
        if conn.remembered is None:
            return self._read(conn, names, more)
        known: dict[K, list[str]] = conn.remembered.setdefault((self, *more.items()), {})
        unread = [name for name in names if name not in known]
        if unread:
            found = self._read(conn, unread, more)
            known.update((name, found.get(name, [])) for name in unread)
        return {name: known[name] for name in names}

    def _read(
        self, conn: Connection, names: Collection[K], more: Mapping[str, Any]
    ) -> dict[K, list[str]]:
        found: dict[K, list[str]] = {}
        listed = [*names]
        if conn.dialect == "postgresql":
            for row in self._of_each.all(conn, **self._columns(listed), **more) if listed else ():
                found.setdefault(listed[row.n - 1], []).append(row.value)
        elif len(listed) <= _FEW:
            for name in listed:
                rows = self._of_one.all(conn, **self._values(name), **more)
                found[name] = [row.value for row in rows]
        else:
            text = msgspec.json.encode(listed).decode()
            for each in self._of_each_as_json.all(conn, names=text, **more):
                found[listed[each.n]] = _decode(each.found)
        return found

    def _values(self, name: K) -> dict[str, Any]:
        """Returns the values of the fields of a name."""
        raise NotImplementedError

    def _columns(self, names: Sequence[K]) -> dict[str, Any]:
        """Returns the lists of the values of each field, under the field's name with an s."""
        raise NotImplementedError


class ValuesOfNames(_ValuesOfMany[str]):
    """The query for the values of each of many names: `rows(name)` selects those of one name."""

    def __init__(self, rows: Callable[[ColumnElement[str]], Select[tuple[str]]]) -> None:
        super().__init__(rows, {"name": Text()})

    def _values(self, name: str) -> dict[str, Any]:
        return {"name": name}

    def _columns(self, names: Sequence[str]) -> dict[str, Any]:
        return {"names": [*names]}


class ValuesInSpans(_ValuesOfMany[NameInSpan]):
    """The query for the values of each of many names, each in a span of its own:
    `rows(name, since, until)` selects those of one."""

    def __init__(
        self,
        rows: Callable[
            [ColumnElement[str], ColumnElement[int], ColumnElement[int]], Select[tuple[str, bool]]
        ],
    ) -> None:
        super().__init__(rows, {"name": Text(), "since": BigInteger(), "until": BigInteger()})

    def _values(self, name: NameInSpan) -> dict[str, Any]:
        return name._asdict()

    def _columns(self, names: Sequence[NameInSpan]) -> dict[str, Any]:
        named, sinces, untils = zip(*names, strict=True)
        return {"names": [*named], "sinces": [*sinces], "untils": [*untils]}


@contextmanager
def remembered(conn: Connection) -> Iterator[None]:
    """Reads the values of each name once. What they are read from must not be written meanwhile."""
    conn.remembered = {}
    try:
        yield
    finally:
        conn.remembered = None


class _OneValue(NamedTuple):
    value: str


def rows_of_names(rows: Callable[[ColumnElement[str]], Select[Any]]) -> Select[Any]:
    """Returns PostgreSQL's query for the rows of all names passed as "names": `rows(name)` selects
    those of one."""
    asked, found = _of_each({"name": Text()}, rows)
    return select(found).select_from(asked.join(found, true()))


def names_as_table(alias: str) -> TableValuedAlias:
    """Returns SQLite's table of the names passed as "names", with their place among them (`key`)
    and themselves (`value`)."""
    return func.json_each(bindparam("names")).table_valued("key", "value", name=alias)


def _of_each(
    fields: Mapping[str, TypeEngine[Any]], rows: Callable[..., Select[Any]]
) -> tuple[TableValuedAlias, LateralFromClause]:
    lists = [cast(bindparam(f"{field}s"), ARRAY(kind)) for field, kind in fields.items()]
    asked = func.unnest(*lists).table_valued(*fields, with_ordinality="n")
    named = asked.render_derived(name="asked")
    return named, rows(*(named.c[field] for field in fields)).lateral("of_each")


def _as_json(rows: Callable[..., Select[Any]], fields: int) -> Select[Any]:
    """Returns SQLite's query, which has no LATERAL: a limit for each name holds in a subquery."""
    asked = names_as_table("asked")
    name: ColumnElement[Any] = literal_column("asked.value")
    values = [name] if fields == 1 else [func.json_extract(name, f"$[{n}]") for n in range(fields)]
    found = rows(*values).subquery("of_each")
    as_json = select(func.json_group_array(found.c.value)).scalar_subquery()
    return select(asked.c.key.label("n"), as_json.label("found"))


def names_of(conn: Connection, names: Iterable[T]) -> list[T] | str:
    """Returns the names as the one value that `is_among` compares with."""
    listed = list(names)
    return listed if conn.dialect == "postgresql" else msgspec.json.encode(listed).decode()


def selected(row: type[R], of: Column[str], *columns: Column[Any]) -> Query[R]:
    """Returns the query for the distinct `columns` (or `of`) of the rows with `of` among names."""
    return Query(
        row,
        {
            dialect: select(*(columns or (of,))).where(is_among(dialect, of)).distinct()
            for dialect in DIALECTS
        },
    )


def among(conn: Connection, query: Query[R], names: Collection[str]) -> list[R]:
    """Returns the rows of a query by `is_among`; no names need no query."""
    if not names:
        return []
    return query.all(conn, names=names_of(conn, names))
