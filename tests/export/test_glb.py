"""glTF played back by another reader equals the body model (docs/export.md)."""

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.errors import ConfigError
from smil_ray.export import glb
from smil_ray.export.animation import Animation
from tests.export.gltf_player import Player
from tests.export.moving import camera_joints, camera_vertices, moving, of_two_shapes

SIGNS = np.array([-1.0, 1.0, -1.0])
"""Camera axes x left, y up, z forward; glTF's x right, y up, z backward."""


def body_lengths(apart_metres: np.ndarray, animation: Animation) -> float:
    return float(np.linalg.norm(apart_metres, axis=-1).max() / (0.1 * animation.model.body_length))


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("propagate", [False, True])
def test_joints_and_vertices_of_all_frames_are_the_body_models(
    tmp_path: Path, scaled: bool, propagate: bool
) -> None:
    animation = moving(scaled=scaled, propagate=propagate)
    glb.write(animation, tmp_path / "film.glb")
    player = Player(tmp_path / "film.glb")
    assert player.names == list(animation.model.skeleton.joint_names)
    np.testing.assert_allclose(player.times, [0.0, 0.08, 0.16, 0.24], atol=1e-6)
    joints, vertices = camera_joints(animation), camera_vertices(animation)
    for key in range(len(animation)):
        apart = player.joints(key) - 0.1 * joints[key] * SIGNS
        assert body_lengths(apart, animation) < 1e-5
        apart = player.vertices(key) - 0.1 * vertices[key] * SIGNS
        assert body_lengths(apart, animation) < 1e-5


def test_bind_pose_stands_upright_and_is_the_shaped_body_at_rest(tmp_path: Path) -> None:
    animation = moving()
    glb.write(animation, tmp_path / "film.glb")
    player = Player(tmp_path / "film.glb")
    shaped = animation.model.with_shape(animation.params.betas[0])
    forward, left, up = 0.1 * shaped.vertices.double().numpy().T
    found = player.read(player.gltf.meshes[0].primitives[0].attributes.POSITION)
    np.testing.assert_allclose(found, np.stack([left, up, forward], axis=1), atol=1e-6)
    player.channels = {}
    np.testing.assert_allclose(player.vertices(0), found, atol=1e-6)


def test_points_in_the_picture_are_those_of_the_predicted_camera(tmp_path: Path) -> None:
    animation = moving(1)
    glb.write(animation, tmp_path / "film.glb")
    player = Player(tmp_path / "film.glb")
    camera = player.gltf.cameras[0]
    x, y, z = player.joints(0).T
    half = np.tan(camera.perspective.yfov / 2.0)
    width, height = animation.size_px
    u = width / 2.0 * (1.0 + x / -z / (half * camera.perspective.aspectRatio))
    v = height / 2.0 * (1.0 - y / -z / half)
    shift = np.array([camera.extras["cx_px"][0] - 160.0, camera.extras["cy_px"][0] - 120.0])
    fx, fy, cx, cy = animation.camera_px[0]
    px, py, pz = camera_joints(animation)[0].T
    expected = np.stack([cx - fx * px / pz, cy - fy * py / pz], axis=1)
    np.testing.assert_allclose(np.stack([u, v], axis=1) + shift, expected, atol=1e-3)


def test_frames_with_several_shapes_get_their_mean_and_a_note(tmp_path: Path) -> None:
    animation = of_two_shapes()
    notes = glb.write(animation, tmp_path / "film.glb")
    assert "one shape for 4 frames" in notes[0]
    player = Player(tmp_path / "film.glb")
    mean = animation.params.betas.mean(dim=0, keepdim=True).expand(4, -1)
    same = replace(animation, params=replace(animation.params, betas=mean))
    apart = player.joints(3) - 0.1 * camera_joints(same)[3] * SIGNS
    assert body_lengths(apart, animation) < 1e-5


def test_vertices_with_many_bones_keep_all_of_them(tmp_path: Path) -> None:
    builtin = SmilModel.builtin()
    weights = torch.rand(builtin.weights.shape, generator=torch.Generator().manual_seed(0))
    weights[:, 6:] = 0.0
    weights /= weights.sum(dim=1, keepdim=True)
    source = replace(builtin.source, weights=weights.double().numpy())
    animation = moving(2, model=SmilModel.from_arrays(source))
    glb.write(animation, tmp_path / "film.glb")
    player = Player(tmp_path / "film.glb")
    attributes = player.gltf.meshes[0].primitives[0].attributes
    assert (attributes.WEIGHTS_1, getattr(attributes, "WEIGHTS_2", None)) != (None, None)
    apart = player.vertices(1) - 0.1 * camera_vertices(animation)[1] * SIGNS
    assert body_lengths(apart, animation) < 1e-5


def test_pose_blend_shapes_are_left_out_and_said_to_be(tmp_path: Path) -> None:
    builtin = SmilModel.builtin()
    posedirs = np.zeros((builtin.n_verts, 3, 9 * (builtin.n_joints - 1)))
    posedirs[:, :, 0] = 0.01
    model = SmilModel.from_arrays(replace(builtin.source, posedirs=posedirs))
    notes = glb.write(moving(2, model=model), tmp_path / "film.glb")
    assert any("pose blend shapes are left out" in note for note in notes)


def test_missing_library_is_said_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pygltflib", None)
    with pytest.raises(ConfigError, match=r"pygltflib; .*pip install 'smil-ray\[export\]'"):
        glb.write(moving(1), tmp_path / "film.glb")
    assert not list(tmp_path.iterdir())
