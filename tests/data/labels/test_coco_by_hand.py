"""A COCO file written by hand, as COCO's documentation has it: flags, boxes, masks, sizes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import CropConfig, LabelConfig
from smil_ray.core.batch import Sample
from smil_ray.data.dataset import resized
from smil_ray.data.filters import SampleError
from smil_ray.data.labels.entries import label_entries
from smil_ray.data.labels.reading import read_label_samples
from smil_ray.data.replicant.reading import ReadOptions
from tests.data.labels.label_files import (
    HEIGHT,
    POINTS,
    WIDTH,
    coco_document,
    dots,
    flat,
    moved,
    pixels,
    read_all,
    write_json,
    write_picture,
)

SQUARE = [20.0, 10.0, 70.0, 10.0, 70.0, 50.0, 20.0, 50.0]
FLAGS = (2, 1, 2, 0)


def image(name: str, number: int = 1, width: int = WIDTH, height: int = HEIGHT) -> dict:
    return {"id": number, "file_name": name, "width": width, "height": height}


def write(folder: Path, animals: list[dict], *images: dict) -> Path:
    for one in images:
        write_picture(folder / one["file_name"], dots(POINTS))
    return write_json(folder / "labels.json", coco_document(images, animals))


def animal(points: np.ndarray = POINTS, flags: tuple[int, ...] = FLAGS, **more: object) -> dict:
    return {"image_id": 1, "keypoints": flat(points, flags), **more}


def test_flags_say_absent_hidden_and_seen(tmp_path: Path, insect: SmilModel) -> None:
    (sample,) = read_all(write(tmp_path, [animal()], image("a/walk_01.png")), insect)
    rows = [insect.skeleton.index[name] for name in ("b_t", "b_h", "l_1_co_r", "l_1_co_l")]
    assert sample.keypoint_presence[rows].tolist() == [True, True, True, False]
    assert sample.keypoint_visibility[rows].tolist() == [True, False, True, False]
    assert np.isnan(sample.keypoints_2d[rows[3]]).all()
    assert (sample.name, sample.group) == ("a/walk_01", "a/walk")


def test_in_a_file_of_zeros_and_ones_one_means_seen(tmp_path: Path, insect: SmilModel) -> None:
    path = write(tmp_path, [animal(flags=(1, 1, 1, 0))], image("1.png"))
    (sample,) = read_all(path, insect)
    assert int(sample.keypoint_visibility.sum()) == 3


def test_points_are_the_middle_of_their_pixels(tmp_path: Path, insect: SmilModel) -> None:
    path = write(tmp_path, [animal(flags=(2, 2, 2, 0))], image("1.png"))
    (sample,) = read_all(path, insect)
    assert pixels(sample, insect)[:3] == pytest.approx(POINTS[:3] + 0.5, abs=1e-4)
    (corner,) = read_all(path, insect, LabelConfig(pixel_origin="corner"))
    assert pixels(corner, insect)[:3] == pytest.approx(POINTS[:3], abs=1e-4)


def centre_of_light(sample: Sample, joint: int, radius: float) -> np.ndarray:
    """The middle of the light around a joint, in pixels of the sample from its corner."""
    side = sample.image.shape[0]
    x, y = sample.keypoints_2d[joint] * side
    light = sample.image.astype(float).sum(axis=2)
    rows, columns = np.mgrid[:side, :side] + 0.5
    light[np.hypot(columns - x, rows - y) > radius] = 0.0
    return np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()


@pytest.mark.parametrize("size", [96, 192, 288])
@pytest.mark.parametrize("mode", ["none", "bbox"])
def test_a_point_at_a_pixels_middle_stays_there(
    mode: str, size: int, tmp_path: Path, insect: SmilModel
) -> None:
    """The light of a white pixel is where its label is, to a hundredth of a native pixel."""
    path = write(tmp_path, [animal(flags=(2, 2, 2, 0))], image("1.png"))
    crop = CropConfig(mode=mode, margin=(0.4, 0.4), shift=0.0)  # type: ignore[arg-type]
    (native,) = read_all(path, insect, crop=crop)
    side = native.image.shape[0]
    (sample,) = read_all(path, insect, crop=crop, size=side * size // 96)
    again = resized(native, sample.image.shape[0])
    for found in (sample, again):
        scale = found.image.shape[0] / side
        for name in ("b_t", "b_h", "l_1_co_r"):
            joint = insect.skeleton.index[name]
            label = found.keypoints_2d[joint] * found.image.shape[0]
            light = centre_of_light(found, joint, radius=4.0 * scale)
            assert np.abs(light - label).max() / scale < 0.01, name


def test_a_crop_has_the_principal_point_of_the_whole_picture(
    tmp_path: Path, insect: SmilModel
) -> None:
    path = write(tmp_path, [animal()], image("1.png"))
    crop = CropConfig(mode="bbox")
    (sample,) = read_all(path, insect, crop=crop)
    fx, fy, cx, cy = sample.intrinsics
    assert np.isnan([fx, fy, sample.fov]).all()
    # The vector from a joint to the principal point, in native pixels, is that of the picture.
    joint = insect.skeleton.index["b_t"]
    side = sample.image.shape[0]
    found = (np.array([cx, cy]) - sample.keypoints_2d[joint]) * side
    assert found == pytest.approx(np.array([48.0, 32.0]) - (POINTS[0] + 0.5), abs=1e-3)
    (known,) = read_all(path, insect, LabelConfig(fov_deg=40.0), crop=crop)
    expected = 0.5 * HEIGHT / np.tan(np.radians(20.0)) / side
    assert known.intrinsics[:2] == pytest.approx([expected, expected], rel=1e-5)
    assert known.present == {"keypoints_2d", "camera"}


def test_every_animal_is_a_sample_with_its_own_box(tmp_path: Path, insect: SmilModel) -> None:
    far = moved(20.0)
    path = write(
        tmp_path,
        [animal(bbox=[5.0, 5.0, 80.0, 50.0]), animal(far, (2, 2, 2, 0))],
        image("1.png"),
    )
    crop = CropConfig(mode="bbox", margin=(0.0, 0.0), shift=0.0)
    first, second = read_all(path, insect, crop=crop)
    assert (first.name, second.name) == ("1#000", "1#001")
    assert first.group == second.group
    assert first.image.shape[0] == 80
    assert second.image.shape[0] == 30


def test_outlines_become_silhouettes(tmp_path: Path, insect: SmilModel) -> None:
    path = write(tmp_path, [animal(segmentation=[SQUARE])], image("1.png"))
    (sample,) = read_all(path, insect)
    assert sample.mask is not None
    assert "mask" in sample.present
    rows, columns = np.nonzero(sample.mask > 127)
    assert (columns.min(), columns.max() + 1) == (20, 70)
    assert (rows.min() - 16, rows.max() + 1 - 16) == (10, 50)
    assert sample.mask.astype(float).sum() / 255.0 == pytest.approx(50 * 40, rel=0.01)


def test_run_lengths_become_silhouettes(tmp_path: Path, insect: SmilModel) -> None:
    counts = [HEIGHT * 10, HEIGHT * 5, HEIGHT * (WIDTH - 15)]
    region = {"counts": counts, "size": [HEIGHT, WIDTH]}
    (sample,) = read_all(write(tmp_path, [animal(segmentation=region)], image("1.png")), insect)
    assert sample.mask is not None
    _, columns = np.nonzero(sample.mask)
    assert (columns.min(), columns.max() + 1) == (10, 15)


def test_the_pictures_own_size_counts(tmp_path: Path, insect: SmilModel) -> None:
    path = write(tmp_path, [animal(segmentation=[SQUARE])], image("1.png", width=48, height=32))
    (entry,) = label_entries(path, LabelConfig())
    result = read_label_samples(entry, insect, ReadOptions())
    (sample,) = result.samples
    assert pixels(sample, insect)[:1] == pytest.approx(POINTS[:1] + 0.5, abs=1e-4)
    assert sample.mask is not None
    assert (sample.mask > 127).sum() == pytest.approx(50 * 40, rel=0.02)
    assert any(
        note.startswith("picture size: the labels say 48 x 32, the picture has 96 x 64")
        for note in result.notes
    )


def test_missing_pictures_are_named(tmp_path: Path, insect: SmilModel) -> None:
    second = {**animal(), "image_id": 2}
    path = write(tmp_path, [animal(), second], image("1.png"), image("2.png", 2))
    (tmp_path / "1.png").unlink()
    missing, there = label_entries(path, LabelConfig())
    with pytest.raises(SampleError, match=r"no picture 1\.png in") as error:
        read_label_samples(missing, insect, ReadOptions())
    assert error.value.reason == "image_missing"
    assert len(read_label_samples(there, insect, ReadOptions()).samples) == 1


def test_pictures_are_found_in_another_folder(tmp_path: Path, insect: SmilModel) -> None:
    path = write(tmp_path / "pictures", [animal()], image("1.png"))
    labels = path.rename(tmp_path / "labels.json")
    config = LabelConfig(pictures=str(tmp_path / "pictures"))
    assert len(read_all(labels, insect, config)) == 1


def test_what_is_absent_is_nan(tmp_path: Path, insect: SmilModel) -> None:
    (sample,) = read_all(write(tmp_path, [animal()], image("1.png")), insect)
    for field in ("global_rot", "joint_rot", "betas", "trans", "keypoints_3d", "cam_rot"):
        assert np.isnan(getattr(sample, field)).all(), field
    assert sample.body_length == insect.body_length
    assert replace(sample, present=frozenset()).mask is None
