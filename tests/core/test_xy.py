"""The seed's dictionaries of one sample: keys, absent labels, and the reference by a batch."""

from dataclasses import replace

import numpy as np
import pytest

from smil_ray.core.batch import LABELS
from smil_ray.core.xy import to_xy, to_xy_by_collate
from tests.core.test_batch import N, sample, without


def test_to_xy_has_the_seeds_keys_and_the_roots_row_zero():
    x, y = to_xy(sample())
    assert x["input_image_data"].shape == (8, 8, 3)
    assert x["input_image_data"].max() <= 1.0
    assert x["input_image_mask"].shape == (8, 8)
    assert y["joint_angles"].shape == (N, 3)
    assert not y["joint_angles"][0].any()
    assert np.allclose(y["joint_angles"][1:], sample().joint_rot)
    assert y["keypoint_visibility"].tolist() == [1, 1, 0, 1]
    assert y["cam_fov"] == 30.0


def test_to_xy_leaves_absent_labels_out():
    bare = without(without(sample(), "betas"), "global_rot")
    _, y = to_xy(bare, "camera")
    assert {"shape_betas", "root_rot"}.isdisjoint(y)
    assert "root_loc" in y
    _, y = to_xy(bare, "root")
    assert {"cam_rot", "root_loc", "keypoints_3d"}.isdisjoint(y)
    assert "keypoints_2d" in y


@pytest.mark.parametrize("frame", ["camera", "root"])
@pytest.mark.parametrize("absent", [None, *(label for label in LABELS if label != "mask")])
def test_to_xy_agrees_with_the_way_through_a_batch(frame: str, absent: str | None) -> None:
    found = sample(3)
    if absent == "camera":
        for field in ("cam_rot", "cam_trans", "intrinsics"):
            found = replace(found, **{field: np.full_like(getattr(found, field), np.nan)})
        found = replace(found, fov=float("nan"), present=found.present - {"camera"})
    elif absent is not None:
        found = without(found, absent)
    for quick, slow in zip(to_xy(found, frame), to_xy_by_collate(found, frame), strict=True):
        assert list(quick) == list(slow)
        for key, value in slow.items():
            if isinstance(value, np.ndarray):
                assert quick[key].dtype == value.dtype, key
                np.testing.assert_allclose(quick[key], value, atol=2e-5, err_msg=key)
            else:
                assert quick[key] == value, key


def test_to_xy_gives_arrays_of_its_own() -> None:
    base = sample()
    for value in to_xy(base)[1].values():
        if isinstance(value, np.ndarray):
            value[...] = 7.0
    assert not (base.keypoints_2d == 7.0).any()


def test_to_xy_refuses_other_frames() -> None:
    with pytest.raises(ValueError, match=r"'world'.*camera or root"):
        to_xy(sample(), "world")
