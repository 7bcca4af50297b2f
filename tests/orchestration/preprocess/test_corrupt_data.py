"""A data set corrupted in many ways: the doctor names each, preprocessing skips each and ends."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.doctor.examination import examine
from smil_ray.data.doctor.report import DoctorReport
from smil_ray.data.hdf5.store import Hdf5Source, read_drops, verify
from smil_ray.data.synthetic.samples import SynthOptions
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.doctor import examine_in_parallel
from smil_ray.orchestration.preprocess.job import preprocess
from smil_ray.orchestration.synth import synthesize
from tests.orchestration.preprocess.corruptions import DROPPED, MISFITS, other_mask, second_file
from tests.orchestration.preprocess.preprocess_data import options

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
SIZE, N = 128, 34
SCENE = SynthOptions(
    samples=N,
    image_size=SIZE,
    seed=3,
    name="bad",
    clutter=0.0,
    occlusion=0.0,
    out_of_frame=0.0,
    motion_blur=0.0,
    noise=0.0,
    least_fill=0.6,
)
"""Pictures so clear that swapped ones can be told."""


@dataclass(frozen=True)
class Corrupted:
    """A data set before and after, and what must be said of which sample."""

    whole: Path
    folder: Path
    dropped: dict[str, str]
    misfits: dict[str, str]
    empty_mask: str
    twice: str
    swapped: tuple[str, str]

    @property
    def good(self) -> set[str]:
        bad = {*self.dropped, *self.misfits, self.empty_mask, *self.swapped}
        return {f"bad_{i:02d}" for i in range(N)} - bad


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Corrupted:
    place = tmp_path_factory.mktemp("corrupt")
    whole, folder = place / "whole", place / "set"
    synthesize(whole, SCENE, num_workers=1)
    shutil.copytree(whole, folder)
    stems = iter(f"bad_{i:02d}" for i in range(N))
    dropped, misfits = {}, {}
    for corrupt, reason in DROPPED.values():
        dropped[stem := next(stems)] = reason
        corrupt(folder, stem)
    for corrupt, kind in MISFITS.values():
        misfits[stem := next(stems)] = kind
        corrupt(folder, stem)
    other_mask(SIZE)(folder, empty_mask := next(stems))
    second_file(folder, twice := next(stems))
    a, b = next(stems), next(stems)
    shutil.copy(whole / f"{a}.JPG", folder / f"{b}.JPG")
    shutil.copy(whole / f"{b}.JPG", folder / f"{a}.JPG")
    return Corrupted(whole, folder, dropped, misfits, empty_mask, twice, (a, b))


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    with start_ray("local", num_cpus=2):
        yield


@pytest.fixture(scope="module")
def report(data: Corrupted) -> DoctorReport:
    return examine_in_parallel(data.folder, SmilModel.builtin(), num_workers=2)


def test_at_least_fifteen_ways_are_tried(data: Corrupted) -> None:
    assert len(data.dropped) + len(data.misfits) + 3 >= 15
    assert len(data.good) >= 5


def test_doctor_in_parallel_says_what_it_says_alone(data: Corrupted, report: DoctorReport) -> None:
    assert report == examine(data.folder, SmilModel.builtin())


def test_doctor_names_each_corruption_and_nothing_else(
    data: Corrupted, report: DoctorReport
) -> None:
    for name, reason in (data.dropped | data.misfits).items():
        assert name in report.names(reason), (name, reason)
    assert report.names("empty_mask") == (data.empty_mask,)
    assert report.names("duplicate_name") == (data.twice,)
    assert report.names("swapped_images") == data.swapped
    assert data.good - {data.twice} <= set(report.good_names)
    assert not {finding.name for finding in report.findings} & (data.good - {data.twice})
    assert report.exit_code == 1


def test_preprocess_skips_each_with_its_reason_and_leaves_the_others_alone(
    data: Corrupted, tmp_path: Path
) -> None:
    chosen = options(num_workers=2, max_error_fraction=1.0, min_visible_keypoints=5)
    preprocess([data.whole], tmp_path / "whole.h5", chosen)
    found = preprocess([data.folder], tmp_path / "a.h5", chosen)
    expected = data.dropped | {data.empty_mask: "few_keypoints", data.twice: "duplicate_name"}
    drops = read_drops(tmp_path / "a.h5")
    assert {drop.name: drop.reason for drop in drops} == expected
    assert sum(found.dropped.values()) == len(expected)
    for kind in data.misfits.values():
        assert sum(n for note, n in found.notes.items() if note.startswith(kind)) == 1, kind
    verify(tmp_path / "a.h5")
    assert found.kept == N - len(data.dropped) - 1
    assert same_content(tmp_path / "whole.h5", tmp_path / "a.h5", data.good)


def test_preprocess_leaves_out_what_the_doctor_found_wrong_with_the_doctors_reason(
    data: Corrupted, report: DoctorReport, tmp_path: Path
) -> None:
    listed = tmp_path / "report.json"
    listed.write_text(report.to_json())
    chosen = options(num_workers=2, max_error_fraction=0.0, only=listed)
    preprocess([data.folder], tmp_path / "a.h5", chosen)
    reasons = {drop.name: drop.reason for drop in read_drops(tmp_path / "a.h5")}
    assert data.dropped.items() <= reasons.items()
    assert [reasons[name] for name in data.swapped] == ["swapped_images"] * 2
    assert preprocess([data.whole], tmp_path / "whole.h5", chosen).kept
    assert same_content(tmp_path / "whole.h5", tmp_path / "a.h5", data.good - {data.twice})


def same_content(whole: Path, other: Path, names: set[str]) -> bool:
    """Return whether every named sample is in both files with the same digest."""
    a, b = Hdf5Source(whole), Hdf5Source(other)
    digests = [source.columns["auxiliary/sample_sha256"] for source in (a, b)]
    return all(
        np.array_equal(digests[0][a.names.index(name)], digests[1][b.names.index(name)])
        for name in names
    )
