"""Coordinates: the laws, and the golden values of every real sample at hand."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig
from smil_ray.data.replicant import coordinates
from smil_ray.data.replicant.annotations import RawSubject, read_frame
from smil_ray.data.replicant.coordinates import UnrealView, Window
from smil_ray.data.replicant.reading import ReadOptions, find_entries, read_samples

SETS = ("SMIL", "replicAnt-x-SMIL-demo", "replicAnt-x-SMIL-TEX")
WITH_ROTATIONS = SETS[1:]


@pytest.fixture(scope="module")
def model() -> SmilModel:
    return SmilModel.builtin()


def subjects(folder: Path) -> list[RawSubject]:
    return [read_frame(e.json_path).subjects[0] for e in find_entries(folder)]


def converted(subject: RawSubject, model: SmilModel) -> tuple[np.ndarray, list[Rotation]]:
    """Return joints (world, model units) and world rotations by forward kinematics."""
    order = [subject.joint_names.index(name) for name in model.skeleton.joint_names]
    points = coordinates.points_to_world(subject.points_3d[order])
    local = coordinates.local_axis_angle(subject.local_quat[order][1:])
    world = [Rotation.from_rotvec(coordinates.root_axis_angle(subject.global_quat[order[0]]))]
    for joint, parent in enumerate(model.skeleton.parents[1:]):
        world.append(world[parent] * Rotation.from_rotvec(local[joint]))
    return points, world


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    "options", [ReadOptions(), ReadOptions(size=224, crop=CropConfig(mode="bbox"))]
)
def test_real_samples_reproject_to_a_thousandth_of_a_pixel(real_data, model, name, options):
    for entry in find_entries(real_data / "data" / "replicant" / name):
        (sample,) = read_samples(entry, model, options).samples
        camera = (sample.cam_rot, sample.cam_trans, sample.intrinsics)
        xy, depth = coordinates.project(
            sample.keypoints_3d.astype(float), *(value.astype(float) for value in camera)
        )
        assert (depth > 0).all()
        assert np.abs(xy - sample.keypoints_2d).max() * sample.image.shape[0] < 1e-3


def test_real_bone_offsets_in_the_parents_frame_are_constant(real_data, model):
    offsets = []
    for subject in subjects(real_data / "data" / "replicant" / "replicAnt-x-SMIL-demo"):
        points, world = converted(subject, model)
        offsets.append(
            [
                world[parent].inv().apply(points[joint + 1] - points[parent])
                for joint, parent in enumerate(model.skeleton.parents[1:])
            ]
        )
    assert np.ptp(offsets, axis=0).max() / coordinates.UNITS_PER_CM < 1e-6


@pytest.mark.parametrize("name", WITH_ROTATIONS)
def test_real_global_rotations_equal_forward_kinematics(real_data, model, name):
    for subject in subjects(real_data / "data" / "replicant" / name):
        _, world = converted(subject, model)
        for joint, joint_name in enumerate(model.skeleton.joint_names):
            given = subject.global_quat[subject.joint_names.index(joint_name)]
            expected = Rotation.from_rotvec(coordinates.root_axis_angle(given))
            assert (world[joint].inv() * expected).magnitude() < 1e-6


@pytest.mark.parametrize("name", WITH_ROTATIONS)
def test_real_local_quaternions_follow_from_global_ones(real_data, model, name):
    parents = np.array(model.skeleton.parents[1:])
    for subject in subjects(real_data / "data" / "replicant" / name):
        order = [subject.joint_names.index(joint) for joint in model.skeleton.joint_names]
        world, local = subject.global_quat[order], subject.local_quat[order][1:]
        derived = coordinates.local_from_global(world[parents], world[1:])
        turn = Rotation.from_quat(derived).inv() * Rotation.from_quat(local)
        assert turn.magnitude().max() < 1e-6


@pytest.mark.parametrize("name", SETS)
def test_real_cameras_agree_in_all_their_forms(real_data, name):
    for entry in find_entries(real_data / "data" / "replicant" / name):
        camera = read_frame(entry.json_path).camera
        assert camera.view is not None
        assert camera.view_projection is not None
        assert camera.location is not None
        assert camera.pitch_yaw_roll is not None
        view = UnrealView(camera.view[:3, :3], camera.view[3, :3])
        rebuilt = coordinates.view_from_pose(camera.location, camera.pitch_yaw_roll)
        contained = coordinates.view_from_projection(camera.view_projection)
        for other in (rebuilt, contained):
            assert np.abs(other.axes - view.axes).max() < 1e-6
            assert np.abs(other.offset - view.offset).max() < 1e-4
        assert view.orthonormality_error < 1e-6
        assert camera.fov is not None
        assert np.allclose(
            coordinates.intrinsics_from_projection(camera.view_projection, view),
            coordinates.intrinsics_from_fov(camera.fov, 512, 512),
            atol=1e-5,
        )


@pytest.mark.parametrize("seed", range(5))
def test_mirrored_world_gives_the_same_picture(seed):
    rng = np.random.default_rng(seed)
    view = coordinates.view_from_pose(rng.normal(size=3) * 50, rng.uniform(-180, 180, 3))
    cam = rng.uniform(-5, 5, (7, 3)) + np.array([0.0, 0.0, 60.0])
    points_cm = (cam - view.offset) @ view.axes.T
    rotation, offset = coordinates.camera_to_world(view)
    intrinsics = coordinates.intrinsics_from_fov(35.0, 640, 480)
    xy, depth = coordinates.project(
        coordinates.points_to_world(points_cm), rotation, offset, intrinsics
    )
    focal = 640 / (2 * np.tan(np.radians(35.0 / 2)))
    expected = np.array([320, 240]) + [focal, -focal] * cam[:, :2] / cam[:, 2:]
    assert np.allclose(xy * [640, 480], expected)
    assert np.allclose(depth, cam[:, 2] / 10)
    assert np.isclose(np.linalg.det(rotation), 1.0)


def test_point_behind_the_camera_has_no_place_in_the_picture():
    points = np.array([[0.0, 0.0, -1.0], [0.0, 0.0, 1.0]])
    xy, depth = coordinates.project(points, np.eye(3), np.zeros(3), np.full(4, 0.5))
    assert np.isnan(xy[0]).all()
    assert np.allclose(xy[1], 0.5)
    assert depth[0] < 0


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [(100, 60, (0, -20, 100)), (60, 100, (-20, 0, 100)), (64, 64, (0, 0, 64))],
)
def test_padding_is_alike_on_both_sides(width, height, expected):
    window = Window.padded(width, height)
    assert (window.left, window.top, window.side) == expected


def test_mirrored_camera_is_not_orthonormal():
    assert UnrealView(np.diag([-1.0, 1.0, 1.0]), np.zeros(3)).orthonormality_error > 1


def test_root_rotation_is_the_mirrored_one_after_a_half_turn() -> None:
    mirror, half_turn = np.diag([-1.0, 1.0, 1.0]), np.diag([-1.0, -1.0, 1.0])
    for unreal in Rotation.from_quat(np.random.default_rng(0).normal(size=(50, 4))):
        found = coordinates.root_axis_angle(unreal.as_quat())
        expected = mirror @ unreal.as_matrix() @ mirror @ half_turn
        np.testing.assert_allclose(Rotation.from_rotvec(found).as_matrix(), expected, atol=1e-12)
