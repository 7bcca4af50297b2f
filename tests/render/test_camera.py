"""Laws of the camera; conventions: docs/conventions_3d.md sections 3 and 4."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import roma
import torch

from smil_ray.core.params import SmilParams
from smil_ray.render.camera import (
    MIN_DEPTH,
    Camera,
    fov_from_intrinsics,
    intrinsics_from_fov,
    intrinsics_from_pixels,
    intrinsics_in_pixels,
)

SIZES = [(224, 224), (512, 512), (1024, 1024), (480, 640), (640, 480), (7, 1024)]


def their_pixels(theirs, points: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """What pytorch3d's `transform_points_screen` does, its three matrices applied in double.

    pytorch3d builds them in single precision and fails on double ones; applied in single
    precision they are 4e-4 px off at 1024 px.
    """
    from pytorch3d.renderer.cameras import get_ndc_to_screen_transform

    size = torch.tensor([[height, width]]).expand(len(points), 2)
    for transform in (
        theirs.get_world_to_view_transform(),
        theirs.get_projection_transform(),
        get_ndc_to_screen_transform(theirs, with_xyflip=True, image_size=size),
    ):
        points = transform.to("cpu", dtype=torch.float64).transform_points(points)
    return points[..., :2]


def random_camera(batch: int, aspect: float = 1.0, seed: int = 0) -> Camera:
    generator = torch.Generator().manual_seed(seed)
    rotation = roma.rotvec_to_rotmat(torch.randn(batch, 3, generator=generator).double())
    translation = torch.randn(batch, 3, generator=generator).double()
    translation[:, 2] += 12.0
    fov = torch.linspace(10.0, 60.0, batch, dtype=torch.float64)
    return Camera.from_fov(fov, rotation, translation, aspect=aspect)


def in_single(camera: Camera) -> Camera:
    """The camera with values that pytorch3d's single precision holds exactly."""
    return camera.to(dtype=torch.float32).to(dtype=torch.float64)


def random_points(batch: int, count: int = 40, seed: int = 1) -> torch.Tensor:
    return torch.randn(batch, count, 3, generator=torch.Generator().manual_seed(seed)).double()


def identity_camera(fov: float = 90.0) -> Camera:
    return Camera.from_fov(fov, torch.eye(3).double(), torch.zeros(3).double())


def test_axes_left_up_forward_appear_left_up_centre():
    """Section 3: x left, y up, z forward; section 4: origin at the top left corner."""
    points = torch.tensor([[0.0, 0.0, 2.0], [1.0, 0.0, 2.0], [0.0, 1.0, 2.0]]).double()
    xy, depth = identity_camera().project(points)
    expected = torch.tensor([[0.5, 0.5], [0.25, 0.5], [0.5, 0.25]]).double()
    torch.testing.assert_close(xy, expected)
    torch.testing.assert_close(depth, torch.full((3,), 2.0).double())


def test_point_on_the_field_of_view_edge_lies_on_the_picture_edge():
    fov = 34.0
    up = math.tan(math.radians(fov / 2)) * 5.0
    xy, _ = identity_camera(fov).project(torch.tensor([[0.0, up, 5.0], [-up, 0.0, 5.0]]).double())
    torch.testing.assert_close(xy, torch.tensor([[0.5, 0.0], [1.0, 0.5]]).double())


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_projection_equals_pytorch3d_to_1e_4_px(height, width, pytorch3d_backend):
    camera, points = in_single(random_camera(5, width / height)), random_points(5)
    theirs = pytorch3d_backend.to_pytorch3d(camera, height, width)
    expected = their_pixels(theirs, points, height, width)
    found = camera.project(points)[0] * torch.tensor([width, height])
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_pytorch3d_fov_of_the_shorter_side_gives_the_same_projection(
    height, width, pytorch3d_backend
):
    from pytorch3d.renderer import FoVPerspectiveCameras

    pose = in_single(random_camera(3))
    theirs = FoVPerspectiveCameras(R=pose.rotation, T=pose.translation, fov=41.0, degrees=True)
    camera = pytorch3d_backend.from_pytorch3d(theirs, height, width)
    points = random_points(3)
    expected = their_pixels(theirs, points, height, width)
    found = camera.project(points)[0] * torch.tensor([width, height])
    assert (found - expected).abs().max() < 1e-4
    shorter = math.tan(math.radians(41.0 / 2)) * height / min(height, width)
    assert float(camera.fov_deg[0]) == pytest.approx(
        2 * math.degrees(math.atan(shorter)), rel=1e-5
    )


