"""The persons whose events Pinterest is asked to delete, and what it answered."""

from typing import NamedTuple

from sqlalchemy import bindparam, func, literal_column, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from tracking.store.engine.statement import Connection, Query, Statement
from tracking.store.schema import pinterest_erasures

# "waiting" for the process that has the e-mail in memory; "lost" with that process.
WAITING, ASKED, REFUSED, LOST, NO_EMAIL = "waiting", "asked", "refused", "lost", "none"


class PinterestErasure(NamedTuple):
    """A request to Pinterest about one person: the click ids, separated by spaces, until Pinterest
    took them, and the state of the e-mail, which is never stored. Instants are seconds UTC."""

    id: int
    received_at: int
    click_ids: str
    email: str
    attempts: int
    due_at: int
    answer: str


class ErasureCount(NamedTuple):
    """The number of requests whose e-mail is in one state, and of those with click ids left."""

    email: str
    requests: int
    waiting: int
    answer: str


class _AddedId(NamedTuple):
    id: int


_row = select(*(pinterest_erasures.c[name] for name in PinterestErasure._fields))
_add = Query(
    _AddedId,
    insert(pinterest_erasures)
    .values(
        {
            name: bindparam(name)
            for name in ("digest", "received_at", "click_ids", "email", "due_at")
        }
    )
    .on_conflict_do_update(
        index_elements=[pinterest_erasures.c.digest],
        set_={
            # Of a body that came again its click ids are known no more.
            "email": literal_column("excluded.email"),
            "received_at": literal_column("excluded.received_at"),
            "due_at": literal_column("excluded.due_at"),
            "attempts": 0,
        },
    )
    .returning(pinterest_erasures.c.id),
)
_is_open = or_(
    pinterest_erasures.c.click_ids != literal_column("''"),
    pinterest_erasures.c.email == literal_column(f"'{WAITING}'"),
)
_of_id = Query(PinterestErasure, _row.where(pinterest_erasures.c.id == bindparam("id")))
_due = Query(
    PinterestErasure,
    _row.where(_is_open, pinterest_erasures.c.due_at <= bindparam("now"))
    .order_by(pinterest_erasures.c.due_at, pinterest_erasures.c.id)
    .limit(1),
)
_claim = Query(
    _AddedId,
    update(pinterest_erasures)
    .where(
        pinterest_erasures.c.id == bindparam("b_id"),
        pinterest_erasures.c.due_at == bindparam("b_due_at"),
    )
    .values(due_at=bindparam("b_until"))
    .returning(pinterest_erasures.c.id),
)
_settle = Statement(
    update(pinterest_erasures)
    .where(pinterest_erasures.c.id == bindparam("b_id"))
    .values(
        click_ids=bindparam("b_click_ids"),
        email=bindparam("b_email"),
        attempts=bindparam("b_attempts"),
        due_at=bindparam("b_due_at"),
        answer=bindparam("b_answer"),
    )
)
_forget = Statement(
    update(pinterest_erasures)
    .where(_is_open)
    .values(
        click_ids="",
        email=func.replace(
            pinterest_erasures.c.email, literal_column(f"'{WAITING}'"), literal_column(f"'{LOST}'")
        ),
    )
)
_counts = Query(
    ErasureCount,
    select(
        pinterest_erasures.c.email,
        func.count().label("requests"),
        func.count(func.nullif(pinterest_erasures.c.click_ids, literal_column("''"))).label(
            "waiting"
        ),
        func.max(pinterest_erasures.c.answer).label("answer"),
    )
    .where(pinterest_erasures.c.received_at >= bindparam("since"))
    .group_by(pinterest_erasures.c.email)
    .order_by(pinterest_erasures.c.email),
)


def add(
    conn: Connection, digest: str, click_ids: str, now: int, due_at: int, *, has_email: bool
) -> int:
    """Stores that Pinterest is to be asked about a person; returns the id of the request. Until
    `due_at` it is left to the process that has the e-mail in memory."""
    email = WAITING if has_email else NO_EMAIL
    (row,) = _add.all(
        conn, digest=digest, received_at=now, click_ids=click_ids, email=email, due_at=due_at
    )
    return row.id


def of_id(conn: Connection, id: int) -> PinterestErasure | None:
    """Returns a request by its id."""
    return _of_id.first(conn, id=id)


def due(conn: Connection, now: int) -> PinterestErasure | None:
    """Returns the request that has been due for longest; None if none is."""
    return _due.first(conn, now=now)


def claim(conn: Connection, row: PinterestErasure, until: int) -> bool:
    """Leaves a request to this process until an instant; returns False if another one has it."""
    return _claim.first(conn, b_id=row.id, b_due_at=row.due_at, b_until=until) is not None


def settle(conn: Connection, row: PinterestErasure) -> None:
    """Stores what became of a request."""
    _settle.run(
        conn,
        b_id=row.id,
        b_click_ids=row.click_ids,
        b_email=row.email,
        b_attempts=row.attempts,
        b_due_at=row.due_at,
        b_answer=row.answer,
    )


def forget_open(conn: Connection) -> None:
    """Forgets the click ids that Pinterest was not asked about yet."""
    _forget.run(conn)


def counts(conn: Connection, since: int) -> list[ErasureCount]:
    """Returns the numbers of requests received since an instant, by the state of their e-mail."""
    return _counts.all(conn, since=since)
