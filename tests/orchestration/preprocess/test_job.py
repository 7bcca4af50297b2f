"""The whole job on Ray: any number of workers, any interruption, one result."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray

from smil_ray.data.dataset import SmilDataset
from smil_ray.data.hdf5.store import Hdf5Source, verify
from smil_ray.errors import ConfigError, DataError
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.preprocess._progress import Progress
from smil_ray.orchestration.preprocess.job import preprocess
from tests.orchestration.preprocess.preprocess_data import break_entries, options, write_folder

pytestmark = [
    pytest.mark.ray,
    pytest.mark.usefixtures("local_ray"),
    # Ray Data warns about its own settings when it makes its context.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
N = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_folder(tmp_path_factory.mktemp("job") / "set", N)


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with start_ray("local", num_cpus=4):
        yield


@pytest.fixture(scope="module")
def reference(local_ray: None, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    output = tmp_path_factory.mktemp("reference") / "a.h5"
    return preprocess([folder], output, options(num_workers=1)).content_hash


@pytest.mark.slow
@pytest.mark.parametrize("workers", [2, 4])
def test_content_does_not_depend_on_the_number_of_workers(
    reference: str, folder: Path, tmp_path: Path, workers: int
) -> None:
    seen: list[Progress] = []
    output = tmp_path / "a.h5"
    report = preprocess([folder], output, options(num_workers=workers), progress=seen.append)
    assert report.content_hash == reference == verify(output)
    assert (report.kept, report.entries, report.resumed, report.dropped) == (N, N, 0, {})
    assert [progress.done for progress in seen][-1] == seen[-1].total == N
    assert list(tmp_path.iterdir()) == [output]


@pytest.mark.slow
def test_several_inputs_go_into_one_file(folder: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "other", 5, name="more", seed=9)
    report = preprocess([folder, other], tmp_path / "a.h5", options(num_workers=2))
    dataset = SmilDataset.from_path(tmp_path / "a.h5")
    assert report.kept == len(dataset) == N + 5
    assert dataset.names[0] == "other/more_00"
    assert dataset.names[-1] == f"set/tiny_{N - 1}"


def test_broken_entries_are_reported_or_too_many(folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "set"
    shutil.copytree(folder, broken)
    reasons = break_entries(broken)
    report = preprocess([broken], tmp_path / "a.h5", options(num_workers=2))
    assert report.kept == N - len(reasons)
    assert report.dropped["image_unreadable"] == 2
    strict = options(num_workers=2, max_error_fraction=0.1)
    with pytest.raises(DataError, match=r"of 40 entries cannot be read.*at most 10%.*doctor"):
        preprocess([broken], tmp_path / "b.h5", strict)
    assert not (tmp_path / "b.h5").exists()
    allowed = options(num_workers=2, max_error_fraction=0.5, resume=True)
    again = preprocess([broken], tmp_path / "b.h5", allowed)
    assert again.content_hash == report.content_hash
    assert again.resumed > 0


@pytest.mark.slow
def test_nothing_left_after_filtering_is_an_error(folder: Path, tmp_path: Path) -> None:
    strict = options(silhouette_threshold=1.0, num_workers=2)
    with pytest.raises(DataError, match=r"no sample of .* is left.*40 x the silhouette covers"):
        preprocess([folder], tmp_path / "a.h5", strict)


def test_unknown_ignored_joint_is_refused_before_any_work(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"unknown joint 'b_a_9'"):
        preprocess([folder], tmp_path / "a.h5", options(ignored_joints=("b_a_9",)))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_finished_output_is_not_made_again_on_resume(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.h5"
    first = preprocess([folder], output, options(num_workers=2))
    written = output.stat().st_mtime_ns
    again = preprocess([folder], output, options(num_workers=2, resume=True))
    assert again.content_hash == first.content_hash
    assert output.stat().st_mtime_ns == written
    assert again.resumed == N


@pytest.mark.slow
def test_failure_to_write_in_a_worker_is_one_sentence(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "a.h5"
    parts = tmp_path / "a.h5.parts"

    def block(progress: Progress) -> None:
        # The folder vanishes under the workers, as a share that is unmounted does.
        shutil.rmtree(parts, ignore_errors=True)

    with pytest.raises(DataError, match=r"a\.h5"):
        preprocess([folder], output, options(num_workers=1, chunk_size=1), progress=block)
    assert not output.exists()


@pytest.mark.slow
@pytest.mark.parametrize("moment", [0, 1, 2])
def test_killed_and_resumed_gives_the_same_content(
    reference: str, folder: Path, tmp_path: Path, moment: int
) -> None:
    """The first one has a Ray of its own, which dies with it; the others leave theirs alive."""
    output = tmp_path / "a.h5"
    chance = random.Random(moment)
    wanted = chance.randrange(1 + 5 * moment, 5 + 5 * moment)
    address = "local" if moment == 0 else ray.get_runtime_context().gcs_address
    with _start(folder, output, address, wanted) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"{wanted} shards\n"
        time.sleep(chance.uniform(0.0, 0.1))
        os.killpg(process.pid, signal.SIGKILL)
    assert not output.exists()
    resumed = options(num_workers=2, chunk_size=2, resume=True)
    report = preprocess([folder], output, resumed)
    assert report.content_hash == reference
    assert 0 < report.resumed <= N
    assert list(tmp_path.iterdir()) == [output]
    assert Hdf5Source(output).names == tuple(f"tiny_{i:02d}" for i in range(N))


def _start(folder: Path, output: Path, address: str, wanted: int) -> "subprocess.Popen[str]":
    """Start the job in a session of its own, with many small shards.

    Its driver says so when it has heard of `wanted` of them, and does no more; its workers do.
    """
    code = (
        "import time\n"
        "from pathlib import Path\n"
        "from tests.orchestration.preprocess.preprocess_data import options\n"
        "from smil_ray.orchestration.preprocess.job import preprocess\n"
        "def wait_for_the_end(progress):\n"
        f"    if progress.done == 2 * {wanted}:\n"
        f"        print('{wanted} shards', flush=True)\n"
        "        time.sleep(3600)\n"
        f"preprocess([Path({str(folder)!r})], Path({str(output)!r}),\n"
        f"           options(num_workers=2, chunk_size=2, address={address!r}),\n"
        "           progress=wait_for_the_end)\n"
    )
    place = {"PYTHONPATH": str(Path(__file__).parents[3])}
    return subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, **place},
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
