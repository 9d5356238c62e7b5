"""gunicorn's queue of calls for the main loop, which threads use for longer than the loop runs."""

from gunicorn.workers import gthread


class LastingMethodQueue(gthread.PollableMethodQueue):  # type: ignore[misc]
    """A queue whose pipe stays open until the process has ended."""

    def close(self) -> None:
        """Closes nothing. A thread that ends after the loop wakes it by a byte in the pipe, and
        would write it into whatever file has got the number: it may be the database."""
