"""lookups of triggers: on PostgreSQL they find an event by its id, however young the database is.

The server plans a trigger's statement once for each connection. With a shop's first order every
index looks equally good to it, and it chose the one of all purchases, which it then read from end
to end for each order until the table was analysed.
"""

from alembic import op

revision = "0033"
down_revision = "0032"
branch_labels = None
depends_on = None

# With an OFFSET the conditions outside cannot choose the index.
_FOUND = """(SELECT at, stage, order_id, recorded_at FROM conversions
             WHERE event_id = {} OFFSET 0) AS found"""
_EVENT = _FOUND.format("new.event_id")
_ORDERS_EVENT = _FOUND.format("'checkout-' || new.order_id")
_IS_OF_ORDER = "stage = 'purchase' AND order_id <> ''"
_MARK_FATE = f"INSERT INTO accuracy_marks (at) SELECT at FROM {_EVENT} WHERE {_IS_OF_ORDER}"  # noqa: S608
_MARK_COMPARED = "INSERT INTO compared_marks (placed_at, order_id) SELECT at, order_id FROM"
_MARK_SENT = f"{_MARK_COMPARED} {_EVENT} WHERE {_IS_OF_ORDER}"
_STEPS = {
    "fates_queued": f"{_MARK_FATE} AND recorded_at < new.queued_at",
    "fates_settled": _MARK_FATE,
    "compared_queued": _MARK_SENT,
    "compared_settled": _MARK_SENT,
    "compared_named": f"{_MARK_COMPARED} {_ORDERS_EVENT} WHERE stage = 'purchase'",
}


def upgrade() -> None:
    """Bring the schema to this revision."""
    if op.get_bind().dialect.name == "sqlite":
        return
    for name, step in _STEPS.items():
        op.execute(
            f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql "
            f"SET search_path FROM CURRENT AS $$ BEGIN {step}; RETURN NULL; END $$"
        )
