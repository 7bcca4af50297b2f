"""Labelled photographs through the job on Ray: the same file for any number of workers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from smil_ray.config import LabelConfig
from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import ConfigError
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.preprocess.job import preprocess
from smil_ray.orchestration.preprocess.plan import PreprocessOptions
from tests.data.labels.label_files import dots, labels_of, moved, write_pictures, write_video
from tests.data.labels.label_files import video_labels as labels_of_video

pytestmark = [
    pytest.mark.ray,
    # Ray Data warns about its own settings when it makes its context.
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]
N = 6


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A file with picture files and a file with a video."""
    folder = tmp_path_factory.mktemp("labels")
    frames = [moved(float(number)) for number in range(N)]
    pictures = write_pictures(folder / "walk", frames)
    labels_of(pictures, [[points] for points in frames]).save(
        str(folder / "a.slp"), embed=False, verbose=False
    )
    video = write_video(folder / "v.mp4", [dots(points) for points in frames])
    named = {n: frames[n] for n in range(0, N, 2)}
    labels_of_video(video, named).save(str(folder / "b.slp"), embed=False, verbose=False)
    return [folder / "a.slp", folder / "b.slp"]


@pytest.fixture(scope="module")
def local_ray() -> Iterator[None]:
    with start_ray("local", num_cpus=2):
        yield


def options(**changes: object) -> PreprocessOptions:
    values = {"size": 32, "min_visible_keypoints": 2, "chunk_size": 2, **changes}
    return PreprocessOptions.model_validate(values)


def test_content_does_not_depend_on_the_number_of_workers(
    local_ray: None, labels: list[Path], tmp_path: Path
) -> None:
    reports = [
        preprocess(labels, tmp_path / f"{n}.h5", options(num_workers=n, crop="bbox"))
        for n in (1, 2)
    ]
    assert reports[0].content_hash == reports[1].content_hash
    assert (reports[0].kept, reports[0].dropped) == (N + N // 2, {})
    data = SmilDataset.from_path(tmp_path / "1.h5")
    assert len(set(data.groups)) == 2
    assert data.presence_counts() == {
        name: len(data) if name == "keypoints_2d" else 0 for name in data.presence_counts()
    }
    sample = data.sample(0)
    assert np.isnan(sample.intrinsics[:2]).all()
    assert np.isfinite(sample.intrinsics[2:]).all()


def test_a_wrong_joint_map_stops_the_job_at_once(labels: list[Path], tmp_path: Path) -> None:
    config = LabelConfig(joint_map={"b_t": "b_tt"})
    with pytest.raises(ConfigError, match="no joint 'b_tt'"):
        preprocess(labels, tmp_path / "a.h5", options(labels=config))
    assert not list(tmp_path.iterdir())
