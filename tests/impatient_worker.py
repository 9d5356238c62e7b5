"""The worker that ships, with limits so narrow that a test reaches them."""

from server.open_connections import ConnectionLimits
from server.worker import BufferingWorker


class ImpatientWorker(BufferingWorker):
    """Waits half a second for a request, and keeps little of those that are on their way."""

    limits = ConnectionLimits(request_seconds=0.5, answer_seconds=0.5, buffered_bytes=1024 * 1024)
