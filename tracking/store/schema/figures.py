"""The figures by day that reports add up, and which of them have changed."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tracking.store.schema.columns import Id, int_column, metadata, text_column

# How far the figures of the reports go, for the days of which zone. Those of the `funnel` count the
# events up to the number `through`, and have given `numbers` numbers to visitors; those of the
# `credits` and the `comparison` sum up the orders placed before the instant `through`, and
# `numbers` is the version that this release wrote last. Each change of the figures has a
# new version. Of the storefront's events before the instant `closed` the figures alone are left,
# for the days of `closed_zone`.
report_progress = Table(
    "report_progress",
    metadata,
    Column("name", Text, primary_key=True),
    text_column("zone"),
    int_column("through"),
    int_column("numbers"),
    int_column("version"),
    int_column("renamed"),
    int_column("closed"),
    text_column("closed_zone"),
)

# The number that a visitor id counts as. Ids of one person who was renamed share a number, and the
# one that was replaced is deleted soon.
report_visitors = Table(
    "report_visitors",
    metadata,
    Column("visitor", Text, primary_key=True),
    int_column("number"),
    int_column("is_renamed"),
    Index(
        "report_visitors_renamed",
        "visitor",
        sqlite_where=text("is_renamed = 1"),
        postgresql_where=text("is_renamed = 1"),
    ),
    sqlite_with_rowid=False,
)

# The campaigns of the figures, each as an event or a credit names it.
report_campaigns = Table(
    "report_campaigns",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    int_column("is_pinterest"),
    text_column("campaign_id"),
    text_column("campaign"),
    UniqueConstraint("is_pinterest", "campaign_id", "campaign", name="report_campaign_once"),
)

# An event of this stage and instant changed after it was counted, so its day is counted anew.
report_marks = Table(
    "report_marks",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    int_column("at"),
    text_column("stage"),
)

# The counted events of a shop day (as an ordinal) and stage, and the numbers of their visitors as a
# roaring bitmap: of Pinterest's traffic and of the rest, and of each campaign.
funnel_totals = Table(
    "funnel_totals",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("is_pinterest", BigInteger, primary_key=True),
    int_column("events"),
    Column("visitors", LargeBinary, nullable=False),
)

funnel_campaigns = Table(
    "funnel_campaigns",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("campaign", BigInteger, primary_key=True),
    int_column("events"),
    int_column("newest"),
    Column("visitors", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

# How often the figures of a day and stage have changed, which triggers count: so a process knows
# whether those that it has read are still right.
funnel_versions = Table(
    "funnel_versions",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
    int_column("version"),
    sqlite_with_rowid=False,
)

# The counted events of whole weeks (seven ordinals), and for which stages they count: as long as no
# day of the week has changed.
funnel_weeks = Table(
    "funnel_weeks",
    metadata,
    Column("week", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("campaign", BigInteger, primary_key=True),
    int_column("events"),
    int_column("newest"),
    Column("visitors", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)

funnel_week_totals = Table(
    "funnel_week_totals",
    metadata,
    Column("week", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("is_pinterest", BigInteger, primary_key=True),
    int_column("events"),
    Column("visitors", LargeBinary, nullable=False),
)

report_weeks = Table(
    "report_weeks",
    metadata,
    Column("week", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
)

# The sums of the credits of a shop day (an ordinal) or of a week (a seventh of one), by the date of
# the order and by that of the click, for each (scope, model) pair.
credit_days = Table(
    "credit_days",
    metadata,
    Column("report_by", Text, primary_key=True),
    Column("bit", BigInteger, primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("campaign", BigInteger, primary_key=True),
    Column("currency", Text, primary_key=True),
    int_column("credits"),
    int_column("share"),
    int_column("gross"),
    int_column("net"),
    int_column("cancellations"),
    int_column("newest"),
    int_column("new_share"),
    int_column("new_net"),
    int_column("returning_share"),
    sqlite_with_rowid=False,
)

# The same sums of Pinterest's credits by the ad and pin of their links, under the models of each
# mask; `is_told` is 0 where both are NULL.
ad_days = Table(
    "ad_days",
    metadata,
    Column("report_by", Text, primary_key=True),
    Column("day", BigInteger, primary_key=True),
    Column("campaign", BigInteger, primary_key=True),
    Column("ad_id", Text, primary_key=True),
    Column("pin_id", Text, primary_key=True),
    Column("is_told", BigInteger, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("mask", BigInteger, primary_key=True),
    int_column("credits"),
    int_column("share"),
    int_column("gross"),
    int_column("net"),
    int_column("cancellations"),
    sqlite_with_rowid=False,
)

# Credits that were added (sign 1) or dropped (-1) and are not in the sums yet.
credit_changes = Table(
    "credit_changes",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    int_column("sign"),
    int_column("placed_at"),
    int_column("credited_at"),
    int_column("mask"),
    text_column("currency"),
    int_column("is_pinterest"),
    text_column("campaign_id"),
    text_column("campaign"),
    int_column("share"),
    int_column("gross"),
    int_column("net"),
    int_column("cancellations"),
    text_column("customer_type"),
    Column("ad_id", Text),
    Column("pin_id", Text),
)

# How many orders of a quarter of an hour (its first second) have which fate: a reason not to send
# them, or what became of their event.
accuracy_quarters = Table(
    "accuracy_quarters",
    metadata,
    Column("at", BigInteger, primary_key=True),
    Column("fate", Text, primary_key=True),
    int_column("orders"),
    sqlite_with_rowid=False,
)

# About how many of them there is a hint that Pinterest counts otherwise.
hint_quarters = Table(
    "hint_quarters",
    metadata,
    Column("at", BigInteger, primary_key=True),
    Column("hint", Text, primary_key=True),
    int_column("orders"),
    sqlite_with_rowid=False,
)

# An order placed at this instant may have another fate now, so its quarter is counted anew.
accuracy_marks = Table(
    "accuracy_marks",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    int_column("at"),
)

# The credits of Pinterest's touches with what became of their orders' events (`kind`), as they are
# summed up by day; the campaign is one of report_campaigns.
compared_credits = Table(
    "compared_credits",
    metadata,
    Column("placed_at", BigInteger, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("n", Integer, primary_key=True),
    int_column("mask"),
    int_column("credited_at"),
    int_column("campaign"),
    text_column("currency"),
    text_column("kind"),
    int_column("share"),
    int_column("net"),
    int_column("value"),
    Index("compared_credits_of_campaign", "campaign", "placed_at", "order_id"),
    sqlite_with_rowid=False,
)

# Their sums by UTC day and shop day (ordinals), by the date of the order and by that of the click,
# of each campaign and of all (0), for each model's bit; and the ids of some of their orders. Those
# of each campaign are summed up by UTC week and shop week (sevenths of days) as well.
compared_days = Table(
    "compared_days",
    metadata,
    Column("report_by", Text, primary_key=True),
    Column("bit", BigInteger, primary_key=True),
    Column("utc_day", BigInteger, primary_key=True),
    Column("campaign", BigInteger, primary_key=True),
    Column("shop_day", BigInteger, primary_key=True),
    Column("currency", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    int_column("credits"),
    int_column("share"),
    int_column("net"),
    int_column("value"),
    text_column("order_ids"),
    sqlite_with_rowid=False,
)

# The orders of which a credit, or what became of the event, is not in these sums yet.
compared_marks = Table(
    "compared_marks",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    int_column("placed_at"),
    text_column("order_id"),
)

# The sums of a week of the credits, the comparison or the accuracy have changed if its version has,
# which is that of the progress of these figures: so a process knows whether what it has added up
# is still right. The row without a `report_by` stands for all weeks.
summed_weeks = Table(
    "summed_weeks",
    metadata,
    Column("figures", Text, primary_key=True),
    Column("report_by", Text, primary_key=True),
    Column("week", BigInteger, primary_key=True),
    int_column("version"),
    sqlite_with_rowid=False,
)

# The table `name` of those of spend, ads and Pinterest's figures has changed if its version has,
# which triggers write: so a process knows whether what it has read is still right.
told_versions = Table(
    "told_versions",
    metadata,
    Column("name", Text, primary_key=True),
    int_column("version"),
    sqlite_with_rowid=False,
)
