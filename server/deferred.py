"""The protocol of an answer that the application gives later, without a thread that waits for it.

WSGI has no such protocol. Our worker puts a callable into the environ. An application that will
call it with its answer, which is a WSGI application, returns DEFERRED at once. Under another server
the callable is missing, and the application waits.

An application that never waits at some addresses may name them to the worker, which then runs it
there in its main loop, and says so in the environ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    # Called once, from any thread. The answer runs in the main loop, and so must not wait.
    AnswerLater = Callable[[WSGIApplication], None]

ANSWER_DEFERRED = "pinterest_conversions.answer_later"
# True in the main loop, where every other request would wait with the application.
MUST_NOT_WAIT = "pinterest_conversions.must_not_wait"


class _Deferred(Iterable[bytes]):
    def __iter__(self) -> Iterator[bytes]:
        return iter(())


DEFERRED = _Deferred()
