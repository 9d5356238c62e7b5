"""A thread that does one piece of work after the other, also while the process ends."""

import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from functools import partial
from queue import SimpleQueue
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class OneThread(Executor):
    """An executor of one thread, which the shutdown of the interpreter does not close.

    The interpreter closes every `ThreadPoolExecutor` before it calls what is registered with
    `atexit`, where the deliverers are stopped: a call that was answered from then on would not be
    settled, and its events would be sent again.
    """

    def __init__(self, name: str) -> None:
        self._works: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Queues a piece of work and returns the future of its result."""
        future: Future[T] = Future()
        self._works.put(partial(_do, partial(fn, *args, **kwargs), future))
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends the thread after the work that is queued; waits for it by default."""
        self._works.put(None)
        if wait:
            self._thread.join()

    def _run(self) -> None:
        while (work := self._works.get()) is not None:
            work()


def _do(work: Callable[[], T], future: Future[T]) -> None:
    try:
        result = work()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
