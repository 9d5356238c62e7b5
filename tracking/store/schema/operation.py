"""The service about its own operation: bodies put aside, limits, alerts."""

from sqlalchemy import BigInteger, Column, LargeBinary, Table, Text

from tracking.store.schema.columns import Id, int_column, metadata, text_column

# Signed bodies that could not be understood: the only place where clear text is kept, for a time.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    text_column("topic"),
    text_column("reason"),
    Column("body", LargeBinary, nullable=False),
    int_column("received_at"),
    int_column("replayed_at"),
)

# How many webhooks were refused, in each minute (its first second). Those of minute 0 are older.
refused_webhooks = Table(
    "refused_webhooks",
    metadata,
    Column("reason", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    int_column("webhooks"),
    int_column("last_at"),
    sqlite_with_rowid=False,
)

# When each rate limit is next free (milliseconds UTC). Names of addresses are keyed digests.
limits = Table(
    "limits",
    metadata,
    Column("name", Text, primary_key=True),
    int_column("next_at"),
)

# One row for each alert, whether it stands or not. `is_trouble` is what the last check found, since
# `changed_at`; `told` is the state that the addresses were last told, and `reached` are the digests
# of those that were told the newest. The row without a name is the check itself, with its lease.
alerts = Table(
    "alerts",
    metadata,
    Column("name", Text, primary_key=True),
    int_column("is_trouble"),
    int_column("changed_at"),
    int_column("stands"),
    int_column("since"),
    text_column("words"),
    int_column("told"),
    text_column("reached"),
    int_column("tries"),
    int_column("next_at"),
    text_column("failure"),
    text_column("claim"),
    int_column("leased_until"),
)

# How many webhooks and calls of the pixel arrived in each ten minutes (their first second), and
# when the last of them did.
arrivals = Table(
    "arrivals",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    int_column("arrivals"),
    int_column("last_at"),
    sqlite_with_rowid=False,
)
