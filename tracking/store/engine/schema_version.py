"""The version of the schema, and which releases may work with it.

While a release is rolled out, machines of the one before work with its schema. A migration that
they can work with has the next number (0013, 0014). One that they cannot work with begins a new
thousand (1015): from then on they answer 503, until they are replaced too.
"""

from pathlib import Path

from tracking.store.engine.statement import StoreUnavailable
from tracking.store.schema import metadata

_VERSIONS = Path(__file__).parents[1] / "migrations" / "versions"
# The versions that this release knows, and the one that it brings a database to.
KNOWN = frozenset(path.name.partition("_")[0] for path in _VERSIONS.glob("[0-9]*_*.py"))
NEWEST = max(KNOWN)
QUERY = "SELECT version_num FROM alembic_version"


class SchemaMissing(StoreUnavailable):
    """No start has made the tables of the database yet."""

    def __init__(self) -> None:
        super().__init__("the database has no tables yet")


class SchemaChanged(StoreUnavailable):
    """The database has a schema that this release cannot work with."""

    def __init__(self, version: str) -> None:
        self.version = version
        super().__init__(f"the database has schema {version}; this release works with {NEWEST}")


def check(version: str) -> None:
    """Accepts the schema of this release, an older one, and a newer one that extends it.

    Raises:
        SchemaChanged: machines of this release have to be replaced.
    """
    if _generation_of(version) > _generation_of(NEWEST):
        raise SchemaChanged(version)


def is_sufficient(version: str) -> bool:
    """Returns True if a machine of this release can do all its work with a schema."""
    is_known = version.isdigit() and version >= NEWEST
    return is_known and _generation_of(version) == _generation_of(NEWEST)


def is_foreign(table: str | None, column: str | None) -> bool:
    """Returns True for a column, of a table of ours, that this release does not know."""
    known = metadata.tables.get(table or "")
    return known is not None and column is not None and column not in known.columns


def _generation_of(version: str) -> int:
    return int(version[:-3] or 0) if version.isdigit() else 0
