"""OBJ, PLY, USD, BVH and SMPL's layout say the same as the body model (docs/export.md)."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from smil_ray.core import rotations
from smil_ray.errors import ConfigError, DataError
from smil_ray.export import bvh, npz, obj, ply, usd
from tests.export.bvh_player import play
from tests.export.moving import camera_joints, camera_vertices, moving, of_two_shapes

SIGNS = np.array([-1.0, 1.0, -1.0])


def test_obj_is_the_posed_mesh(tmp_path: Path) -> None:
    animation = moving(1)
    assert obj.write(animation, tmp_path / "a.obj") == []
    lines = (tmp_path / "a.obj").read_text().splitlines()
    points = np.array([line.split()[1:] for line in lines if line.startswith("v ")], dtype=float)
    np.testing.assert_allclose(points, 0.1 * camera_vertices(animation)[0] * SIGNS, atol=1e-6)
    faces = np.array([line.split()[1:] for line in lines if line.startswith("f ")], dtype=int)
    np.testing.assert_array_equal(faces - 1, animation.model.faces.numpy())


def test_ply_is_the_posed_mesh(tmp_path: Path) -> None:
    animation = moving(1)
    ply.write(animation, tmp_path / "a.ply")
    header, _, data = (tmp_path / "a.ply").read_bytes().partition(b"end_header\n")
    n_verts, n_faces = animation.model.n_verts, len(animation.model.faces)
    assert f"element vertex {n_verts}\n".encode() in header
    assert f"element face {n_faces}\n".encode() in header
    points = np.frombuffer(data, "<f4", 3 * n_verts).reshape(-1, 3)
    np.testing.assert_allclose(points, 0.1 * camera_vertices(animation)[0] * SIGNS, atol=1e-6)
    faces = np.frombuffer(data[12 * n_verts :], np.dtype("u1, 3<i4"))
    assert set(faces["f0"].tolist()) == {3}
    np.testing.assert_array_equal(faces["f1"], animation.model.faces.numpy())


@pytest.mark.parametrize("scaled", [False, True])
def test_bvh_moves_joints_as_the_body_model_does(tmp_path: Path, scaled: bool) -> None:
    animation = moving(scaled=scaled)
    bvh.write(animation, tmp_path / "a.bvh")
    played = play(tmp_path / "a.bvh")
    assert played.seconds_a_frame == pytest.approx(0.08)
    joints = camera_joints(animation)
    order = [animation.model.skeleton.index[name] for name in played.names]
    apart = played.joints - 0.1 * joints[:, order] * SIGNS
    assert np.linalg.norm(apart, axis=-1).max() < 1e-5 * animation.model.body_length
    assert played.n_channels == (6 if scaled else 3)


def test_bvh_of_frames_with_a_gap_is_refused(tmp_path: Path) -> None:
    animation = moving()
    animation.frames[-1] += 4
    with pytest.raises(DataError, match=r"found none between 14 and 20; choose --frames"):
        bvh.write(animation, tmp_path / "a.bvh")


def test_smpl_layout_gives_the_body_in_opencv_axes(tmp_path: Path) -> None:
    animation = moving()
    npz.write(animation, tmp_path / "a.npz")
    found = {name: torch.from_numpy(value) for name, value in _numbers(tmp_path / "a.npz").items()}
    n, model = len(animation), animation.model
    assert found["poses"].shape == (n, 3 * model.n_joints)
    shaped = model.with_shape(
        found["betas"].expand(n, -1), found["log_beta_scales"], found["betas_trans"]
    )
    vectors = found["poses"].reshape(n, -1, 3)
    # SMPL: the body turns about its own root joint, then `transl` is added.
    vertices = shaped.with_pose(rotations.to_matrix(vectors)).skin() + found["transl"][:, None]
    expected = camera_vertices(animation) * [-1.0, -1.0, 1.0]
    np.testing.assert_allclose(vertices.numpy(), expected, atol=1e-5)
    joints = camera_joints(animation)[0] * [-1.0, -1.0, 1.0]
    u, v, w = found["K"][0].numpy() @ joints.T
    fx, fy, cx, cy = animation.camera_px[0]
    np.testing.assert_allclose(u / w, cx + fx * joints[:, 0] / joints[:, 2])
    np.testing.assert_allclose(v / w, cy + fy * joints[:, 1] / joints[:, 2])
    assert float(found["fps"]) == pytest.approx(12.5)


def test_smpl_layout_has_only_what_the_parameters_have(tmp_path: Path) -> None:
    npz.write(moving(scaled=False), tmp_path / "a.npz")
    assert "log_beta_scales" not in _numbers(tmp_path / "a.npz")


def test_usd_has_vertices_and_camera_of_every_frame(tmp_path: Path) -> None:
    from pxr import Usd, UsdGeom  # type: ignore[attr-defined]

    animation = of_two_shapes()
    usd.write(animation, tmp_path / "a.usdc")
    stage = Usd.Stage.Open(str(tmp_path / "a.usdc"))  # type: ignore[attr-defined]
    assert stage.GetTimeCodesPerSecond() == pytest.approx(25.0)
    mesh = UsdGeom.Mesh.Get(stage, "/scene/animal")  # type: ignore[attr-defined]
    camera = UsdGeom.Camera.Get(stage, "/scene/camera")  # type: ignore[attr-defined]
    vertices = camera_vertices(animation)
    for number, code in enumerate((10, 12, 14, 16)):
        points = np.array(mesh.GetPointsAttr().Get(code))
        np.testing.assert_allclose(points, 0.1 * vertices[number] * SIGNS, atol=1e-6)
        # The frustum itself says where a point is in the picture, from -1 to 1 and upwards.
        seen = camera.GetCamera(code).frustum
        matrix = np.array(seen.ComputeProjectionMatrix())
        clip = np.concatenate([points, np.ones((len(points), 1))], axis=1) @ matrix
        u = 160.0 * (1.0 + clip[:, 0] / clip[:, 3])
        v = 120.0 * (1.0 - clip[:, 1] / clip[:, 3])
        x, y, z = vertices[number].T
        fx, fy, cx, cy = animation.camera_px[number]
        np.testing.assert_allclose(u, cx - fx * x / z, atol=1e-2)
        np.testing.assert_allclose(v, cy - fy * y / z, atol=1e-2)


def test_missing_usd_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pxr", None)
    with pytest.raises(ConfigError, match=r"usd-core; .*pip install 'smil-ray\[export\]'"):
        usd.write(moving(1), tmp_path / "a.usd")


def _numbers(path: Path) -> dict[str, np.ndarray]:
    with np.load(path, allow_pickle=False) as arrays:
        return {name: arrays[name] for name in arrays.files if arrays[name].dtype.kind in "if"}
