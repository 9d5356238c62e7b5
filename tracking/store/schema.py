"""The tables. Instants are whole seconds UTC, money is minor units unless a name says micros."""

from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from tracking.domain.match_quality import FIELDS

metadata = MetaData()

_Id = BigInteger().with_variant(Integer(), "sqlite")  # only INTEGER counts up by itself there


def _text(name: str, **more: object) -> Column[str]:
    return Column(name, Text, nullable=False, server_default="", **more)  # type: ignore[arg-type]


def _int(name: str, default: int = 0) -> Column[int]:
    return Column(name, BigInteger, nullable=False, server_default=str(default))


# Keys that come in order cost a transaction few pages, random digests cost one page each: wherever
# there is a choice, a primary key begins with the order's id.

# One row for each accepted webhook body, independent of its headers.
receipts = Table(
    "receipts",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("digest", Text, primary_key=True),
    _text("topic"),
    _int("received_at"),
    sqlite_with_rowid=False,
)

# The newest known state of each order. `path` has the touches from which its credits are computed.
# `is_first` is Shopify's word whether it is its customer's first order, `has_earlier` is 1 if an
# earlier one is known.
orders = Table(
    "orders",
    metadata,
    Column("id", Text, primary_key=True),
    _text("name"),
    _text("version"),
    _int("placed_at"),
    Column("cancelled_at", BigInteger),
    Column("deleted_at", BigInteger),
    _text("currency"),
    _int("gross"),
    _int("refunds"),
    _int("cancellations"),
    _int("is_counted"),
    _int("is_paid"),
    _int("is_test"),
    _text("financial_status"),
    _text("source_name"),
    _text("visitor"),
    _text("match_method"),
    _text("links"),
    _text("session"),
    _text("consent"),
    _text("unusable"),
    _text("path"),
    Column("taxes_included", BigInteger),
    Column("kept", BigInteger),
    Column("sold", BigInteger),
    Column("peak", BigInteger),
    _text("lines"),
    Column("is_first", BigInteger),
    _int("has_earlier"),
    _text("customer_type"),
    Index("orders_by_name", "name"),
)

