import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from smil_ray.data.features.build import (
    BuildHooks,
    BuildStoppedError,
    build,
    is_complete,
    shard_path,
)
from smil_ray.data.features.cache import FeatureCache
from smil_ray.data.features.folder import (
    CacheLimitError,
    check_limit,
    list_caches,
    remove_cache,
)
from smil_ray.data.features.shard import ShardMaker, Tensors
from smil_ray.errors import DataError
from smil_ray.storage.node_cache import cache_root
from tests.data.features.feature_samples import COUNT, contents, make_key, maker

ROOT = Path(__file__).parents[3]


class Killed(BaseException):
    """Stands for the death of the process."""


class Counted:
    """Makes shards and remembers which; `die_at` raises instead."""

    def __init__(self, die_at: int = -1) -> None:
        self.key = make_key()
        self.made: list[range] = []
        self._make, self._die_at = maker(self.key), die_at

    def __call__(self, rows: range, between: Callable[[], None]) -> Tensors:
        if len(self.made) == self._die_at:
            raise Killed
        self.made.append(rows)
        return self._make(rows, between)


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    key = make_key()
    build(tmp_path / "whole", key, maker(key))
    return contents(tmp_path / "whole")


def test_build_again_does_nothing(tmp_path: Path) -> None:
    first, second = Counted(), Counted()
    build(tmp_path, first.key, first)
    build(tmp_path, second.key, second)
    assert [rows.start for rows in first.made] == [0, 3, 6, 9]
    assert not second.made


