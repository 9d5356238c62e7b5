"""The migrations stand in one row, each behind the one before it."""

import re
from pathlib import Path

VERSIONS = Path(__file__).parents[2] / "tracking/store/migrations/versions"
_NAMES = re.compile(r'^(?:down_)?revision = (?:"(\w+)"|None)$', re.MULTILINE)


def test_every_migration_follows_the_one_before_it() -> None:
    before = ""
    for path in sorted(VERSIONS.glob("[0-9]*.py")):
        assert _NAMES.findall(path.read_text()) == [path.name[:4], before], path.name
        before = path.name[:4]
