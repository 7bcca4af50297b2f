"""One line on the terminal that says how far a run is."""

import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Display = Callable[[str], None]


@contextmanager
def progress_line(display: Display | None = None) -> Iterator[Display | None]:
    """Yield what shows progress: `display`, else a line on stderr; None without a terminal.

    The line is cut to the terminal's width and stays when the block ends.
    """
    if display is not None or not sys.stderr.isatty():
        yield display
        return
    shown = False

    def show(line: str) -> None:
        nonlocal shown
        shown = True
        # The last column is left free: many terminals go to the next line when it is filled.
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r\x1b[2K{line[:width]}")
        sys.stderr.flush()

    try:
        yield show
    finally:
        if shown:
            sys.stderr.write("\n")
