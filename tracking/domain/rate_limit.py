"""The generic cell rate algorithm: the next slot of a shared rate limit."""

MICROS = 1_000_000
# Of the calls an account may make in a minute, this part may come in one burst; the rest is
# spread evenly, so that no 60 seconds ever hold more than the limit.
_BURST = 0.1


def next_slot(next_call_at: int, now: int, calls_per_minute: int) -> int | None:
    """Returns when the call after this one is due (microseconds UTC); None if this one must wait.

    The generic cell rate algorithm: one number is the whole state, and any number of deliverers
    that write it in turn keep the limit together.
    """
    interval = int(60 * MICROS / (calls_per_minute * (1 - _BURST)))
    burst = int(interval * calls_per_minute * _BURST)
    # A clock set back must not stop delivery until the old time is reached again.
    due = next_call_at if next_call_at - now <= max(60 * MICROS, interval) else now
    if due - now > max(0, burst - interval):
        return None
    return max(due, now) + interval