def test_pytorch3d_round_trip_keeps_principal_point_and_pixel_shape(pytorch3d_backend):
    camera = in_single(random_camera(4))
    intrinsics = camera.intrinsics * torch.tensor([1.1, 0.9, 0.8, 1.3]).double()
    camera = Camera(camera.rotation, camera.translation, intrinsics)
    theirs = pytorch3d_backend.to_pytorch3d(camera, 300, 400)
    points = random_points(4)
    expected = their_pixels(theirs, points, 300, 400)
    found = camera.project(points)[0] * torch.tensor([400, 300])
    assert (found - expected).abs().max() < 1e-4
    back = pytorch3d_backend.from_pytorch3d(theirs, 300, 400)
    torch.testing.assert_close(back.intrinsics, intrinsics)


def test_unproject_of_project_is_identity():
    camera, points = random_camera(3, 1.5), random_points(3)
    torch.testing.assert_close(camera.unproject(*camera.project(points)), points)
    torch.testing.assert_close(camera.from_camera(camera.to_camera(points)), points)


def test_position_is_where_camera_coordinates_vanish():
    camera = random_camera(3)
    at_camera = camera.to_camera(camera.position[:, None])
    torch.testing.assert_close(at_camera, torch.zeros_like(at_camera), atol=1e-12, rtol=0)


def test_points_at_and_behind_the_camera_give_finite_fractions_and_gradients():
    """Section 3: nearer than MIN_DEPTH projects as if at MIN_DEPTH; depth stays true."""
    points = torch.tensor(
        [[0.3, 0.1, -5.0], [0.0, 0.0, 0.0], [1.0, 1.0, MIN_DEPTH / 2], [1.0, 0.0, 3.0]]
    ).double()
    points.requires_grad_()
    xy, depth = identity_camera().project(points)
    xy.sum().backward()
    assert torch.isfinite(xy).all()
    assert points.grad is not None
    assert torch.isfinite(points.grad).all()
    assert depth.tolist() == points[:, 2].tolist()


def test_gradcheck_of_project_and_unproject():
    camera, points = random_camera(2), random_points(2, 3)

    def project(rotation, translation, intrinsics, points):
        return Camera(rotation, translation, intrinsics).project(points)

    def unproject(intrinsics, xy, depth):
        return Camera(camera.rotation, camera.translation, intrinsics).unproject(xy, depth)

    values = [camera.rotation, camera.translation, camera.intrinsics, points]
    assert torch.autograd.gradcheck(project, [v.clone().requires_grad_() for v in values])
    values = [camera.intrinsics, *camera.project(points)]
    assert torch.autograd.gradcheck(unproject, [v.clone().requires_grad_() for v in values])
    fov = torch.tensor([12.0, 50.0]).double().requires_grad_()
    assert torch.autograd.gradcheck(intrinsics_from_fov, [fov])


def test_leading_axes_broadcast_one_camera_over_many_point_sets():
    camera, points = identity_camera(), random_points(6).reshape(2, 3, 40, 3) + 5.0
    xy, depth = camera.project(points)
    assert xy.shape == (2, 3, 40, 2)
    assert depth.shape == (2, 3, 40)
    torch.testing.assert_close(xy[1, 2], camera.project(points[1, 2])[0])


