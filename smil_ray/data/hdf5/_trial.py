"""Whether a file without checksums over its metadata can be read: a child process tries it."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from smil_ray.errors import DataError

DAMAGED = "the file is damaged or incomplete: copy it again or write it anew"
STEP_SECONDS = 2.0
"""Processor time that one step of reading may take; a healthy one takes milliseconds."""
_CLOCK_TICK = 0.02
"""Seconds by which times of modification can be late."""
_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[2]); "
    "from smil_ray.data.hdf5._walk import main; main(sys.argv[1], float(sys.argv[3]))"
)


@dataclass(frozen=True)
class FileState:
    """What a file was when it was looked at: if this is the same, so is its content."""

    path: Path
    bytes: int
    modified_ns: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> "FileState":
        """Return the state of the file at `path`."""
        found = path.stat()
        return cls(path.absolute(), found.st_size, found.st_mtime_ns, found.st_ino)


_faults: dict[FileState, str | None] = {}
"""What was found out in this process, or in the one that it was forked from."""


def check_readable(path: Path) -> FileState:
    """Make sure that everything in an HDF5 file can be read, by reading it in a child process.

    The child costs about half a second and as long as reading the chunks of the file takes. Its
    verdict holds until the file changes.

    Raises:
        DataError: The child hung, crashed or met an error.
    """
    _let_age(path)
    state = FileState.of(path)
    if state not in _faults:
        _faults[state] = _try_in_child(path)
    fault = _faults[state]
    if fault is not None:
        raise DataError(f"{path}", found=fault, remedy=DAMAGED)
    return state


def trust(state: FileState) -> None:
    """Take over the verdict of another process: this state of a file can be read."""
    _faults.setdefault(state, None)


def _let_age(path: Path) -> None:
    """Wait until a change of a file that comes from now on gets another time of modification."""
    age = time.time() - path.stat().st_mtime
    if 0 <= age < _CLOCK_TICK:
        time.sleep(_CLOCK_TICK - age)


def _try_in_child(path: Path) -> str | None:
    """Return what is wrong with a file; see `_walk`.

    A program of its own, because daemonic processes may have no children of `multiprocessing`
    and a fork of a process with threads may hang.
    """
    places = [entry or os.getcwd() for entry in sys.path]  # noqa: PTH109 - kept as text
    arguments = [str(path.absolute()), json.dumps(places), str(STEP_SECONDS)]
    command = [sys.executable, "-c", _START, *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        try:
            output, complaint = child.communicate()
        finally:
            # Also on Ctrl-C, to which a child within the HDF5 library does not listen.
            child.kill()
    if child.returncode == 0:
        return json.loads(output)
    if child.returncode == -signal.SIGPROF:
        return f"reading it does not end (tried for {STEP_SECONDS:g} s of processor time)"
    if child.returncode < 0:
        return f"reading it ends with signal {signal.Signals(-child.returncode).name}"
    return (complaint.decode(errors="replace").strip().splitlines() or ["no word"])[-1]
