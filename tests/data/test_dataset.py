"""One data set for every source and process (data_format section 8)."""

import multiprocessing
import pickle
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Sample, collate, stack_labels
from smil_ray.data.dataset import SmilDataset, UnifiedSMILDataset, default_input_size
from smil_ray.data.hdf5.merge import write_shard
from smil_ray.data.hdf5.table import encode_samples
from smil_ray.errors import ConfigError, DataError
from tests.data.hdf5.hdf5_samples import (
    EVERY_LABEL,
    SIZE,
    assert_same_labels,
    make_sample,
    store_info,
)

N = 10


def write(path: Path, samples: list[Sample]) -> Path:
    info = store_info(input_size=samples[0].image.shape[0])
    write_shard(path, encode_samples(samples, info, 95), info)
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = [
        make_sample(i, present=EVERY_LABEL - {"betas", "mask"} if i < 3 else EVERY_LABEL)
        for i in range(N)
    ]
    return write(tmp_path_factory.mktemp("dataset") / "a.h5", samples)


def test_file_gives_names_groups_counts_and_metadata(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    assert len(dataset) == N
    assert dataset.names[0] == "set/s_00000"
    assert dataset.groups[0] == dataset.groups[1]
    assert dataset.presence_counts()["betas"] == N - 3
    assert dataset.presence_counts()["camera"] == N
    assert (dataset.n_betas, dataset.input_size) == (3, SIZE)
    assert dataset.metadata["settings"] == {"jpeg_quality": 95}
    assert dataset.skeleton.n_joints == 4
    assert UnifiedSMILDataset is SmilDataset


def test_item_has_the_keys_and_shapes_of_the_seed(file: Path) -> None:
    x, y = SmilDataset.from_path(file)[5]
    assert x["input_image_data"].shape == (SIZE, SIZE, 3)
    assert 0.0 <= x["input_image_data"].min() <= x["input_image_data"].max() <= 1.0
    assert x["input_image_mask"].shape == (SIZE, SIZE)
    assert y["joint_angles"].shape == (4, 3)
    assert y["keypoint_visibility"].shape == (4,)
    x, y = SmilDataset.from_path(file)[-N]
    assert x["input_image_mask"] is None
    assert "shape_betas" not in y


def test_batched_read_equals_single_reads(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    wanted = [4, 3, 9, 3, -1]
    for sample, index in zip(dataset.samples(wanted), wanted, strict=True):
        assert_same_labels(sample, dataset.sample(index))
        np.testing.assert_array_equal(sample.image, dataset.sample(index).image)


def test_labels_without_pictures_are_those_of_the_samples(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    wanted = [4, 0, 9, 4, -1]
    expected = stack_labels(dataset.samples(wanted))
    found = dataset.labels(wanted)
    assert set(found) == set(expected)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=0, atol=0, equal_nan=True)


def test_index_out_of_range_is_an_index_error(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    for index in (N, -N - 1):
        with pytest.raises(IndexError, match=str(N)):
            dataset.sample(index)


def test_other_input_size_resizes_picture_and_mask(file: Path) -> None:
    dataset = SmilDataset.from_path(file, input_size=8)
    sample = dataset.sample(4)
    assert sample.image.shape == (8, 8, 3)
    assert sample.mask is not None
    assert sample.mask.shape == (8, 8)
    assert dataset.input_size == 8


@pytest.mark.parametrize(
    "setting", [{"rotation_representation": "euler"}, {"reference_frame": ""}]
)
def test_unknown_setting_is_refused(file: Path, setting: dict) -> None:
    with pytest.raises(ConfigError, match=next(iter(setting))):
        SmilDataset.from_path(file, **setting)


def test_model_with_other_joints_is_refused(file: Path) -> None:
    with pytest.raises(DataError, match=r"joints are not those.*builtin.*55 joints.*found 4"):
        SmilDataset.from_path(file, model=SmilModel.builtin())


def test_nothing_there_is_a_data_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        SmilDataset.from_path(tmp_path / "none.h5")
    with pytest.raises(DataError, match="no replicAnt annotation"):
        SmilDataset.from_path(tmp_path)


def test_pickle_is_small_and_reads_the_same(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    data = pickle.dumps(dataset)
    assert len(data) < 3000
    assert_same_labels(pickle.loads(data).sample(4), dataset.sample(4))


def test_file_that_was_replaced_since_is_refused_by_a_new_process(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", [make_sample(0), make_sample(1)])
    dataset = SmilDataset.from_path(path)
    data = pickle.dumps(dataset)
    write(path, [make_sample(2)])
    assert_same_labels(dataset.sample(1), make_sample(1))
    with pytest.raises(DataError, match="changed while it was in use"):
        pickle.loads(data)


def test_test_card_keeps_its_colours(tmp_path: Path) -> None:
    card = np.zeros((32, 32, 3), np.uint8)
    card[:, :10, 0], card[:, 11:21, 1], card[:, 22:, 2] = 255, 255, 255
    sample = make_sample(0, size=32)
    path = write(tmp_path / "card.h5", [Sample(**{**vars(sample), "image": card})])
    image = SmilDataset.from_path(path)[0][0]["input_image_data"]
    for column, channel in ((4, 0), (16, 1), (28, 2)):
        assert image[16, column, channel] > 0.9
        assert image[16, column].sum() < 1.3


def test_read_only_folder_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    path = write(folder / "a.h5", [make_sample(0)])
    path.chmod(0o444)
    folder.chmod(0o555)
    try:
        assert len(SmilDataset.from_path(path)) == 1
    finally:
        folder.chmod(0o755)


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_loader_processes_give_what_the_file_has(file: Path, method: str) -> None:
    dataset = SmilDataset.from_path(file)
    dataset.sample(0)
    loader = DataLoader(
        dataset.view(range(N)),
        batch_size=4,
        collate_fn=partial(collate, reference_frame="camera"),
        num_workers=2,
        multiprocessing_context=method,
    )
    batches = list(loader)
    expected = collate(dataset.samples(range(N)), "camera")
    assert [name for batch in batches for name in batch.names] == list(dataset.names)
    images = torch.cat([batch.image for batch in batches])
    assert expected.image is not None
    assert torch.equal(images, expected.image)
    found = torch.cat([batch.keypoints_2d for batch in batches])
    torch.testing.assert_close(found, expected.keypoints_2d, equal_nan=True)


def _read_all(path: str) -> float:
    dataset = SmilDataset.from_path(path)
    return float(sum(sample.image.sum() for sample in dataset.samples(range(len(dataset)))))


@pytest.mark.slow
def test_two_processes_read_one_file_while_another_is_written(file: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(2) as pool:
        running = pool.map_async(_read_all, [str(file)] * 4)
        for i in range(5):
            write(tmp_path / "other.h5", [make_sample(i)])
            write(file.parent / "beside.h5", [make_sample(i)])
        sums = running.get(timeout=120)
    assert set(sums) == {_read_all(str(file))}


def test_input_size_follows_the_name_of_the_backbone() -> None:
    sizes = {
        "vit_large_patch16_224": 224,
        "vit_base_patch16_384.augreg": 384,
        "resnet152": 512,
        "mobilenetv3_small_100": 224,
        None: 224,
    }
    for name, size in sizes.items():
        assert default_input_size(name) == size, name


def test_resizing_keeps_the_picture(tmp_path: Path) -> None:
    sample = make_sample(1, size=64)
    path = write(tmp_path / "a.h5", [sample])
    small = SmilDataset.from_path(path, input_size=32).sample(0).image
    expected = cv2.resize(sample.image, (32, 32), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - expected).mean() < 3