def test_build_that_died_goes_on_where_it_was(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder = tmp_path / "cache"
    with pytest.raises(Killed):
        build(folder, make_key(), Counted(die_at=2))
    assert not is_complete(folder)
    rest = Counted()
    build(folder, rest.key, rest)
    assert len(rest.made) == 2
    assert contents(folder) == whole


def test_builders_at_once_share_the_work(tmp_path: Path, whole: dict[str, bytes]) -> None:
    folder, builders = tmp_path / "cache", [Counted() for _ in range(3)]
    threads = [threading.Thread(target=build, args=(folder, b.key, b)) for b in builders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(rows.start for b in builders for rows in b.made) == [0, 3, 6, 9]
    assert contents(folder) == whole
    assert not list(folder.glob("features-*.lock"))
    assert not list(folder.glob(".*"))


def test_build_that_is_stopped_keeps_what_is_done(tmp_path: Path) -> None:
    made = Counted()
    hooks = BuildHooks(stop=lambda: len(made.made) == 2)
    with pytest.raises(BuildStoppedError):
        build(tmp_path, made.key, made, hooks)
    assert shard_path(tmp_path, 0).is_file()
    assert not is_complete(tmp_path)


def test_build_tells_how_far_it_is(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    key = make_key()
    build(tmp_path, key, maker(key), BuildHooks(lambda *now: told.append(now)))
    assert told[-1] == (COUNT, COUNT)


def test_build_in_another_cache_is_refused(tmp_path: Path) -> None:
    key, other = make_key(), make_key(weights_hash="other")
    build(tmp_path, key, maker(key))
    (tmp_path / "manifest.json").unlink()
    with pytest.raises(DataError, match="weights_hash"):
        build(tmp_path, other, maker(other))


def test_features_beyond_the_precision_are_refused(tmp_path: Path) -> None:
    key = make_key(precision="fp16")
    large = ShardMaker(key, maker(key)._read, lambda x: torch.full((len(x), key.width), 1e6), None)
    with pytest.raises(DataError, match="bf16"):
        build(tmp_path, key, large)


def test_limit_counts_every_cache_of_the_folder(tmp_path: Path) -> None:
    key, other = make_key(), make_key(data_hash="other")
    build(tmp_path / key.folder_name, key, maker(key))
    there = sum(entry.bytes for entry in list_caches(tmp_path))
    enough = (there + other.estimated_bytes) / 1e9
    check_limit(tmp_path, [other], 1.01 * enough)
    check_limit(tmp_path, [key], 1e-9)
    with pytest.raises(CacheLimitError, match="cache rm"):
        check_limit(tmp_path, [other], 0.99 * enough)


def test_limit_is_the_disk_as_well(tmp_path: Path) -> None:
    huge = make_key(samples=10**9, width=10**6)
    with pytest.raises(CacheLimitError, match="free in"):
        check_limit(tmp_path / "not" / "there", [huge], 1e12)


def test_list_and_remove_caches(tmp_path: Path) -> None:
    (tmp_path / "foreign").mkdir()
    keys = [make_key(), make_key(precision="fp16")]
    build(tmp_path / keys[0].folder_name, keys[0], maker(keys[0]))
    with pytest.raises(Killed):
        build(tmp_path / keys[1].folder_name, keys[1], Counted(die_at=1))
    found = {entry.key: entry for entry in list_caches(tmp_path)}
    assert [found[key].complete for key in keys] == [True, False]
    open_one = FeatureCache(tmp_path / keys[0].folder_name, keys[0])
    remove_cache(found[keys[0]])
    assert open_one.tokens([3]).isfinite().all()
    assert [path.name for path in tmp_path.iterdir()] == [
        path.name for path in tmp_path.iterdir() if path.name in ("foreign", keys[1].folder_name)
    ]


def test_cache_root_is_what_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMIL_RAY_CACHE", str(tmp_path / "by_environment"))
    assert cache_root(tmp_path / "given") == tmp_path / "given"
    assert cache_root() == tmp_path / "by_environment"
    monkeypatch.delenv("SMIL_RAY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_root() == tmp_path / "smil_ray"


BUILDER = """
import sys, time
from pathlib import Path
from tests.data.features.feature_samples import make_key, maker
from smil_ray.data.features.build import build

key = make_key(rows_per_shard=1)
make = maker(key)

left = int(sys.argv[2])

def slowly(rows, between):
    global left
    print(rows.start, flush=True)
    left -= 1
    if left == 0:
        time.sleep(3600)
    return make(rows, between)

build(Path(sys.argv[1]), key, slowly)
"""


def start_builder(folder: Path, stuck_at: int = 0) -> subprocess.Popen[str]:
    """Start a builder that says which files it begins; it never gets past one of them."""
    path = os.pathsep.join([str(ROOT), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", BUILDER, str(folder), str(stuck_at)],
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_killed_builder_is_replaced_by_the_one_beside_it(
    tmp_path: Path,
) -> None:
    key, folder = make_key(rows_per_shard=1), tmp_path / "cache"
    build(tmp_path / "whole", key, maker(key))
    with start_builder(folder, stuck_at=3) as victim:
        assert victim.stdout is not None
        made = [victim.stdout.readline() for _ in range(3)]
        with start_builder(folder) as other:
            assert other.stdout is not None
            made.append(other.stdout.readline())
            os.kill(victim.pid, signal.SIGKILL)
            made += [*victim.stdout, *other.stdout]
    assert other.returncode == 0
    assert victim.returncode == -signal.SIGKILL
    assert contents(folder) == contents(tmp_path / "whole")
    # What the dead one was at is done again, and nothing else.
    assert len(made) == COUNT + 1
    assert len(set(made)) == COUNT
    assert not list(folder.glob(".*"))


@pytest.mark.slow
def test_killed_builder_leaves_what_the_next_one_goes_on_with(tmp_path: Path) -> None:
    key, folder = make_key(rows_per_shard=1), tmp_path / "cache"
    build(tmp_path / "whole", key, maker(key))
    with start_builder(folder, stuck_at=4) as victim:
        assert victim.stdout is not None
        begun = [victim.stdout.readline() for _ in range(4)]
        os.kill(victim.pid, signal.SIGKILL)
        begun += victim.stdout
    assert victim.returncode == -signal.SIGKILL
    assert not is_complete(folder)
    done = [number for number in range(COUNT) if shard_path(folder, number).is_file()]
    assert 3 <= len(done) <= len(begun)
    rest = Counted()
    rest.key, rest._make = key, maker(key)
    build(folder, key, rest)
    assert [rows.start for rows in rest.made] == [n for n in range(COUNT) if n not in done]
    assert contents(folder) == contents(tmp_path / "whole")
    assert not list(folder.glob(".*"))
