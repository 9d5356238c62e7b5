"""Orders, the touches before them, and what each touch is credited with."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text, text

from tracking.store.schema.columns import int_column, metadata, text_column

# Keys that come in order cost a transaction few pages, random digests cost one page each: wherever
# there is a choice, a primary key begins with the order's id.

# One row for each accepted webhook body, independent of its headers.
receipts = Table(
    "receipts",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    text_column("topic"),
    int_column("received_at"),
    sqlite_with_rowid=False,
)

# The newest known state of each order. `path` has the touches from which its credits are computed.
# `is_first` is Shopify's word whether it is its customer's first order, `has_earlier` is 1 if an
# earlier one is known.
orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    text_column("name"),
    text_column("version"),
    int_column("placed_at"),
    Column("cancelled_at", BigInteger),
    Column("deleted_at", BigInteger),
    text_column("currency"),
    int_column("gross"),
    int_column("refunds"),
    int_column("cancellations"),
    int_column("is_counted"),
    int_column("is_paid"),
    int_column("is_test"),
    text_column("financial_status"),
    text_column("source_name"),
    text_column("visitor"),
    text_column("match_method"),
    text_column("links"),
    text_column("session"),
    text_column("consent"),
    text_column("unusable"),
    text_column("path"),
    Column("taxes_included", BigInteger),
    Column("kept", BigInteger),
    Column("sold", BigInteger),
    Column("peak", BigInteger),
    text_column("lines"),
    Column("is_first", BigInteger),
    int_column("has_earlier"),
    text_column("customer_type"),
    Index("orders_by_name", "name"),
)

# Each refund as it is given, with signed sums: only the sum of an order's refunds is limited.
refunds = Table(
    "refunds",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    int_column("at"),
    int_column("goods"),
    int_column("paid"),
    text_column("currency"),
    int_column("tax"),
    int_column("other"),
    int_column("extra"),
    text_column("status"),
    text_column("version"),
    int_column("is_listed"),
    text_column("pieces"),
    Column("taxes_included", BigInteger),
)

# Clicks and views, and a row without a kind for each order that was placed without a visit.
# `unfilled` are the parameters of a link that hold the variable of a template, as the pixel told.
touches = Table(
    "touches",
    metadata,
    Column("visitor", Text, primary_key=True),
    Column("at", BigInteger, primary_key=True),
    Column("key", Text, primary_key=True),
    text_column("kind"),
    int_column("is_pinterest"),
    int_column("is_direct"),
    text_column("source"),
    text_column("medium"),
    text_column("campaign_id"),
    text_column("campaign"),
    text_column("pin_id"),
    text_column("ad_id"),
    text_column("click_id"),
    text_column("unfilled"),
    Index(
        "touches_unfilled",
        "at",
        sqlite_where=text("unfilled <> ''"),
        postgresql_where=text("unfilled <> ''"),
    ),
    sqlite_with_rowid=False,
)

# The credit of each touch for an order, for the (scope, model) pairs in `mask`. `touch_key` is
# empty for the part that no touch is credited with. `share` is millionths of the order. The ad and
# the pin are those of the touch's link, NULL where a release that did not know them wrote the row.
credits = Table(
    "credits",
    metadata,
    Column("placed_at", BigInteger, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("n", Integer, primary_key=True),
    int_column("mask"),
    int_column("credited_at"),
    text_column("currency"),
    text_column("touch_key"),
    int_column("is_pinterest"),
    text_column("campaign_id"),
    text_column("campaign"),
    int_column("share"),
    int_column("gross"),
    int_column("net"),
    int_column("cancellations"),
    Column("ad_id", Text),
    Column("pin_id", Text),
    text_column("customer_type"),
    sqlite_with_rowid=False,
)
