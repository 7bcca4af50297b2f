"""A replicAnt folder looks like any other data set."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.replicant.reading import ReadOptions, find_entries, read_samples
from smil_ray.errors import DataError
from tests.data.hdf5.hdf5_samples import assert_same_labels
from tests.data.replicant import tiny_replicant as tiny


@pytest.fixture(scope="module")
def folder(real_data: Path) -> Path:
    return real_data / "data" / "replicant" / "replicAnt-x-SMIL-demo"


@pytest.fixture(scope="module")
def model(real_data: Path) -> SmilModel:
    return SmilModel.load(real_data / "models" / "SMILy_STICK.pkl")


def test_folder_is_opened_with_names_labels_and_size(folder: Path, model: SmilModel) -> None:
    dataset = SmilDataset.from_path(folder, model=model, input_size=96)
    assert len(dataset) == 20
    assert list(dataset.names) == sorted(dataset.names)
    assert dataset.presence_counts()["keypoints_2d"] == 20
    assert dataset.presence_counts()["mask"] == 0
    x, y = dataset[3]
    assert x["input_image_data"].shape == (96, 96, 3)
    assert y["joint_angles"].shape == (55, 3)


def test_presence_without_pictures_is_that_of_the_samples(
    real_data: Path, model: SmilModel
) -> None:
    for name in ("SMIL", "replicAnt-x-SMIL-TEX"):
        place = real_data / "data" / "replicant" / name
        dataset = SmilDataset.from_path(place, model=model, input_size=32)
        counts = dict.fromkeys(dataset.presence_counts(), 0)
        for sample in dataset.samples(range(len(dataset))):
            for label in sample.present:
                counts[label] += 1
        assert counts == dataset.presence_counts(), name


def test_broken_annotation_is_left_out_and_counted_and_picture_is_an_error(
    folder: Path, model: SmilModel, tmp_path: Path
) -> None:
    for path in sorted(folder.glob("*_0[0-3].*")):
        shutil.copy(path, tmp_path)
    (tmp_path / "replicAnt-x-SMIL-demo_00.json").write_text("{")
    picture = tmp_path / "replicAnt-x-SMIL-demo_01.JPG"
    picture.write_bytes(picture.read_bytes()[:5000])
    dataset = SmilDataset.from_path(tmp_path, model=model)
    assert len(dataset) == 3
    assert dataset.metadata["drop_counts"] == {"json_unreadable": 1}
    with pytest.raises(DataError, match=r"_01\.JPG"):
        dataset.sample(0)
    assert dataset.sample(1).name.endswith("_02")


def test_content_hash_changes_with_an_annotation(
    folder: Path, model: SmilModel, tmp_path: Path
) -> None:
    for path in sorted(folder.glob("*_0[0-1].*")):
        shutil.copy(path, tmp_path)
    before = SmilDataset.from_path(tmp_path, model=model).content_hash
    assert SmilDataset.from_path(tmp_path, model=model).content_hash == before
    path = tmp_path / "replicAnt-x-SMIL-demo_01.json"
    path.write_bytes(path.read_bytes().replace(b'"iteration"', b'"iteration" '))
    assert SmilDataset.from_path(tmp_path, model=model).content_hash != before


def test_folder_dataset_pickles(folder: Path, model: SmilModel) -> None:
    dataset = SmilDataset.from_path(folder, model=model, input_size=32)
    again = pickle.loads(pickle.dumps(dataset))
    assert_same_labels(again.sample(2), dataset.sample(2))
    np.testing.assert_array_equal(again.sample(2).image, dataset.sample(2).image)


def test_crop_of_a_folder_is_that_of_preprocessing(tmp_path: Path) -> None:
    folder = tmp_path / "set"
    for number in range(3):
        tiny.write(folder, f"a_{number:02d}", tiny.frame(seed=number))
    out = tiny.frame(seed=9)
    for joint in tiny.first(out)["keypoints"].values():
        joint["2DPos"]["x"] += 500.0
        del joint["3DPos"]
    tiny.write(folder, "a_03", out, mask=False)
    crop = CropConfig(mode="bbox", per_sample=2)
    dataset = SmilDataset.from_path(folder, input_size=48, crop=crop)
    whole = SmilDataset.from_path(folder, input_size=48)
    assert len(whole) == 4
    assert dataset.names == tuple(f"a_{n:02d}@{i}" for n in range(3) for i in (1, 2))
    assert dataset.groups == tuple(f"a_{n:02d}" for n in range(3) for _ in range(2))
    assert dataset.metadata["drop_counts"] == {"out_of_frame": 1}
    assert (dataset.crop, whole.crop) == (crop, CropConfig())
    assert dataset.content_hash != whole.content_hash
    entry = find_entries(folder)[0]
    expected = read_samples(entry, SmilModel.builtin(), ReadOptions(size=48, crop=crop)).samples
    for sample, other in zip(dataset.samples([0, 1]), expected, strict=True):
        assert sample.name == other.name
        np.testing.assert_array_equal(sample.keypoints_2d, other.keypoints_2d)
        np.testing.assert_array_equal(sample.image, other.image)
