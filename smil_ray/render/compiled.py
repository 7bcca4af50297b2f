"""One decorator for machine-code kernels, so that they work wherever the package is installed."""

import inspect
from collections.abc import Callable
from typing import Any

import numba


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return `function` compiled on first call; it releases the GIL and runs in one thread.

    The machine code is cached beside the source, or in the user's cache folder when the
    installation is read-only, or not at all when nothing is writable. Threads belong to the
    caller: kernels stay safe under fork and under concurrent calls, which numba's own thread
    pools are not.
    """
    # The shape checker of the tests wraps every function; numba needs the plain one.
    plain = inspect.unwrap(function)
    try:
        return numba.njit(cache=True, nogil=True, error_model="numpy")(plain)
    except RuntimeError:
        return numba.njit(nogil=True, error_model="numpy")(plain)
