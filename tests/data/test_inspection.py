"""What `inspect` says and shows."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smil_ray.core.batch import Sample
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.hdf5.merge import StoreSize, merge
from smil_ray.data.hdf5.schema import Drop
from smil_ray.data.hdf5.table import encode_samples
from smil_ray.data.inspection import PANEL, describe, draw_labels, label_sheet
from smil_ray.render.overlay import PREDICTED_COLOR, TRUE_COLOR
from tests.data.hdf5.hdf5_samples import EVERY_LABEL, make_sample, store_info

DROPS = [
    Drop("set/x_1", "image_damaged", "x_1.JPG: damaged JPEG"),
    Drop("set/x_2", "few_keypoints", "", is_error=False),
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    samples = [make_sample(i, present=EVERY_LABEL - {"betas"} if i < 2 else EVERY_LABEL)
               for i in range(6)]  # fmt: skip
    info = replace(store_info(), notes={"shape betas: 13": 2})
    table = encode_samples(samples, info, 95)
    merge([table], StoreSize.of(table), tmp_path / "a.h5", info, DROPS)
    return tmp_path / "a.h5"


def test_description_names_schema_counts_labels_reasons_settings_and_hash(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    text = describe(dataset, file)
    for part in (
        "schema version 2",
        "6 in 3 groups",
        dataset.content_hash,
        "4  betas\n",
        "6  trans (all)",
        "1  image_damaged: the picture is truncated",
        "x_1.JPG: damaged JPEG",
        "1  few_keypoints: fewer",
        "2  shape betas: 13",
        "jpeg_quality",
        "images/rgb_jpeg",
    ):
        assert part in text, part


def test_sheet_shows_at_most_as_many_samples_as_there_are(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    few, all_of_them = label_sheet(dataset, 3, columns=3), label_sheet(dataset, 50, columns=3)
    assert few.shape[1] == all_of_them.shape[1] >= 3 * PANEL
    assert PANEL <= few.shape[0] < 2 * PANEL <= all_of_them.shape[0] < 3 * PANEL


def test_drawn_labels_are_where_the_sample_has_them() -> None:
    black = np.zeros((100, 100, 3), np.uint8)
    mask = np.zeros((100, 100), np.uint8)
    mask[60:90, 60:90] = 255
    xy = np.array([[0.25, 0.25], [0.25, 0.75], [np.nan, np.nan], [2.5, 0.5]], np.float32)
    seen = np.array([True, False, False, False])
    sample = Sample(**{**vars(make_sample(0)), "image": black, "mask": mask,
                       "keypoints_2d": xy, "keypoint_visibility": seen})  # fmt: skip
    picture = draw_labels(sample, Skeleton(("a", "b", "c", "d"), (-1, 0, 1, 2)), edge=200)
    assert tuple(picture[50, 50]) == PREDICTED_COLOR
    ring = picture[140:160, 40:60].reshape(-1, 3).astype(int)
    assert ((np.ptp(ring, axis=1) < 3) & (ring[:, 0] > 50)).any(), "a grey ring"
    assert (picture[118:122, 150] == TRUE_COLOR).all(axis=1).any()
    assert not picture[150, 150].any()
