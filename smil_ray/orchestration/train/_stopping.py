"""SIGTERM and Ctrl-C become a request: save a checkpoint, then stop."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_requested() -> Iterator[Callable[[], bool]]:
    """Yield a function that says whether SIGTERM or SIGINT came while the block runs.

    A second signal interrupts at once. Outside the main thread, where signals cannot be had, the
    function always says no.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    asked = threading.Event()

    def remember(number: int, _: FrameType | None) -> None:
        if asked.is_set():
            raise KeyboardInterrupt(signal.Signals(number).name)
        asked.set()

    before = {number: signal.signal(number, remember) for number in SIGNALS}
    try:
        yield asked.is_set
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
