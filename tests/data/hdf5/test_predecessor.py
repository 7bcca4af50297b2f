"""A predecessor's file is read with colours, order of coordinates, units and frame put right."""

import multiprocessing
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.core.batch import collate, stack_labels
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.hdf5.predecessor import is_predecessor_file
from smil_ray.errors import DataError

N, SIZE = 3, 32
SPOT = (0.25, 0.75)
"""Where the red spot of the pictures is, (x, y) as fractions."""


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


def picture() -> np.ndarray:
    """A black picture with a red spot, RGB."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    column, row = (int(value * SIZE) for value in SPOT)
    image[row - 4 : row + 4, column - 4 : column + 4, 0] = 255
    return image


def labels_of(model: SmilModel) -> dict[str, np.ndarray]:
    """Labels in the package's root frame, model units, whose joint 5 lies on the red spot."""
    rng = np.random.default_rng(0)
    joint_rot = rng.normal(scale=0.2, size=(N, model.n_joints - 1, 3))
    rotation = torch.tensor(np.concatenate([np.zeros((N, 1, 3)), joint_rot], axis=1))
    matrices = rotations.axis_angle_to_matrix(rotation)
    shaped = model.to(dtype=torch.float64).with_shape(torch.zeros(model.n_betas).double())
    points = shaped.with_pose(matrices, torch.zeros(N, 3).double()).joints.numpy()
    fov = np.full((N, 1), 40.0)
    focal = 0.5 / np.tan(np.radians(20.0))
    target = np.stack([-(SPOT[0] - 0.5) / focal * 9, -(SPOT[1] - 0.5) / focal * 9, 9.0])
    cam_rot = np.stack([np.eye(3)] * N)
    cam_trans = target - points[:, 5]
    cam = points + cam_trans[:, None]
    keypoints_2d = 0.5 - focal * cam[..., :2] / cam[..., 2:]
    return {
        "joint_rot": joint_rot,
        "points": points,
        "fov": fov,
        "cam_rot": cam_rot,
        "cam_trans": cam_trans,
        "keypoints_2d": keypoints_2d,
    }


def write_legacy(path: Path, model: SmilModel, representation: str = "6d") -> dict[str, Any]:
    """Write the predecessor's layout with its quirks; return the labels that were meant."""
    labels = labels_of(model)
    joint_rot = labels["joint_rot"]
    global_rot = np.zeros((N, 3))
    if representation == "6d":
        joint_rot, global_rot = (
            rotations.axis_angle_to_6d(torch.tensor(values)).numpy()
            for values in (joint_rot, global_rot)
        )
    # The predecessor gives RGB to an encoder that expects BGR: red and blue change places.
    swapped = cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_QUALITY, 95])[1].ravel()
    with h5py.File(path, "w") as file:
        metadata = file.create_group("metadata")
        metadata.attrs.update(total_samples=N, target_resolution=SIZE, jpeg_quality=95)
        metadata.attrs["rotation_representation"] = representation
        images = file.create_group("images")
        rgb = images.create_dataset("rgb_jpeg", (N,), h5py.vlen_dtype(np.uint8), chunks=(2,))
        for i in range(N):
            rgb[i] = swapped
        masks = np.zeros((N, 1, SIZE, SIZE), np.uint8)
        masks[1:, 0, 4:20, 4:20] = 1
        images.create_dataset("silhouette_masks", data=masks, chunks=(1, 1, SIZE, SIZE))
        centimetres = {
            "global_rot": global_rot,
            "joint_rot": joint_rot,
            "betas": np.ones((N, model.n_betas)),
            "trans": np.zeros((N, 3)),
            "fov": labels["fov"],
            "cam_rot": labels["cam_rot"],
            "cam_trans": labels["cam_trans"] * 10,
            "scale_weights": np.full(N, np.nan),
            "trans_weights": np.full(N, np.nan),
        }
        for name, values in centimetres.items():
            file[f"parameters/{name}"] = values.astype(np.float32)
        points = labels["points"] * 10
        points[:, 7] = 0.0
        file["keypoints/keypoints_3d"] = points.astype(np.float32)
        file["keypoints/keypoints_2d"] = labels["keypoints_2d"][..., ::-1].astype(np.float32)
        visibility = np.ones((N, model.n_joints), np.float32)
        file["keypoints/keypoint_visibility"] = visibility
        paths = [f"/somewhere/set/set_{i:02d}.JPG" for i in range(N)]
        file.create_dataset("auxiliary/original_paths", data=paths, dtype=h5py.string_dtype())
    return labels


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory, model: SmilModel) -> Path:
    path = tmp_path_factory.mktemp("legacy") / "old.h5"
    write_legacy(path, model)
    return path


