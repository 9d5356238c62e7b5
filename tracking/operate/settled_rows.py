"""Makes what is settled smaller, a page at a time, so that no webhook waits for it."""

from collections.abc import Callable, Iterable
from functools import partial

from tracking.store import Store, settled_events
from tracking.store.engine.statement import Connection

_DAY = 86_400
# What a destination was told of a storefront event is of no use after the week in which it takes
# any.
BROWSER_PAYLOAD_DAYS = 7
PACKED_AFTER_DAYS = 1
# No event of an older order is sent, nor changed before that.
LINES_DAYS = 8
# While a release is rolled out, machines of the last one, which cannot read packed payloads, run
# beside this one.
_ROLLED_OUT_SECONDS = 3_600


class SettledRows:
    """Erases or packs payloads of settled events, and deletes what only repeats them."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store = store
        self._clock = clock
        self._started_at = clock()

    def erase_payloads(self, days: int) -> int:
        """Erases the payloads of storefront events that were settled so long ago; returns how
        many."""
        return self._each("erasable payloads", settled_events.erase_payloads, days, 0)

    def delete_attempts(self) -> int:
        """Deletes the attempts that tell nothing which their event does not; returns how many."""
        return self._each("needless attempts", settled_events.delete_attempts, PACKED_AFTER_DAYS, 0)

    def empty_lines(self) -> int:
        """Empties the lines of orders whose event is not changed any more; returns of how many."""
        return self._each("lines of old orders", settled_events.empty_lines, LINES_DAYS, "")

    def pack_payloads(self) -> int:
        """Packs the payloads of orders and other events that were sent a day ago; returns how
        many. A process that was started just now packs none."""
        if self._clock() - self._started_at < _ROLLED_OUT_SECONDS:
            return 0
        return self._each("packable payloads", settled_events.pack_payloads, PACKED_AFTER_DAYS, 0)

    def _each(
        self,
        kind: settled_events.Kind,
        change: Callable[[Connection, int, Iterable[int | str]], None],
        days: int,
        last: int | str,
    ) -> int:
        count, before = 0, int(self._clock()) - days * _DAY
        while True:
            with self._store.read() as conn:
                ids = settled_events.page(conn, kind, before, last)
            if not ids:
                return count
            self._store.commit(partial(_change, change=change, before=before, ids=ids))
            count, last = count + len(ids), ids[-1]


def _change(
    conn: Connection,
    change: Callable[[Connection, int, Iterable[int | str]], None],
    before: int,
    ids: Iterable[int | str],
) -> None:
    change(conn, before, ids)
