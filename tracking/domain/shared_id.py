"""When a purchase shares its event id with Pinterest's own Shopify app.

The app sends each purchase of the online store under the id of the storefront's
`checkout_completed`. Pinterest counts two events of one name and one id once. It counts an event
that arrives more than an hour late as offline, and such an event always counts by itself.
"""

# For so long (seconds) a purchase waits for the storefront's id.
STOREFRONT_WAIT = 120
# After so long an order that nothing earned is not sent any more.
SETTLED_AFTER = 50 * 60
OFFLINE_AFTER = 3_600


def waits_until(placed_at: int, recorded_at: int, now: int) -> int:
    """Returns until when a purchase that becomes sendable now waits for the storefront's id.

    The storefront tells its id within seconds of the order. Of an order that was recorded later
    it was told before, or never will be.
    """
    return now if recorded_at - placed_at > STOREFRONT_WAIT else now + STOREFRONT_WAIT


def is_late(event_time: int, arrived_at: int) -> bool:
    """Returns True if Pinterest counts an event that arrives at an instant as offline."""
    return arrived_at - event_time > OFFLINE_AFTER
