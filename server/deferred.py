"""An answer that is given once it is known, without a thread that waits for it.

WSGI has no word for that. Our worker puts a callable into the environ; an application that calls it
later, with its answer as an application, returns LATER at once. Under another server the callable
is missing, and the application waits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    # To be called once, from any thread. The answer must not wait for anything when it is asked.
    AnswerLater = Callable[[WSGIApplication], None]

ANSWER_DEFERRED = "pinterest_conversions.answer_later"


class _Deferred(Iterable[bytes]):
    def __iter__(self) -> Iterator[bytes]:
        return iter(())


DEFERRED = _Deferred()
