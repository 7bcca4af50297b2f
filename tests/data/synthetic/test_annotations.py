"""The writer's conversion against replicAnt's conventions, on real and synthetic samples.

`check_conventions` states what every replicAnt annotation satisfies; real samples pass it, and
synthetic ones must as well.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from smil_ray.data.synthetic.animal import RenderBody
from smil_ray.data.synthetic.annotations import (
    CameraTruth,
    SubjectTruth,
    camera_fields,
    iteration_data,
    unreal_euler_deg,
)
from smil_ray.data.synthetic.samples import SynthOptions, render_sample

angles = st.floats(-3.1, 3.1)
vectors = st.tuples(angles, angles, angles).map(np.array)


def vector(fields: dict[str, float], names: str = "xyz") -> np.ndarray:
    return np.array([fields[name] for name in names], dtype=np.float64)


def rotation(fields: dict[str, float]) -> Rotation:
    return Rotation.from_quat(vector(fields, "xyzw"))


def matrix(planes: dict[str, Any]) -> np.ndarray:
    return np.stack([vector(planes[f"{axis}Plane"], "xyzw") for axis in "xyzw"])


def check_camera(camera: dict[str, Any]) -> None:
    view = matrix(camera["View Matrix"])
    np.testing.assert_allclose(view[:3, :3] @ view[:3, :3].T, np.eye(3), atol=1e-6)
    assert np.linalg.det(view[:3, :3]) > 0.0
    np.testing.assert_allclose(view[3, :3], -vector(camera["Location"]) @ view[:3, :3], atol=1e-9)
    turn = camera["Rotation"]
    pitch, yaw, roll = (math.radians(turn[name]) for name in ("pitch", "yaw", "roll"))
    # Unreal's rotator: roll about -x, then pitch about -y, then yaw about +z.
    axes = Rotation.from_euler("xyz", [-roll, -pitch, yaw]).as_matrix()
    np.testing.assert_allclose(view[:3, [2, 0, 1]], axes, atol=5e-7)
    if "Quaternion" in camera:
        np.testing.assert_allclose(rotation(camera["Quaternion"]).as_matrix(), axes, atol=5e-7)
    clip = matrix(camera["View Projection Matrix"])
    scale = 1.0 / math.tan(math.radians(camera["FOV"]) / 2.0)
    np.testing.assert_allclose(clip[:, :2], view[:, :2] * scale, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(clip[:, 3], view[:, 2], atol=1e-9)
    np.testing.assert_allclose(clip[:, 2], [0.0, 0.0, 0.0, 10.0])


def check_subject(
    subject: dict[str, Any], camera: dict[str, Any], size: int, parents: tuple[int, ...]
) -> None:
    joints = list(subject["keypoints"].values())
    points = np.stack([vector(joint["3DPos"]) for joint in joints])
    pixels = np.stack([vector(joint["2DPos"], "xy") for joint in joints])
    clip = np.c_[points, np.ones(len(points))] @ matrix(camera["View Projection Matrix"])
    ndc = clip[:, :2] / clip[:, 3:]
    np.testing.assert_allclose(
        0.5 * size * np.c_[1.0 + ndc[:, 0], 1.0 - ndc[:, 1]], pixels, atol=1e-3
    )
    bounds = subject["2DBounds"]
    low, high = [bounds["xmin"], bounds["ymin"]], [bounds["xmax"], bounds["ymax"]]
    np.testing.assert_allclose([low, high], [pixels.min(0), pixels.max(0)], atol=1e-3)
    if "quaternion" not in joints[0]:
        return
    turns = [rotation(joint["globalRotation"]) for joint in joints]
    scale = [np.ones(3)] * len(joints)
    for child, parent in enumerate(parents[1:], 1):
        joint = joints[child]
        local = rotation(joint["quaternion"])
        assert (turns[child].inv() * turns[parent] * local).magnitude() < 1e-6
        bone = joint["transform"]
        assert (rotation(bone["rotation"]).inv() * local).magnitude() < 1e-6
        euler = unreal_euler_deg(local.as_matrix()[None])[0]
        np.testing.assert_allclose(euler, vector(joint["eulerAngles"]), atol=2e-5)
        offset = turns[parent].apply(0.1 * scale[parent] * vector(bone["translation"]))
        np.testing.assert_allclose(points[child], points[parent] + offset, atol=1e-5)
        scale[child] = scale[parent] * vector(bone["scale3D"])


def check_conventions(record: dict[str, Any], size: int, parents: tuple[int, ...]) -> None:
    data = record["iterationData"]
    check_camera(data["camera"])
    for listed in data["subject Data"]:
        assert len(listed) == 1
        check_subject(next(iter(listed.values())), data["camera"], size, parents)


@pytest.fixture(scope="module")
def render_body() -> RenderBody:
    return RenderBody.open("builtin")


@pytest.mark.parametrize(
    ("name", "size"),
    [("SMIL", 512), ("replicAnt-x-SMIL-demo", 1024), ("replicAnt-x-SMIL-TEX", 1024)],
)
def test_conventions_hold_on_real_samples(
    real_data: Path, render_body: RenderBody, name: str, size: int
) -> None:
    paths = sorted((real_data / "data" / "replicant" / name).glob(f"{name}_*.json"))
    assert paths
    for path in paths:
        record = json.loads(path.read_text(encoding="utf-8"))
        check_conventions(record, size, render_body.model.skeleton.parents)


@pytest.mark.parametrize("index", range(4))
def test_conventions_hold_on_synthetic_samples(render_body: RenderBody, index: int) -> None:
    options = SynthOptions(samples=4, image_size=96, seed=2, subjects=2)
    record = json.loads(render_sample(render_body, options, index).annotation)
    check_conventions(record, 96, render_body.model.skeleton.parents)


def test_synthetic_annotation_has_every_key_of_a_real_one(
    real_data: Path, render_body: RenderBody
) -> None:
    path = real_data / "data/replicant/replicAnt-x-SMIL-TEX/replicAnt-x-SMIL-TEX_00.json"
    real = json.loads(path.read_text(encoding="utf-8"))
    options = SynthOptions(samples=1, image_size=64)
    ours = json.loads(render_sample(render_body, options, 0).annotation)
    assert keys(ours) == {key for key in keys(real) if ".PC_" not in key} | {
        key for key in keys(ours) if ".PC_" in key
    }


def keys(value: Any, path: str = "") -> set[str]:
    """Dotted paths of all fields; list items share one path."""
    if isinstance(value, dict):
        return {
            name
            for key, item in value.items()
            for name in ({f"{path}.{key}"} | keys(item, f"{path}.{key}"))
        }
    if isinstance(value, list):
        return {name for item in value for name in keys(item, path)}
    return set()


@given(turn=vectors, place=vectors, fov=st.floats(5.0, 120.0))
@settings(max_examples=50, deadline=None)
def test_camera_conventions_hold_for_any_camera(
    turn: np.ndarray, place: np.ndarray, fov: float
) -> None:
    axes = Rotation.from_rotvec(turn).as_matrix()
    check_camera(camera_fields(CameraTruth(axes, 10.0 * place, fov, 64)))


@given(root=vectors, elbow=vectors, place=vectors, scale=st.floats(0.5, 2.0))
@settings(max_examples=50, deadline=None)
def test_subject_conventions_hold_for_any_pose(
    root: np.ndarray, elbow: np.ndarray, place: np.ndarray, scale: float
) -> None:
    """Forward kinematics written out by hand for a chain of three joints."""
    turns = Rotation.from_rotvec(np.stack([root, elbow, -elbow])).as_matrix()
    offsets = np.array([[0.0, 0.0, 0.0], [0.5, 0.1, -0.2], [0.3, -0.4, 0.1]])
    second = place + turns[0] @ offsets[1]
    third = second + turns[0] @ turns[1] @ (scale * offsets[2])
    subject = SubjectTruth(
        joint_names=("a", "b", "c"),
        parents=(-1, 0, 1),
        root_rotation=turns[0],
        joint_rotations=np.stack([np.eye(3), turns[1], turns[2]]),
        joints=np.stack([place, second, third]),
        offsets=offsets,
        scales=np.array([[1.0] * 3, [scale] * 3, [1.0] * 3]),
        betas=np.zeros(2),
        scale_weights=np.zeros(0),
        trans_weights=np.zeros(0),
    )
    camera = CameraTruth(np.eye(3), np.array([0.0, 0.0, 20.0]), 30.0, 100)
    record = iteration_data(0, camera, [subject])
    check_conventions(record, 100, subject.parents)
    listed = record["iterationData"]["subject Data"][0]["1"]
    assert "ScaleWeights" not in listed
    assert list(listed["shape betas"]) == ["PC_01", "PC_02"]
