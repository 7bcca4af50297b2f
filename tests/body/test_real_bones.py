"""The body model's chain against real bones: scales, offsets and rotations of replicAnt's JSON.

This pins the signs and units that the model applies (conventions_3d.md sections 2, 6 and 9): no
fit, no model of the animal. Every sample's own bone transforms go in as a shape, its own
rotations as a pose, and the 3D points have to come out.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from smil_ray.body import lbs
from smil_ray.body.smil_model import SmilModel
from smil_ray.core import rotations
from smil_ray.data.replicant import coordinates

SETS = {"replicAnt-x-SMIL-demo": 20, "replicAnt-x-SMIL-TEX": 5}
TOLERANCE_CM = {"replicAnt-x-SMIL-demo": 1e-6, "replicAnt-x-SMIL-TEX": 5e-6}
"""The JSON's seven digits of scale multiply along a limb's seven bones in the second set."""
BONE_UNIT = 0.01  # `transform.translation` is in 1/100 model units, y flipped.


def subjects(real_data: Path, name: str) -> list[dict[str, Any]]:
    """Keypoints of every sample of a set."""
    folder = real_data / "data" / "replicant" / name
    paths = [path for path in sorted(folder.glob("*.json")) if not path.name.startswith("_")]
    assert len(paths) >= SETS[name]
    frames = [json.loads(path.read_text())["iterationData"] for path in paths]
    return [next(iter(frame["subject Data"][0].values()))["keypoints"] for frame in frames]


def rows(joints: dict[str, Any], order: tuple[str, ...], *keys: str) -> np.ndarray:
    """One vector or quaternion of every joint."""
    found = []
    for name in order:
        value = joints[name]
        for key in keys:
            value = value[key]
        found.append([value[axis] for axis in "xyzw" if axis in value])
    return np.array(found)


def through_model(
    model: SmilModel, joints: dict[str, Any], translations: np.ndarray, scales: np.ndarray
) -> np.ndarray:
    """Joints by the package's kinematics, all offsets given as translations."""
    order = model.skeleton.joint_names
    root = coordinates.root_axis_angle(rows(joints, order, "globalRotation")[0])
    local = coordinates.local_axis_angle(rows(joints, order, "quaternion")[1:])
    matrices = rotations.axis_angle_to_matrix(torch.tensor(np.vstack([root, local])))
    plan = lbs.kinematic_plan(model.skeleton.parents, torch.device("cpu"))
    local_transforms = lbs.local_transforms(
        matrices,
        torch.zeros(model.n_joints, 3, dtype=torch.float64),
        torch.tensor(scales).log(),
        torch.tensor(translations * BONE_UNIT),
        plan,
        propagate_scaling=True,
    )
    return lbs.forward_kinematics(local_transforms, plan)[:, :3, 3].numpy()


@pytest.fixture(scope="module")
def insect() -> SmilModel:
    return SmilModel.builtin().to(dtype=torch.float64)


@pytest.mark.parametrize("name", SETS)
def test_bone_transforms_of_every_real_sample_give_its_3d_points(
    real_data: Path, insect: SmilModel, name: str
) -> None:
    order = insect.skeleton.joint_names
    for joints in subjects(real_data, name):
        translations = rows(joints, order, "transform", "translation")
        scales = rows(joints, order, "transform", "scale3D")
        found = through_model(insect, joints, translations, scales)
        points = coordinates.points_to_world(rows(joints, order, "3DPos"))
        error_cm = np.abs(found - (points - points[0])).max() / coordinates.UNITS_PER_CM
        assert error_cm < TOLERANCE_CM[name]


@pytest.mark.parametrize("name", SETS)
def test_global_rotation_of_every_real_child_is_the_parents_times_its_own(
    real_data: Path, insect: SmilModel, name: str
) -> None:
    order, parents = insect.skeleton.joint_names, list(insect.skeleton.parents[1:])
    for joints in subjects(real_data, name):
        world = rows(joints, order, "globalRotation")
        child, parent = Rotation.from_quat(world[1:]), Rotation.from_quat(world[parents])
        own = Rotation.from_quat(rows(joints, order, "quaternion")[1:])
        assert (child.inv() * parent * own).magnitude().max() < 1e-6


def test_real_bone_scales_are_isotropic_and_the_roots_is_one(
    real_data: Path, insect: SmilModel
) -> None:
    """Section 9: what makes it unimportant that the root is never scaled."""
    for joints in subjects(real_data, "replicAnt-x-SMIL-TEX"):
        scales = rows(joints, insect.skeleton.joint_names, "transform", "scale3D")
        assert np.ptp(scales, axis=1).max() < 2e-6
        np.testing.assert_allclose(scales[0], 1.0, atol=1e-6)
