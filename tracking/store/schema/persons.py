"""The keys that visitors were seen with, and the persons whose data is to be erased or told."""

from sqlalchemy import BigInteger, Column, Index, Integer, Table, Text

from tracking.store.schema.columns import Id, int_column, metadata, text_column

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
    int_column("first_at"),
    int_column("last_at"),
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
    text_column("session"),
    int_column("at"),
    text_column("completed_as"),
    int_column("completed_at"),
    Column("is_first", BigInteger),
)

# The newest consent of each visitor (1, 0, or NULL) and its instant.
visitors = Table(
    "visitors",
    metadata,
    Column("visitor", Text, primary_key=True),
    Column("marketing", Integer),
    int_column("marketing_at"),
    Column("sale_of_data", Integer),
    int_column("sale_of_data_at"),
    sqlite_with_rowid=False,
)

# The tombstones of erased identities and orders, so that nothing brings them back: the kind and
# the first part of an identity's digest, or "or:" and the id of an order. It is long enough to
# recognise the person, and too short to be matched with another party's list of digests.
TOMBSTONE_LENGTH = 13
tombstones = Table(
    "tombstones",
    metadata,
    Column("mark", Text, primary_key=True),
    int_column("erased_at"),
    sqlite_with_rowid=False,
)

# An erasure that is not complete. `body_id` is its stage; in the last one of a person it is the
# quarantined body whose text was searched up to `position`, otherwise `position` counts steps, and
# `rest` (JSON) tells them. The erasure of a whole shop may be held until `due_at` first.
pending_erasures = Table(
    "pending_erasures",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    text_column("topic"),
    text_column("asked_as"),
    text_column("links"),
    text_column("orders"),
    int_column("received_at"),
    int_column("due_at"),
    int_column("body_id"),
    int_column("position"),
    text_column("rest"),
)

# The requests of Shopify's privacy topics, about a person or the shop. `answered_at` is 0 until the
# shop's owner has exported the answer to a data request.
privacy_requests = Table(
    "privacy_requests",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    text_column("topic"),
    text_column("asked_as"),
    text_column("links"),
    text_column("orders"),
    int_column("received_at"),
    int_column("answered_at"),
)

# The persons whose events Pinterest is asked to delete: what became of the e-mail, which is never
# stored, and the click ids that it was not asked about yet. `answer` is that of the last refusal.
pinterest_erasures = Table(
    "pinterest_erasures",
    metadata,
    Column("id", Id, primary_key=True, autoincrement=True),
    Column("digest", Text, nullable=False, unique=True),
    text_column("click_ids"),
    text_column("email"),
    text_column("answer"),
    int_column("received_at"),
    int_column("attempts"),
    int_column("due_at"),
)
