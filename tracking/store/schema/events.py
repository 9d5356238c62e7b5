"""Events, their delivery, and what was sent of them."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, Table, Text, UniqueConstraint, text

from tracking.domain.match_quality import FIELDS
from tracking.store.schema.columns import Id, int_column, metadata, text_column

# What was accepted from browsers and is not recorded yet (JSON, with digests for personal data): so
# that the work of one call of the pixel stays small. A row that fails is due again at `due_at`.
pixel_backlog = Table(
    "pixel_backlog",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("body", LargeBinary, nullable=False),
    int_column("queued_at"),
    int_column("due_at"),
)

# Every event of the funnel, with the reason if it is not sent (a key of conversion.REASONS).
# `credited_then` is the credit with which the event was sent, if it has changed since. The
# campaign of its own visit stands in `visit_…`.
# `sent_as` is the id that was chosen when the event was claimed first; without a choice the event
# is sent as `event_id`. `storefront_id` is the id that the storefront tells the purchase by.
conversions = Table(
    "conversions",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False, unique=True),
    text_column("stage"),
    text_column("order_id"),
    text_column("visitor"),
    int_column("at"),
    int_column("is_counted"),
    int_column("is_pinterest"),
    text_column("campaign_id"),
    text_column("campaign"),
    text_column("currency"),
    int_column("value"),
    text_column("reason"),
    text_column("detail"),
    int_column("recorded_at"),
    text_column("credited_then"),
    text_column("visit_campaign_id"),
    text_column("visit_campaign"),
    int_column("is_visit_pinterest"),
    text_column("sent_as"),
    text_column("storefront_id"),
    Index("conversions_by_time", "at"),
    Index(
        "conversions_sent_as",
        "sent_as",
        unique=True,
        sqlite_where=text("sent_as <> ''"),
        postgresql_where=text("sent_as <> ''"),
    ),
    Index(
        "conversions_of_storefront",
        "storefront_id",
        sqlite_where=text("storefront_id <> ''"),
        postgresql_where=text("storefront_id <> ''"),
    ),
    Index(
        "conversions_purchases",
        "at",
        sqlite_where=text("stage = 'purchase'"),
        postgresql_where=text("stage = 'purchase'"),
    ),
    Index(
        "conversions_of_visitor",
        "visitor",
        "at",
        sqlite_where=text("order_id = ''"),
        postgresql_where=text("order_id = ''"),
    ),
    Index(
        "conversions_of_buyer",
        "visitor",
        sqlite_where=text("order_id <> ''"),
        postgresql_where=text("order_id <> ''"),
    ),
)

# Events to deliver: waiting → sent | dead | withdrawn, dead → waiting | discarded.
# A claim is a lease that ends by itself.
# A held event waits until `due_at` for a fact that lets it be sent, and is then deleted. `order_id`
# is the order that another system's event names.
# With `shares_id` the id it is sent under is chosen when it is claimed first. What the pixel told
# has `is_browser`. Of an event whose payload was erased, `told_value` and `told_currency` say what
# it told that the purchase is worth.
outbox = Table(
    "outbox",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    text_column("state"),
    Column("payload", LargeBinary, nullable=False),
    int_column("event_time"),
    int_column("attempts"),
    int_column("due_at"),
    text_column("claim"),
    int_column("leased_until"),
    int_column("is_withdrawn"),
    text_column("reason"),
    int_column("queued_at"),
    int_column("settled_at"),
    text_column("order_id"),
    int_column("shares_id"),
    int_column("is_browser"),
    text_column("told_value"),
    text_column("told_currency"),
    UniqueConstraint("event_id", "destination", name="outbox_once"),
    Index(
        "outbox_of_order",
        "order_id",
        sqlite_where=text("order_id <> ''"),
        postgresql_where=text("order_id <> ''"),
    ),
    Index(
        "outbox_due_of_kind",
        "destination",
        "is_browser",
        "due_at",
        sqlite_where=text("state = 'waiting'"),
        postgresql_where=text("state = 'waiting'"),
    ),
    Index(
        "outbox_held",
        "due_at",
        sqlite_where=text("state = 'held'"),
        postgresql_where=text("state = 'held'"),
    ),
    Index(
        "outbox_dead",
        "id",
        sqlite_where=text("state = 'dead'"),
        postgresql_where=text("state = 'dead'"),
    ),
)

# Each delivery attempt, with its outcome and the destination's answer.
attempts = Table(
    "attempts",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    text_column("event_id"),
    text_column("destination"),
    int_column("at"),
    text_column("outcome"),
    text_column("detail"),
    Index("attempts_of_event", "event_id"),
)

# How many delivery attempts were deleted, which the metrics count on.
attempt_sums = Table(
    "attempt_sums",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    int_column("attempts"),
    sqlite_with_rowid=False,
)

# The state of each destination's account, shared by all deliverers.
accounts = Table(
    "accounts",
    metadata,
    Column("destination", Text, primary_key=True),
    int_column("paused_until"),
    text_column("pause_reason"),
    int_column("failures"),
    int_column("opened"),
    int_column("next_call_at"),
    int_column("next_browser_call_at"),
)

# The processes that deliver, by host, machine, process id and start, and until when each may hold
# what it has claimed.
deliverers = Table(
    "deliverers",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    int_column("leased_until"),
)

# How many events were sent of a UTC day (an ordinal), and how many of them have each field that
# Pinterest scores.
match_days = Table(
    "match_days",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("event_name", Text, primary_key=True),
    Column("action_source", Text, primary_key=True),
    int_column("events"),
    *map(int_column, FIELDS),
)

# A few of the events of orders that were sent without a field.
match_examples = Table(
    "match_examples",
    metadata,
    Column("event_name", Text, primary_key=True),
    Column("action_source", Text, primary_key=True),
    Column("field", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("event_id", Text, primary_key=True),
    text_column("order_id"),
    Index("match_examples_of_event", "event_id"),
    sqlite_with_rowid=False,
)
