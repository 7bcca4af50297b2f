"""Reading replicAnt frames: every variant of the format, and what a sample holds then."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from smil_ray.config import CropConfig
from smil_ray.core.batch import Sample
from smil_ray.data.filters import SampleError
from smil_ray.data.replicant import coordinates
from smil_ray.data.replicant.reading import ReadOptions, ReadResult, find_entries, read_samples
from smil_ray.errors import ConfigError
from tests.data.replicant import tiny_replicant as tiny
from tests.data.replicant.tiny_replicant import TinyBody

BODY = TinyBody()
ALL_LABELS = {
    "global_rot", "joint_rot", "betas", "trans", "camera", "keypoints_2d", "keypoints_3d", "mask",
    "scale_weights", "trans_weights",
}  # fmt: skip


def read(folder: Path, document: dict, **options) -> ReadResult:
    size = options.pop("picture", (96, 96))
    tiny.write(folder, "a_00", document, size, mask=options.pop("mask", True))
    return read_samples(find_entries(folder)[0], BODY, ReadOptions(**options))


def read_one(folder: Path, document: dict, **options) -> Sample:
    (sample,) = read(folder, document, **options).samples
    return sample


def reprojection_px(sample: Sample) -> float:
    xy, _ = coordinates.project(
        sample.keypoints_3d.astype(float),
        sample.cam_rot.astype(float),
        sample.cam_trans.astype(float),
        sample.intrinsics.astype(float),
    )
    return float(np.abs(xy - sample.keypoints_2d).max() * sample.image.shape[0])


def test_sample_of_a_complete_frame_has_every_label(tmp_path):
    sample = read_one(tmp_path, tiny.frame())
    assert sample.present == ALL_LABELS
    assert sample.name == sample.group == "a_00"
    assert sample.keypoint_presence.all()
    assert sample.mask is not None
    assert set(np.unique(sample.mask)) == {0, 255}
    assert np.allclose(sample.betas, [0.5, -0.25, 0.125])
    assert reprojection_px(sample) < 1e-3
    assert np.isclose(sample.fov, 40.0)


@pytest.mark.parametrize("size", [None, 24, 64, 300])
@pytest.mark.parametrize("crop", ["none", "bbox"])
@pytest.mark.parametrize("picture", [(96, 96), (160, 90), (81, 120)])
def test_geometry_holds_for_every_size_crop_and_picture_shape(tmp_path, size, crop, picture):
    document = tiny.frame(*picture)
    sample = read_one(tmp_path, document, picture=picture, size=size, crop=CropConfig(mode=crop))
    side = sample.image.shape[0]
    assert sample.image.shape == (side, side, 3)
    assert sample.mask is not None
    assert sample.mask.shape == (side, side)
    assert size in (None, side)
    assert reprojection_px(sample) < 1e-3
    assert np.isclose(sample.fov, np.degrees(2 * np.arctan(0.5 / sample.intrinsics[1])))
    if size != 24:  # The joints span the mask: its centre of area lies among them.
        rows, columns = np.nonzero(sample.mask > 127)
        centre = np.array([columns.mean() + 0.5, rows.mean() + 0.5]) / side
        low, high = sample.keypoints_2d.min(0), sample.keypoints_2d.max(0)
        assert ((low < centre) & (centre < high)).all()


@pytest.mark.parametrize("size", [None, 40])
def test_pixels_move_with_keypoints_when_padded_and_resized(tmp_path, size):
    document = tiny.frame(128, 64)
    path = tiny.write(tmp_path, "a_00", document, (128, 64))
    picture = np.zeros((64, 128, 3), dtype=np.uint8)
    picture[24:40, 80:96] = (0, 0, 255)  # BGR: a red square around (88, 32) px.
    cv2.imwrite(str(path.with_suffix(".JPG")), picture)
    sample = read_samples(find_entries(tmp_path)[0], BODY, ReadOptions(size=size)).samples[0]
    red = (sample.image[..., 0] > 128) & (sample.image[..., 2] < 128)
    rows, columns = np.nonzero(red)
    side = sample.image.shape[0]
    centre = (columns.mean() + 0.5) / side, (rows.mean() + 0.5) / side
    assert np.allclose(centre, (88 / 128, (32 + 32) / 128), atol=0.01)


@pytest.mark.parametrize(
    ("kept", "tolerance_px"),
    [
        (("Location", "Rotation", "FOV"), 1e-3),
        (("View Projection Matrix",), 1e-3),
        (("View Matrix", "FOV"), 1e-3),
        (("Location", "Rotation", "View Projection Matrix"), 1e-3),
    ],
)
def test_camera_is_rebuilt_from_whatever_is_given(tmp_path, kept, tolerance_px):
    document = tiny.frame(120, 80)
    camera = document["iterationData"]["camera"]
    document["iterationData"]["camera"] = {key: camera[key] for key in kept}
    assert reprojection_px(read_one(tmp_path, document, picture=(120, 80))) < tolerance_px


def test_betas_as_object_come_in_the_order_of_their_numbers(tmp_path):
    document = tiny.frame()
    tiny.first(document)["shape betas"] = {"PC_10": 3.0, "PC_02": 2.0, "PC_01": 1.0}
    assert np.allclose(read_one(tmp_path, document).betas, [1.0, 2.0, 3.0])


def test_betas_of_another_length_are_absent_with_a_note(tmp_path):
    document = tiny.frame()
    tiny.first(document)["shape betas"] = [0.0] * 13
    tiny.first(document)["ScaleWeights"] = [0.0] * 2
    result = read(tmp_path, document)
    (sample,) = result.samples
    assert np.isnan(sample.betas).all()
    assert np.isnan(sample.scale_weights).all()
    assert sample.present == ALL_LABELS - {"betas", "scale_weights"}
    assert result.notes == [
        "shape betas: file has 13, model has 3: marked absent",
        "ScaleWeights: file has 2, model has 3: marked absent",
    ]


def test_bare_frame_without_rotations_shape_and_mask(tmp_path):
    document = tiny.frame()
    fields = tiny.first(document)
    for key in ("shape betas", "ScaleWeights", "TranslationWeights", "2DBounds"):
        del fields[key]
    for joint in fields["keypoints"].values():
        del joint["quaternion"], joint["globalRotation"]
    sample = read_one(tmp_path, document, mask=False)
    assert sample.mask is None
    assert sample.present == {"trans", "camera", "keypoints_2d", "keypoints_3d"}
    assert np.isnan(sample.global_rot).all()
    assert np.isnan(sample.joint_rot).all()
    assert sample.keypoint_visibility.all()


def test_transform_rotation_stands_in_for_quaternion(tmp_path):
    expected = read_one(tmp_path, tiny.frame()).joint_rot
    document = tiny.frame()
    for joint in tiny.first(document)["keypoints"].values():
        joint["transform"] = {"rotation": joint.pop("quaternion")}
    assert np.allclose(read_one(tmp_path, document).joint_rot, expected)


def test_local_rotations_are_derived_from_global_ones(tmp_path):
    document = tiny.frame()
    joints = tiny.first(document)["keypoints"]
    world = {}
    for name, parent in zip(tiny.JOINTS, tiny.PARENTS, strict=True):
        local = np.array([joints[name]["quaternion"][a] for a in "xyzw"])
        if parent < 0:
            world[name] = np.array([joints[name]["globalRotation"][a] for a in "xyzw"])
        else:
            world[name] = hamilton(world[tiny.JOINTS[parent]], local)
        joints[name]["globalRotation"] = tiny.axes("xyzw", world[name])
    expected = read_one(tmp_path, document).joint_rot
    for joint in joints.values():
        del joint["quaternion"]
    assert np.allclose(read_one(tmp_path, document).joint_rot, expected, atol=1e-5)


def hamilton(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    vector = a[3] * b[:3] + b[3] * a[:3] + np.cross(a[:3], b[:3])
    return np.append(vector, a[3] * b[3] - a[:3] @ b[:3])


def test_missing_joint_is_nan_and_not_present_unknown_joint_is_left_out(tmp_path):
    document = tiny.frame()
    joints = tiny.first(document)["keypoints"]
    joints["l_9_co_l"] = joints.pop("l_1_co_l")
    result = read(tmp_path, document)
    (sample,) = result.samples
    missing = tiny.JOINTS.index("l_1_co_l")
    assert not sample.keypoint_presence[missing]
    assert not sample.keypoint_visibility[missing]
    assert np.isnan(sample.keypoints_2d[missing]).all()
    assert np.isnan(sample.keypoints_3d[missing]).all()
    assert np.isnan(sample.joint_rot[missing - 1]).all()
    assert sample.keypoint_presence.sum() == len(tiny.JOINTS) - 1
    assert [note.partition(":")[0] for note in result.notes] == [
        "missing joints",
        "unknown joints",
    ]
    assert "l_1_co_l" in result.notes[0]
    assert "l_9_co_l" in result.notes[1]


def test_missing_trunk_joint_gives_the_models_body_length(tmp_path):
    document = tiny.frame()
    chain = ["b_a_1", "b_t", "b_h"]
    points = [
        [tiny.first(document)["keypoints"][j]["3DPos"][a] / 10 for a in "xyz"] for j in chain
    ]
    expected = np.linalg.norm(np.diff(points, axis=0), axis=1).sum()
    assert np.isclose(read_one(tmp_path, document).body_length, expected)
    del tiny.first(document)["keypoints"]["b_h"]
    assert read_one(tmp_path, document).body_length == BODY.body_length


def test_joint_outside_the_frame_is_present_and_not_visible(tmp_path):
    document = tiny.frame(96, 96)
    camera, projection = tiny.unreal_camera(96, 96, 0)
    point = np.array([camera["Location"][a] for a in "xyz"])
    view = np.array(
        [[camera["View Matrix"][p][a] for a in "xyz"] for p in ("xPlane", "yPlane", "zPlane")]
    )
    point = point + 40 * view[:, 2] + 60 * view[:, 0]  # Forward, and far to the right.
    hx, hy, _, hw = np.append(point, 1.0) @ projection
    joint = tiny.first(document)["keypoints"]["b_h"]
    joint["3DPos"] = tiny.axes("xyz", point)
    joint["2DPos"] = {"x": (1 + hx / hw) * 48, "y": (1 - hy / hw) * 48}
    sample = read_one(tmp_path, document, mask=False)
    index = tiny.JOINTS.index("b_h")
    assert sample.keypoints_2d[index, 0] > 1.0
    assert sample.keypoint_presence[index]
    assert not sample.keypoint_visibility[index]
    assert sample.keypoint_visibility.sum() == len(tiny.JOINTS) - 1


def test_visibility_needs_the_subjects_own_id_on_the_mask(tmp_path):
    document = tiny.frame()
    path = tiny.write(tmp_path, "a_00", document)
    entry = find_entries(tmp_path)[0]
    before = read_samples(entry, BODY).samples[0]
    ids = np.zeros((96, 96, 4), dtype=np.uint8)
    x, y = (before.keypoints_2d[2] * 96).astype(int)
    ids[y - 1 : y + 2, x - 1 : x + 2, 2] = 1
    x, y = (before.keypoints_2d[3] * 96).astype(int)
    ids[y, x, 2] = 2  # Another subject covers this joint.
    cv2.imwrite(str(path.with_name("a_00_ID.png")), ids)
    assert read_samples(entry, BODY).samples[0].keypoint_visibility.tolist() == [
        index == 2 for index in range(len(tiny.JOINTS))
    ]
    grown = read_samples(entry, BODY, ReadOptions(mask_dilation=4)).samples[0].mask
    assert grown is not None
    assert (grown > 0).sum() > 9


def test_empty_mask_is_present_with_coverage_zero(tmp_path):
    path = tiny.write(tmp_path, "a_00", tiny.frame())
    cv2.imwrite(str(path.with_name("a_00_ID.png")), np.zeros((96, 96, 4), dtype=np.uint8))
    result = read_samples(find_entries(tmp_path)[0], BODY)
    assert result.coverage == [0.0]
    assert "mask" in result.samples[0].present
    assert not result.samples[0].keypoint_visibility.any()


def test_ignored_joints_never_count_as_visible(tmp_path):
    sample = read_one(tmp_path, tiny.frame(), ignored_joints=("b_h",))
    assert not sample.keypoint_visibility[tiny.JOINTS.index("b_h")]
    with pytest.raises(ConfigError, match="nearest joint is 'b_h'"):
        read_one(tmp_path, tiny.frame(), ignored_joints=("b_hh",))


def test_frame_with_several_subjects_gives_one_sample_each(tmp_path):
    result = read(tmp_path, tiny.frame(ids=("1", "2", "10")), size=48)
    assert [s.name for s in result.samples] == ["a_00#001", "a_00#002", "a_00#010"]
    assert {s.group for s in result.samples} == {"a_00"}
    assert not np.allclose(result.samples[0].keypoints_3d, result.samples[1].keypoints_3d)


def test_broken_subject_does_not_take_the_others_with_it(tmp_path):
    document = tiny.frame(ids=("1", "2"))
    tiny.first(document)["keypoints"]["b_t"]["3DPos"]["x"] = None
    result = read(tmp_path, document)
    assert [sample.name for sample in result.samples] == ["a_00#002"]
    assert [error.reason for error in result.rejected] == ["non_finite"]


def test_points_without_3d_positions_keep_their_2d_labels(tmp_path):
    document = tiny.frame()
    for joint in tiny.first(document)["keypoints"].values():
        del joint["3DPos"]
    sample = read_one(tmp_path, document, mask=False)
    assert "keypoints_3d" not in sample.present
    assert "trans" not in sample.present
    assert "keypoints_2d" in sample.present
    assert sample.keypoint_presence.all()


def test_crop_of_a_subject_outside_the_frame_is_refused(tmp_path):
    document = tiny.frame()
    for joint in tiny.first(document)["keypoints"].values():
        joint["2DPos"]["x"] += 200.0
        del joint["3DPos"]
    with pytest.raises(SampleError) as error:
        read(tmp_path, document, crop=CropConfig(mode="bbox"), mask=False)
    assert error.value.reason == "out_of_frame"
