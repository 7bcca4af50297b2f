"""What a run says when it computes features to cache: from its process, by its folder, to people.

A run's processes have no terminal; the driver reads its folder.
"""

from collections.abc import Callable

from smil_ray.tracking.run_dir import RunDir

_FACT = "features_build"


def write_build_note(run: RunDir, line: str) -> None:
    """Keep a line about features that are going to be computed in the run's folder."""
    known = _lines(run)
    if line not in known:
        run.update_facts({_FACT: [*known, line]})


class BuildNotes:
    """Says what runs have written; runs that compute the same features together say it once."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._told: set[str] = set()

    def skip(self, run: RunDir) -> None:
        """Leave out what a run has written before it goes on."""
        self._told.update(_lines(run))

    def say_new(self, run: RunDir) -> None:
        """Say what a run has written and has not been said."""
        for line in _lines(run):
            if line not in self._told:
                self._told.add(line)
                self._say(line)


def _lines(run: RunDir) -> list[str]:
    return run.facts().get(_FACT, [])
