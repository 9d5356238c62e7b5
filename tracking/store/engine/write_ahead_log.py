"""Limits of the write-ahead log's length, and the protection of its checkpoints.

Up to 3.51.2 SQLite may lose pages if a checkpoint runs while another connection begins the WAL
anew (sqlite.org/wal.html, "the WAL-reset bug"). Here the two cannot coincide: a writer holds the
lock file while it writes, only a writer makes checkpoints, and it makes them under that lock.
"""

import sqlite3
from typing import NamedTuple


class LogLimits(NamedTuple):
    """The commit after which the WAL has so many `pages` also moves it into the file.

    The WAL begins anew only while no reader uses it. Where there always is a reader, the WAL is
    truncated once it is longer than `longest` (bytes): the writer then waits for readers, which
    never wait for it. `cache` is the memory for pages of the file (kilobytes).
    """

    pages: int
    longest: int
    cache: int


LONGEST_LOG = 24 * 1024 * 1024
USUAL_LIMITS = LogLimits(4000, LONGEST_LOG, 32_000)
# Thousands of rows a transaction write most pages of the trees again and again, and more of them
# than any cache of a modest size holds.
BULK_LIMITS = LogLimits(16_000, 4 * LONGEST_LOG, 10_000)


def protection(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str:
    """Returns a sentence for the log and the doctor about the prevention of the WAL-reset bug.

    SQLite fixed the bug in 3.51.3, and in 3.44.6 and 3.50.7 for its older branches.
    """
    name = "SQLite " + ".".join(map(str, version[:3]))
    fixed = ((3, 44, 6), (3, 45)), ((3, 50, 7), (3, 51)), ((3, 51, 3), (4,))
    is_fixed = any(first <= version < end for first, end in fixed)
    reason = "" if is_fixed else ", as this version needs"
    return f"{name}: checkpoints only under the write lock{reason}"