# Each refund as it is given, with signed sums: only the sum of an order's refunds is limited.
refunds = Table(
    "refunds",
    metadata,
    Column("order_id", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    _int("at"),
    _int("goods"),
    _int("paid"),
    _text("currency"),
    _int("tax"),
    _int("other"),
    _int("extra"),
    _text("status"),
    _text("version"),
    _int("is_listed"),
    _text("pieces"),
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
    _text("kind"),
    _int("is_pinterest"),
    _int("is_direct"),
    _text("source"),
    _text("medium"),
    _text("campaign_id"),
    _text("campaign"),
    _text("pin_id"),
    _text("ad_id"),
    _text("click_id"),
    _text("unfilled"),
    Index(
        "touches_unfilled",
        "at",
        sqlite_where=text("unfilled <> ''"),
        postgresql_where=text("unfilled <> ''"),
    ),
    sqlite_with_rowid=False,
)

# The identity graph, for cross-device matching: the keys of checkouts and carts that each visitor
# id was seen with, and the identity keys (of e-mails, customers, phones) that a signed body held
# together with it or with a token of its browser. A key is called `link` here.
links = Table(
    "links",
    metadata,
    Column("link", Text, primary_key=True),
    Column("visitor", Text, primary_key=True),
    Index("links_of_visitor", "visitor", "link"),
    sqlite_with_rowid=False,
)

# The visitor ids seen with Shopify's id of a browser ("cl:…"), which outlives the pixel's cookie,
# and from when to when (by the hour, so that few events change it).
clients = Table(
    "clients",
    metadata,
    Column("link", Text, primary_key=True),
    Column("visitor", Text, primary_key=True),
    _int("first_at"),
    _int("last_at"),
    Index("clients_of_visitor", "visitor", "link"),
    sqlite_with_rowid=False,
)

# The identity keys that the pixel told of a visitor id. Whoever knows an e-mail address can tell
# it, so they join nobody. They are kept so that an erasure finds them.
told_links = Table(
    "told_links",
    metadata,
    Column("link", Text, primary_key=True),
    Column("visitor", Text, primary_key=True),
    Index("told_links_of_visitor", "visitor", "link"),
    sqlite_with_rowid=False,
)

# The visitor who opened a checkout or a cart, by the first browser event of it, with the session.
# `completed_as` is the event id of the storefront's first `checkout_completed`, `is_first` what it
# told of the buyer's orders.
checkouts = Table(
    "checkouts",
    metadata,
    Column("link", Text, primary_key=True),
    Column("visitor", Text, nullable=False),
    _text("session"),
    _int("at"),
    _text("completed_as"),
    _int("completed_at"),
    Column("is_first", BigInteger),
)

# The newest consent of each visitor (1, 0, or NULL) and its instant.
visitors = Table(
    "visitors",
    metadata,
    Column("visitor", Text, primary_key=True),
    Column("marketing", Integer),
    _int("marketing_at"),
    Column("sale_of_data", Integer),
    _int("sale_of_data_at"),
    sqlite_with_rowid=False,
)

# What was accepted from browsers and is not recorded yet (JSON, with digests for personal data): so
# that the work of one call of the pixel stays small. A row that fails is due again at `due_at`.
pixel_backlog = Table(
    "pixel_backlog",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("body", LargeBinary, nullable=False),
    _int("queued_at"),
    _int("due_at"),
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
    _int("mask"),
    _int("credited_at"),
    _text("currency"),
    _text("touch_key"),
    _int("is_pinterest"),
    _text("campaign_id"),
    _text("campaign"),
    _int("share"),
    _int("gross"),
    _int("net"),
    _int("cancellations"),
    Column("ad_id", Text),
    Column("pin_id", Text),
    _text("customer_type"),
    sqlite_with_rowid=False,
)

# Every event of the funnel, with the reason if it is not sent (a key of conversion.REASONS).
# `credited_then` is the credit with which the event was sent, if it has changed since. The
# campaign of its own visit stands in `visit_…`.
# `sent_as` is the id that was chosen when the event was claimed first; without a choice the event
# is sent as `event_id`. `storefront_id` is the id that the storefront tells the purchase by.
conversions = Table(
    "conversions",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False, unique=True),
    _text("stage"),
    _text("order_id"),
    _text("visitor"),
    _int("at"),
    _int("is_counted"),
    _int("is_pinterest"),
    _text("campaign_id"),
    _text("campaign"),
    _text("currency"),
    _int("value"),
    _text("reason"),
    _text("detail"),
    _int("recorded_at"),
    _text("credited_then"),
    _text("visit_campaign_id"),
    _text("visit_campaign"),
    _int("is_visit_pinterest"),
    _text("sent_as"),
    _text("storefront_id"),
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
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("event_id", Text, nullable=False),
    Column("destination", Text, nullable=False),
    _text("state"),
    Column("payload", LargeBinary, nullable=False),
    _int("event_time"),
    _int("attempts"),
    _int("due_at"),
    _text("claim"),
    _int("leased_until"),
    _int("is_withdrawn"),
    _text("reason"),
    _int("queued_at"),
    _int("settled_at"),
    _text("order_id"),
    _int("shares_id"),
    _int("is_browser"),
    _text("told_value"),
    _text("told_currency"),
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
    Column("id", _Id, primary_key=True, autoincrement=True),
    _text("event_id"),
    _text("destination"),
    _int("at"),
    _text("outcome"),
    _text("detail"),
    Index("attempts_of_event", "event_id"),
)

# How many delivery attempts were deleted, which the metrics count on.
attempt_sums = Table(
    "attempt_sums",
    metadata,
    Column("destination", Text, primary_key=True),
    Column("outcome", Text, primary_key=True),
    _int("attempts"),
    sqlite_with_rowid=False,
)

# How many events were sent of a UTC day (an ordinal), and how many of them have each field that
# Pinterest scores.
match_days = Table(
    "match_days",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("event_name", Text, primary_key=True),
    Column("action_source", Text, primary_key=True),
    _int("events"),
    *map(_int, FIELDS),
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
    _text("order_id"),
    Index("match_examples_of_event", "event_id"),
    sqlite_with_rowid=False,
)

