"""Ray tasks of one kind over many pieces, as many at a time as there is room for."""

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

import ray
from ray.exceptions import RayTaskError

from smil_ray.errors import SmilRayError

AHEAD = 2
"""Tasks handed to Ray for each that runs, so that none has to wait for this process."""


def results_of(
    task: Any, calls: Iterable[tuple[Any, ...]], at_once: Callable[[], int]
) -> Iterator[Any]:
    """Yield what the tasks return, in the order in which they end.

    Nodes that come while tasks are waiting get some of them.

    Args:
        task: A remote function.
        calls: Arguments of each task.
        at_once: How many tasks run at a time; asked again whenever one has ended.

    Raises:
        SmilRayError: What a task raised that is one sentence for a person; all other errors are
            Ray's, with the traceback of the worker.
    """
    waiting = iter(calls)
    running: list[Any] = []
    while True:
        free = max(0, AHEAD * at_once() - len(running))
        running += [task.remote(*arguments) for arguments in islice(waiting, free)]
        if not running:
            return
        ready, running = ray.wait(running, num_returns=1)
        try:
            yield ray.get(ready[0])
        except RayTaskError as error:
            if isinstance(error.cause, SmilRayError):
                raise error.cause from None
            raise
