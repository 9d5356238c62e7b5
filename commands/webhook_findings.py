"""The findings of doctor on webhooks that were refused in the last hour."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from commands.findings import Finding
from commands.shell import plural
from tracking.operate.refused_webhooks import REASONS
from tracking.service import Service
from tracking.store import refused_webhooks
from tracking.store.refused_webhooks import RefusedCount

_HOUR = 3_600
# Anyone can call a webhook's address, and many do who never saw a signature.
_NOBODYS_FAULT = "no_signature"


def webhook_findings(service: Service) -> Iterator[Finding]:
    """Yields a finding for each reason, which fails unless the topics were accepted since."""
    now = int(service.clock())
    with service.store.read() as conn:
        refused = refused_webhooks.since(conn, now - _HOUR, now)
        accepted = refused_webhooks.accepted(conn, now - _HOUR) if refused else {}
    if not refused:
        yield Finding("ok", "webhooks", "none refused in the last hour")
    for reason, counts in groupby(refused, lambda count: count.reason):
        yield _finding_of(reason, list(counts), accepted)


def _finding_of(
    reason: str, counts: Sequence[RefusedCount], accepted: Mapping[str, int]
) -> Finding:
    webhooks = plural(sum(count.webhooks for count in counts), "webhook")
    manner, question = REASONS[reason]
    text = f"{webhooks} {manner} in the last hour; {question}"
    is_over = all(accepted.get(count.topic, 0) > count.last_at for count in counts)
    if is_over:
        text += " Since then such webhooks were accepted"
    is_note = is_over or reason == _NOBODYS_FAULT
    return Finding("note" if is_note else "FAIL", "webhooks", text)