# The verdict of Pinterest on the events of a source, over the days of a lookback ("1d", "14d").
match_verdicts = Table(
    "match_verdicts",
    metadata,
    Column("lookback", Text, primary_key=True),
    Column("source_platform", Text, primary_key=True),
    Column("ingestion_source", Text, primary_key=True),
    _text("overall_status"),
    _int("read_at"),
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
    _int("coverage"),
    Column("overlap", BigInteger),
    _text("issues"),
    sqlite_with_rowid=False,
)

# The state of each destination's account, shared by all deliverers.
accounts = Table(
    "accounts",
    metadata,
    Column("destination", Text, primary_key=True),
    _int("paused_until"),
    _text("pause_reason"),
    _int("failures"),
    _int("opened"),
    _int("next_call_at"),
    _int("next_browser_call_at"),
)

# The processes that deliver, by host, machine, process id and start, and until when each may hold
# what it has claimed.
deliverers = Table(
    "deliverers",
    metadata,
    Column("owner", Text, primary_key=True),
    Column("destination", Text, primary_key=True),
    _int("leased_until"),
)

# Signed bodies that could not be understood: the only place where clear text is kept, for a time.
quarantine = Table(
    "quarantine",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    _text("topic"),
    _text("reason"),
    Column("body", LargeBinary, nullable=False),
    _int("received_at"),
    _int("replayed_at"),
)

# How many webhooks were refused, in each minute (its first second). Those of minute 0 are older.
refused_webhooks = Table(
    "refused_webhooks",
    metadata,
    Column("reason", Text, primary_key=True),
    Column("topic", Text, primary_key=True),
    Column("minute", BigInteger, primary_key=True),
    _int("webhooks"),
    _int("last_at"),
    sqlite_with_rowid=False,
)

