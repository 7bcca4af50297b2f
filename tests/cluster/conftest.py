"""A bench of three hosts for every file of this folder, for one file at a time."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.cluster.bench import Bench, skip_without_bench

PLACE = Path("/var/tmp/smil_ray_bench")
"""Not below /tmp, which each host has for itself."""


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    """Three hosts with ssh servers, removed at the end, also after a failure."""
    skip_without_bench()
    with FileLock(f"{PLACE}.lock"):
        if PLACE.exists():
            pytest.skip(f"another bench is there: tests/cluster/hosts.sh down {PLACE}")
        try:
            yield Bench.build(PLACE, 3)
        finally:
            Bench(PLACE, 3).remove()
