"""Puts dead letters back in line for a page, and says in words what became of it."""

from tracking.deliver.replay import replay_dead_letters
from tracking.service import Service


def send_again(service: Service, event_id: str = "") -> str:
    """Queues the dead letter of an event again, or all of them; returns what was done in words."""
    count = replay_dead_letters(service.store, int(service.clock()), event_id)
    if count:
        them = "it is" if count == 1 else "they are"
        return (
            f"{count:,} put back in line: {them} sent within a minute. "
            "What is refused again is listed again."
        )
    return "None was put back in line: they are older than Pinterest takes, or none any more."
