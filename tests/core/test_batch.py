"""Samples to batches and to the seed's dictionaries; frames there and back; absent labels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from smil_ray.core.batch import LABELS, Sample, collate
from smil_ray.core.frames import change_frame, points_in_camera, points_in_frame
from smil_ray.core.params import SmilParams

N = 4


def sample(seed: int = 0, **changes) -> Sample:
    rng = np.random.default_rng(seed)
    values = {
        "name": f"s{seed}",
        "group": "g",
        "image": rng.integers(0, 255, (8, 8, 3), dtype=np.uint8),
        "mask": rng.integers(0, 255, (8, 8), dtype=np.uint8),
        "global_rot": rng.normal(size=3),
        "joint_rot": rng.normal(size=(N - 1, 3)),
        "betas": rng.normal(size=5),
        "trans": rng.normal(size=3),
        "fov": 30.0,
        "cam_rot": Rotation.from_rotvec(rng.normal(size=3)).as_matrix(),
        "cam_trans": np.array([0.1, -0.2, 9.0]),
        "intrinsics": np.array([1.8, 1.8, 0.5, 0.5]),
        "scale_weights": rng.normal(size=5),
        "trans_weights": rng.normal(size=5),
        "keypoints_2d": rng.random((N, 2)),
        "keypoints_3d": rng.normal(size=(N, 3)),
        "keypoint_visibility": np.array([True, True, False, True]),
        "keypoint_presence": np.ones(N, dtype=bool),
        "body_length": 1.2,
        "present": frozenset(LABELS),
    }
    return Sample(**{**values, **changes})


def without(base: Sample, label: str) -> Sample:
    field = getattr(base, label)
    return replace(base, present=base.present - {label}, **{label: np.full_like(field, np.nan)})


def world(samples: list[Sample]) -> SmilParams:
    def stack(name: str) -> torch.Tensor:
        return torch.tensor(np.stack([getattr(s, name) for s in samples]))

    return SmilParams(
        stack("global_rot"), stack("joint_rot"), stack("betas"), stack("trans"),
        torch.full((len(samples), 1), 30.0, dtype=torch.float64),
        stack("cam_rot"), stack("cam_trans"),
    )  # fmt: skip


def test_frames_describe_the_same_points_in_the_camera():
    params = world([sample(0), sample(1)])
    points = torch.randn(2, 6, 3, dtype=torch.float64)
    expected = points_in_camera(points, params)
    for frame in ("camera", "root"):
        moved = points_in_frame(points, params, frame)
        assert torch.allclose(points_in_camera(moved, change_frame(params, frame)), expected)


@pytest.mark.parametrize(("frame", "back"), [("camera", "root"), ("root", "camera")])
def test_change_of_frame_and_back_is_exact(frame, back):
    there = change_frame(world([sample(0), sample(1)]), frame)
    again = change_frame(change_frame(there, back), frame)
    for name in ("trans", "cam_rot", "cam_trans"):
        assert torch.allclose(getattr(again, name), getattr(there, name), atol=1e-12)
    turn = Rotation.from_rotvec(again.global_rot.numpy()).inv()
    assert (turn * Rotation.from_rotvec(there.global_rot.numpy())).magnitude().max() < 1e-9


def test_root_frame_has_the_model_at_the_origin_and_camera_frame_the_camera():
    batch = collate([sample()], "root")
    assert not batch.target.global_rot.any()
    assert not batch.target.trans.any()
    batch = collate([sample()], "camera")
    assert torch.equal(batch.target.cam_rot[0], torch.eye(3))
    assert not batch.target.cam_trans.any()


def test_unknown_frame_is_refused():
    with pytest.raises(ValueError, match="world2"):
        collate([sample()], "world2")


def test_collate_keeps_images_as_bytes_and_channels_first():
    samples = [sample(0), sample(1)]
    batch = collate(samples)
    assert batch.image is not None
    assert batch.image.dtype == torch.uint8
    assert batch.image.shape == (2, 3, 8, 8)
    assert np.array_equal(batch.image[1, 0].numpy(), samples[1].image[..., 0])
    assert batch.names == ("s0", "s1")
    assert batch.size == 2


@pytest.mark.parametrize("frame", ["camera", "root"])
@pytest.mark.parametrize("label", ["betas", "joint_rot", "scale_weights", "keypoints_3d"])
def test_absent_label_stays_nan_and_spoils_nothing_else(label, frame):
    batch = collate([sample(0), without(sample(1), label)], frame)
    assert batch.presence[label].tolist() == [True, False]
    others = {"global_rot", "trans", "betas", "joint_rot", "keypoints_2d"} - {label}
    for name in others:
        value = getattr(batch, name, None)
        value = getattr(batch.target, name) if value is None else value
        assert torch.isfinite(value).all()
        assert batch.presence[name].all()


def test_root_frame_needs_the_roots_rotation():
    batch = collate([without(sample(), "global_rot")], "root")
    for label in ("global_rot", "trans", "camera", "keypoints_3d"):
        assert not batch.presence[label].any()
    assert batch.presence["keypoints_2d"].all()
    assert collate([without(sample(), "global_rot")], "camera").presence["keypoints_3d"].all()


def test_missing_masks_are_zero_and_absent():
    bare = sample(1, mask=None, present=frozenset(LABELS) - {"mask"})
    batch = collate([sample(0), bare])
    assert batch.mask is not None
    assert not batch.mask[1].any()
    assert batch.presence["mask"].tolist() == [True, False]
    assert collate([bare]).mask is None


def test_batch_moves_as_a_whole():
    batch = collate([sample()]).to("cpu")
    assert batch.presence["mask"].device.type == "cpu"
    assert batch.target.betas.device.type == "cpu"