def test_fov_and_intrinsics_are_inverse():
    fov = torch.tensor([1.0, 12.8, 57.0, 90.0, 170.0]).double()
    torch.testing.assert_close(fov_from_intrinsics(intrinsics_from_fov(fov, 1.7)), fov)
    assert float(intrinsics_from_fov(torch.tensor(90.0), 2.0)[0]) == pytest.approx(0.25)


def test_pixel_intrinsics_and_fractions_are_inverse():
    intrinsics = torch.tensor([0.9, 1.2, 0.4, 0.6]).double()
    pixels = intrinsics_in_pixels(intrinsics, 480, 640)
    torch.testing.assert_close(pixels, torch.tensor([576.0, 576.0, 256.0, 288.0]).double())
    torch.testing.assert_close(intrinsics_from_pixels(pixels, 480, 640), intrinsics)


def test_cropped_camera_projects_to_fractions_of_the_box():
    camera, points = random_camera(2), random_points(2)
    box = torch.tensor([[0.1, 0.2, 0.6, 0.9], [-0.5, 0.0, 1.5, 1.0]]).double()
    full, _ = camera.project(points)
    expected = (full - box[:, None, :2]) / (box[:, None, 2:] - box[:, None, :2])
    torch.testing.assert_close(camera.cropped(box).project(points)[0], expected)


def test_from_params_takes_focal_length_from_fov_and_only_the_principal_point_from_intrinsics():
    params = SmilParams(
        global_rot=torch.zeros(2, 3),
        joint_rot=torch.zeros(2, 4, 3),
        betas=torch.zeros(2, 5),
        trans=torch.zeros(2, 3),
        fov=torch.tensor([[20.0], [50.0]]),
        cam_rot=torch.eye(3).expand(2, 3, 3),
        cam_trans=torch.zeros(2, 3),
    )
    intrinsics = torch.tensor([[9.0, 9.0, 0.4, 0.7]]).expand(2, 4)
    camera = Camera.from_params(params, intrinsics)
    torch.testing.assert_close(camera.fov_deg, torch.tensor([20.0, 50.0]))
    torch.testing.assert_close(camera.intrinsics[:, 2:], intrinsics[:, 2:])
    torch.testing.assert_close(
        Camera.from_params(params).intrinsics[:, 2:], torch.full((2, 2), 0.5)
    )


def test_real_replicant_samples_reproject_within_1e_3_px(real_data: Path):
    """Section 7: Unreal's world mirrored in x; R = Mx V Mx, T = t Mx, in model units."""
    mirror = np.array([-1.0, 1.0, 1.0])
    checked = 0
    size_of = {"SMIL": 512, "replicAnt-x-SMIL-demo": 1024, "replicAnt-x-SMIL-TEX": 1024}
    for path in sorted((real_data / "data" / "replicant").rglob("*.json")):
        if path.name.startswith("_"):
            continue
        iteration = json.loads(path.read_text())["iterationData"]
        camera = iteration["camera"]
        planes = camera["View Matrix"]
        rows = np.array([[planes[f"{p}Plane"][a] for a in "xyz"] for p in "xyzw"])
        subject = next(iter(iteration["subject Data"][0].values()))
        joints = subject["keypoints"].values()
        points = np.array([[j["3DPos"][a] for a in "xyz"] for j in joints]) * mirror / 10
        expected = np.array([[j["2DPos"][a] for a in "xy"] for j in joints])
        ours = Camera.from_fov(
            camera["FOV"],
            torch.from_numpy(mirror[:, None] * rows[:3] * mirror),
            torch.from_numpy(rows[3] * mirror / 10),
        )
        found = ours.project(torch.from_numpy(points))[0].numpy()
        error = np.abs(found * size_of[path.parent.name] - expected).max()
        assert error < 1e-3, path.name
        checked += 1
    assert checked >= 35
