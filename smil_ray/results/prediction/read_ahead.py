"""Work done in threads ahead of whoever takes its results, in order and within bounds."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_POLL_S = 0.05


def read_ahead(
    works: Iterable[Callable[[], T]], *, threads: int = 2, ahead: int = 16
) -> Generator[T, None, None]:
    """Yield the results of `works` in order; what a work raises is raised here.

    `works` itself is iterated over in a thread too, so that it may read a video.

    Args:
        works: What is to be done.
        threads: How many are done at the same time.
        ahead: How many results may wait to be taken.
    """
    waiting: queue.Queue[Future[T] | None] = queue.Queue(ahead)
    stopped = threading.Event()

    def put(future: Future[T] | None) -> None:
        while not stopped.is_set():
            try:
                waiting.put(future, timeout=_POLL_S)
            except queue.Full:
                continue
            return

    def submit_all(pool: ThreadPoolExecutor) -> None:
        try:
            for work in works:
                if stopped.is_set():
                    break
                put(pool.submit(work))
        finally:
            put(None)

    with ThreadPoolExecutor(threads) as pool, ThreadPoolExecutor(1) as first:
        feeding = first.submit(submit_all, pool)
        try:
            while (future := waiting.get()) is not None:
                yield future.result()
            feeding.result()
        finally:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