@pytest.mark.parametrize("representation", ["6d", "axis_angle"])
def test_labels_are_put_into_our_frame_units_and_order(
    tmp_path: Path, model: SmilModel, representation: str
) -> None:
    labels = write_legacy(tmp_path / "old.h5", model, representation)
    samples = SmilDataset.from_path(tmp_path / "old.h5").samples(range(N))
    for i, sample in enumerate(samples):
        np.testing.assert_allclose(sample.joint_rot, labels["joint_rot"][i], atol=1e-5)
        np.testing.assert_allclose(sample.keypoints_2d[5], SPOT, atol=1e-5)
        np.testing.assert_allclose(sample.cam_trans, labels["cam_trans"][i], atol=1e-5)
        assert sample.keypoint_presence.sum() == model.n_joints - 1
        assert np.isnan(sample.keypoints_3d[7]).all()
        assert sample.keypoint_presence[0]


def test_labels_without_pictures_are_those_of_the_samples(file: Path, model: SmilModel) -> None:
    dataset = SmilDataset.from_path(file, model=model)
    expected = stack_labels(dataset.samples([2, 0]))
    found = dataset.labels([2, 0])
    assert set(found) == set(expected)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-6, atol=0, equal_nan=True)


def test_pose_and_camera_reproject_onto_the_keypoints(file: Path, model: SmilModel) -> None:
    samples = SmilDataset.from_path(file, model=model).samples(range(N))
    zero = np.zeros(model.n_betas, np.float32)
    batch = collate([replace(sample, betas=zero) for sample in samples])
    joints = model.pose(batch.target).joints
    focal = batch.intrinsics[:, None, :2]
    points = batch.intrinsics[:, None, 2:] - focal * joints[..., :2] / joints[..., 2:]
    seen = batch.keypoint_presence
    torch.testing.assert_close(points[seen], batch.keypoints_2d[seen], atol=1e-4, rtol=0)


def test_red_spot_is_red_and_under_its_keypoint(file: Path) -> None:
    image = SmilDataset.from_path(file).sample(0).image
    column, row = (int(value * SIZE) for value in SPOT)
    red, green, blue = image[row, column].astype(int)
    assert red > 200
    assert max(green, blue) < 60


def test_what_the_file_lacks_is_absent(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    counts = dataset.presence_counts()
    assert (counts["scale_weights"], counts["mask"], counts["betas"]) == (0, N - 1, N)
    assert dataset.sample(0).mask is None
    mask = dataset.sample(1).mask
    assert mask is not None
    assert set(np.unique(mask)) == {0, 255}
    assert dataset.names == ("set_00", "set_01", "set_02")


def test_model_with_other_joints_is_refused(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "old.h5"
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "r+") as opened:
        del opened["parameters/joint_rot"]
        opened["parameters/joint_rot"] = np.zeros((N, 30, 6), np.float32)
    with pytest.raises(DataError, match=r"joint_rot.*55 joints.*found 31 joints"):
        SmilDataset.from_path(copy)


def test_missing_group_is_named(file: Path, tmp_path: Path) -> None:
    copy = tmp_path / "old.h5"
    copy.write_bytes(file.read_bytes())
    with h5py.File(copy, "r+") as opened:
        del opened["keypoints"]
    with pytest.raises(DataError, match=r"old\.h5: keypoints/keypoints_2d"):
        SmilDataset.from_path(copy)


def _first_sum(dataset: SmilDataset) -> int:
    return int(dataset.sample(0).image.sum())


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_file_that_is_open_can_be_pickled_and_forked(file: Path) -> None:
    dataset = SmilDataset.from_path(file)
    expected = _first_sum(dataset)
    assert _first_sum(pickle.loads(pickle.dumps(dataset))) == expected
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_first_sum, (dataset,)) == expected


def test_our_own_file_is_not_taken_for_the_predecessors(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as opened:
        opened.create_group("metadata").attrs["schema_version"] = 1
    assert not is_predecessor_file(tmp_path / "a.h5")