# Ad spend of a campaign on one day, in millionths of the currency's major unit.
spend = Table(
    "spend",
    metadata,
    Column("date", Text, primary_key=True),
    Column("campaign_id", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    _text("campaign"),
    _int("micros"),
    _int("recorded_at"),
    Index("spend_of_campaign", "campaign_id", "campaign", "date", "recorded_at"),
)

# Up to which day the spend of each ad account was read from Pinterest, and the lease of its reader.
syncs = Table(
    "syncs",
    metadata,
    Column("account", Text, primary_key=True),
    _text("currency"),
    _text("through"),
    _int("synced_at"),
    _int("next_at"),
    _text("failure"),
    _text("claim"),
    _int("leased_until"),
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
    _text("campaign"),
    _int("orders"),
    _int("value_micros"),
    _int("click_orders"),
    _int("click_micros"),
    _int("view_orders"),
    _int("view_micros"),
    _int("web_orders"),
    _int("offline_orders"),
    _int("click_window_days"),
    _int("view_window_days"),
    _int("recorded_at"),
    _text("account"),
    sqlite_with_rowid=False,
)

# Up to which day each kind of figures of an ad account was read from Pinterest, and with which
# settings: with others it is read from the beginning. The lease of `syncs` is for all of them.
pinterest_readings = Table(
    "pinterest_readings",
    metadata,
    Column("account", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    _text("through"),
    _int("read_at"),
    _int("next_at"),
    _text("failure"),
    _text("settings"),
    _text("since"),
    sqlite_with_rowid=False,
)

# The table `name` of those of spend, ads and Pinterest's figures has changed if its version has,
# which triggers write: so a process knows whether what it has read is still right.
told_versions = Table(
    "told_versions",
    metadata,
    Column("name", Text, primary_key=True),
    _int("version"),
    sqlite_with_rowid=False,
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
    _int("version"),
    sqlite_with_rowid=False,
)

# The ads of the ad account, by the names they have now, and the pins that they promote.
pinterest_ads = Table(
    "pinterest_ads",
    metadata,
    Column("ad_id", Text, primary_key=True),
    _text("name"),
    _text("campaign_id"),
    _text("pin_id"),
    _int("recorded_at"),
    sqlite_with_rowid=False,
)

# Ad spend of an ad on one UTC day, in millionths of the currency's major unit: a part of `spend`.
ad_spend = Table(
    "ad_spend",
    metadata,
    Column("date", Text, primary_key=True),
    Column("ad_id", Text, primary_key=True),
    Column("currency", Text, primary_key=True),
    _int("micros"),
    _int("recorded_at"),
    sqlite_with_rowid=False,
)

# How many requests for an ad account's figures were sent on a UTC day (ISO date).
pinterest_calls = Table(
    "pinterest_calls",
    metadata,
    Column("account", Text, primary_key=True),
    Column("day", Text, primary_key=True),
    _int("calls"),
    sqlite_with_rowid=False,
)

# The refresh tokens that replace configured ones, which are known by their digests. They are of no
# use without the app's secret, which is not stored.
tokens = Table(
    "tokens",
    metadata,
    Column("origin", Text, primary_key=True),
    _text("token"),
    _int("renewed_at"),
)

# When each rate limit is next free (milliseconds UTC). Names of addresses are keyed digests.
limits = Table(
    "limits",
    metadata,
    Column("name", Text, primary_key=True),
    _int("next_at"),
)

# The tombstones of erased identities and orders, so that nothing brings them back: the kind and
# the first part of an identity's digest, or "or:" and the id of an order. It is long enough to
# recognise the person, and too short to be matched with another party's list of digests.
TOMBSTONE_LENGTH = 13
tombstones = Table(
    "tombstones",
    metadata,
    Column("mark", Text, primary_key=True),
    _int("erased_at"),
    sqlite_with_rowid=False,
)

# An erasure that is not complete. `body_id` is its stage; in the last one of a person it is the
# quarantined body whose text was searched up to `position`, otherwise `position` counts steps, and
# `rest` (JSON) tells them. The erasure of a whole shop may be held until `due_at` first.
pending_erasures = Table(
    "pending_erasures",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    _text("topic"),
    _text("asked_as"),
    _text("links"),
    _text("orders"),
    _int("received_at"),
    _int("due_at"),
    _int("body_id"),
    _int("position"),
    _text("rest"),
)

# The requests of Shopify's privacy topics, about a person or the shop. `answered_at` is 0 until the
# shop's owner has exported the answer to a data request.
privacy_requests = Table(
    "privacy_requests",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    _text("topic"),
    _text("asked_as"),
    _text("links"),
    _text("orders"),
    _int("received_at"),
    _int("answered_at"),
)

# The persons whose events Pinterest is asked to delete: what became of the e-mail, which is never
# stored, and the click ids that it was not asked about yet. `answer` is that of the last refusal.
pinterest_erasures = Table(
    "pinterest_erasures",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    _text("click_ids"),
    _text("email"),
    _text("answer"),
    _int("received_at"),
    _int("attempts"),
    _int("due_at"),
)

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
    _text("zone"),
    _int("through"),
    _int("numbers"),
    _int("version"),
    _int("renamed"),
    _int("closed"),
    _text("closed_zone"),
)

# The number that a visitor id counts as. Ids of one person who was renamed share a number, and the
# one that was replaced is deleted soon.
report_visitors = Table(
    "report_visitors",
    metadata,
    Column("visitor", Text, primary_key=True),
    _int("number"),
    _int("is_renamed"),
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
    Column("id", _Id, primary_key=True, autoincrement=True),
    _int("is_pinterest"),
    _text("campaign_id"),
    _text("campaign"),
    UniqueConstraint("is_pinterest", "campaign_id", "campaign", name="report_campaign_once"),
)

# The counted events of a shop day (as an ordinal) and stage, and the numbers of their visitors as a
# roaring bitmap: of Pinterest's traffic and of the rest, and of each campaign.
funnel_totals = Table(
    "funnel_totals",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("is_pinterest", BigInteger, primary_key=True),
    _int("events"),
    Column("visitors", LargeBinary, nullable=False),
)
funnel_campaigns = Table(
    "funnel_campaigns",
    metadata,
    Column("day", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("campaign", BigInteger, primary_key=True),
    _int("events"),
    _int("newest"),
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
    _int("version"),
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
    _int("events"),
    _int("newest"),
    Column("visitors", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
funnel_week_totals = Table(
    "funnel_week_totals",
    metadata,
    Column("week", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
    Column("is_pinterest", BigInteger, primary_key=True),
    _int("events"),
    Column("visitors", LargeBinary, nullable=False),
)
report_weeks = Table(
    "report_weeks",
    metadata,
    Column("week", BigInteger, primary_key=True),
    Column("stage", Text, primary_key=True),
)

# An event of this stage and instant changed after it was counted, so its day is counted anew.
report_marks = Table(
    "report_marks",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    _int("at"),
    _text("stage"),
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
    _int("credits"),
    _int("share"),
    _int("gross"),
    _int("net"),
    _int("cancellations"),
    _int("newest"),
    _int("new_share"),
    _int("new_net"),
    _int("returning_share"),
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
    _int("credits"),
    _int("share"),
    _int("gross"),
    _int("net"),
    _int("cancellations"),
    sqlite_with_rowid=False,
)

# Credits that were added (sign 1) or dropped (-1) and are not in the sums yet.
credit_changes = Table(
    "credit_changes",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    _int("sign"),
    _int("placed_at"),
    _int("credited_at"),
    _int("mask"),
    _text("currency"),
    _int("is_pinterest"),
    _text("campaign_id"),
    _text("campaign"),
    _int("share"),
    _int("gross"),
    _int("net"),
    _int("cancellations"),
    _text("customer_type"),
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
    _int("orders"),
    sqlite_with_rowid=False,
)

# About how many of them there is a hint that Pinterest counts otherwise.
hint_quarters = Table(
    "hint_quarters",
    metadata,
    Column("at", BigInteger, primary_key=True),
    Column("hint", Text, primary_key=True),
    _int("orders"),
    sqlite_with_rowid=False,
)

# An order placed at this instant may have another fate now, so its quarter is counted anew.
accuracy_marks = Table(
    "accuracy_marks",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    _int("at"),
)

# One row for each alert, whether it stands or not. `is_trouble` is what the last check found, since
# `changed_at`; `told` is the state that the addresses were last told, and `reached` are the digests
# of those that were told the newest. The row without a name is the check itself, with its lease.
alerts = Table(
    "alerts",
    metadata,
    Column("name", Text, primary_key=True),
    _int("is_trouble"),
    _int("changed_at"),
    _int("stands"),
    _int("since"),
    _text("words"),
    _int("told"),
    _text("reached"),
    _int("tries"),
    _int("next_at"),
    _text("failure"),
    _text("claim"),
    _int("leased_until"),
)

# How many webhooks and calls of the pixel arrived in each ten minutes (their first second), and
# when the last of them did.
arrivals = Table(
    "arrivals",
    metadata,
    Column("kind", Text, primary_key=True),
    Column("slot", BigInteger, primary_key=True),
    _int("arrivals"),
    _int("last_at"),
    sqlite_with_rowid=False,
)

# The credits of Pinterest's touches with what became of their orders' events (`kind`), as they are
# summed up by day; the campaign is one of report_campaigns.
compared_credits = Table(
    "compared_credits",
    metadata,
    Column("placed_at", BigInteger, primary_key=True),
    Column("order_id", Text, primary_key=True),
    Column("n", Integer, primary_key=True),
    _int("mask"),
    _int("credited_at"),
    _int("campaign"),
    _text("currency"),
    _text("kind"),
    _int("share"),
    _int("net"),
    _int("value"),
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
    _int("credits"),
    _int("share"),
    _int("net"),
    _int("value"),
    _text("order_ids"),
    sqlite_with_rowid=False,
)

# The orders of which a credit, or what became of the event, is not in these sums yet.
compared_marks = Table(
    "compared_marks",
    metadata,
    Column("id", _Id, primary_key=True, autoincrement=True),
    _int("placed_at"),
    _text("order_id"),
)
