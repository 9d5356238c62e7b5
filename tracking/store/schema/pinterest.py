"""Spend, ads, figures and verdicts as Pinterest tells them, and the state of reading them."""

from sqlalchemy import BigInteger, Column, Index, Table, Text

from tracking.store.schema.columns import int_column, metadata, text_column

# Ad spend of a campaign on one day, in millionths of the currency's major unit.
spend = Table(
    "spend",
    metadata,
    Column("date", Text, primary_key=True),
    Column("campaign_id", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    text_column("campaign"),
    int_column("micros"),
    int_column("recorded_at"),
    Index("spend_of_campaign", "campaign_id", "campaign", "date", "recorded_at"),
)

# Ad spend of an ad on one UTC day, in millionths of the currency's major unit: a part of `spend`.
ad_spend = Table(
    "ad_spend",
    metadata,
    Column("date", Text, primary_key=True),
    Column("ad_id", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    int_column("micros"),
    int_column("recorded_at"),
    sqlite_with_rowid=False,
)

# Up to which day the spend of each ad account was read from Pinterest, and the lease of its reader.
syncs = Table(
    "syncs",
    metadata,
    Column("account", Text, primary_key=True),
    text_column("currency"),
    text_column("through"),
    int_column("synced_at"),
    int_column("next_at"),
    text_column("failure"),
    text_column("claim"),
    int_column("leased_until"),
)

# The ads of the ad account, by the names they have now, and the pins that they promote.
pinterest_ads = Table(
    "pinterest_ads",
    metadata,
    Column("ad_id", Text, primary_key=True),
    text_column("name"),
    text_column("campaign_id"),
    text_column("pin_id"),
    int_column("recorded_at"),
    sqlite_with_rowid=False,
)

# What Pinterest itself says a campaign brought on a UTC day, which is that of the order or of the
# click (`report_by`), and the windows in days that it counted with. Values are millionths of the
# currency's major unit. The ad account is "" where a release that did not know it wrote the row.
pinterest_figures = Table(
    "pinterest_figures",
    metadata,
    Column("date", Text, primary_key=True),
    Column("campaign_id", Text, primary_key=True),
    Column("report_by", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    text_column("campaign"),
    int_column("orders"),
    int_column("value_micros"),
    int_column("click_orders"),
    int_column("click_micros"),
    int_column("view_orders"),
    int_column("view_micros"),
    int_column("web_orders"),
    int_column("offline_orders"),
    int_column("click_window_days"),
    int_column("view_window_days"),
    int_column("recorded_at"),
    text_column("account"),
    sqlite_with_rowid=False,
)

# Up to which day each kind of figures of an ad account was read from Pinterest, and with which
# settings: with others it is read from the beginning. The lease of `syncs` is for all of them.
pinterest_readings = Table(
    "pinterest_readings",
    metadata,
    Column("account", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    text_column("through"),
    int_column("read_at"),
    int_column("next_at"),
    text_column("failure"),
    text_column("settings"),
    text_column("since"),
    sqlite_with_rowid=False,
)

# How many requests for an ad account's figures were sent on a UTC day (ISO date).
pinterest_calls = Table(
    "pinterest_calls",
    metadata,
    Column("account", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    int_column("calls"),
    sqlite_with_rowid=False,
)

# The refresh tokens that replace configured ones, which are known by their digests. They are of no
# use without the app's secret, which is not stored.
tokens = Table(
    "tokens",
    metadata,
    Column("origin", Text, primary_key=True),
    text_column("token"),
    int_column("renewed_at"),
)

# The verdict of Pinterest on the events of a source, over the days of a lookback ("1d", "14d").
match_verdicts = Table(
    "match_verdicts",
    metadata,
    Column("lookback", Text, primary_key=True),
    Column("source_platform", Text, primary_key=True),
    Column("ingestion_source", Text, primary_key=True),
    text_column("overall_status"),
    int_column("read_at"),
    sqlite_with_rowid=False,
)

# What it says of a field (`component`) in the events of one name: how many have it and, of event
# ids, how many came from another source as well, in millionths; and its issues (JSON).
match_components = Table(
    "match_components",
    metadata,
    Column("lookback", Text, primary_key=True),
    Column("source_platform", Text, primary_key=True),
    Column("ingestion_source", Text, primary_key=True),
    Column("event_name", Text, primary_key=True),
    Column("component", Text, primary_key=True),
    int_column("coverage"),
    Column("overlap", BigInteger),
    text_column("issues"),
    sqlite_with_rowid=False,
)
