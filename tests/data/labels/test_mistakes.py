"""What people get wrong ends in one sentence that says where and what to do."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import LabelConfig
from smil_ray.data.entries import check_joints
from smil_ray.data.filters import SampleError
from smil_ray.data.labels.entries import label_entries
from smil_ray.data.labels.reading import read_label_samples
from smil_ray.data.replicant.reading import ReadOptions
from smil_ray.errors import ConfigError, DataError, SmilRayError
from tests.data.labels.label_files import (
    POINTS,
    coco_document,
    dots,
    flat,
    labels_of,
    sio,
    video_labels,
    write_dlc,
    write_json,
    write_picture,
    write_pictures,
    write_video,
)


def sentence(error: SmilRayError) -> str:
    text = str(error)
    assert "\n" not in text
    assert text.endswith(".")
    return text


def coco(
    folder: Path, points: np.ndarray = POINTS, names: tuple[str, ...] = ("b_t", "b_h")
) -> Path:
    write_picture(folder / "1.png", dots(POINTS))
    images = [{"id": 1, "file_name": "1.png", "width": 96, "height": 64}]
    keypoints = flat(points[: len(names)], [2] * len(names))
    animals = [{"image_id": 1, "keypoints": keypoints}]
    return write_json(folder / "a.json", coco_document(images, animals, names))


def test_unknown_names(tmp_path: Path, insect: SmilModel) -> None:
    path = coco(tmp_path, names=("nose", "tail"))
    with pytest.raises(DataError, match=r"no labelled point is a joint.*nose, tail.*joint-map"):
        check_joints(path, insect.skeleton, LabelConfig())
    cases = {
        "nos": r"has no point 'nos'; expected names such as 'nose'",
        "nose": r"nose: the body model has no joint 'b_tt'; expected names such as 'b_t'",
    }
    for name, message in cases.items():
        with pytest.raises(ConfigError, match=message) as error:
            check_joints(path, insect.skeleton, LabelConfig(joint_map={name: "b_tt"}))
        sentence(error.value)
    twice = LabelConfig(joint_map={"nose": "b_t", "tail": "b_t"})
    with pytest.raises(ConfigError, match="'b_t' is given twice"):
        check_joints(path, insect.skeleton, twice)


def test_labels_outside_the_picture(tmp_path: Path, insect: SmilModel) -> None:
    (entry,) = label_entries(coco(tmp_path, POINTS + 200.0), LabelConfig())
    with pytest.raises(SampleError, match=r"every point is outside.*96 x 64.*\(230, 220\)"):
        read_label_samples(entry, insect, ReadOptions())
    some = POINTS.copy()
    some[1] += 200.0
    (entry,) = label_entries(coco(tmp_path / "b", some), LabelConfig())
    result = read_label_samples(entry, insect, ReadOptions())
    assert "points outside: some are not in the picture" in result.notes
    assert int(result.samples[0].keypoint_visibility.sum()) == 1


def test_video_that_lacks_frames(tmp_path: Path, insect: SmilModel) -> None:
    video = write_video(tmp_path / "v.mp4", [dots(POINTS)] * 3)
    labels = video_labels(video, {1: POINTS, 7: POINTS})
    labels.save(str(tmp_path / "a.slp"), embed=False, verbose=False)
    first, second = label_entries(tmp_path / "a.slp", LabelConfig())
    assert len(read_label_samples(first, insect, ReadOptions()).samples) == 1
    with pytest.raises(SampleError, match=r"v\.mp4: frame 7; .* found a video of 3 frames"):
        read_label_samples(second, insect, ReadOptions())


def test_slp_without_its_pictures(tmp_path: Path, insect: SmilModel) -> None:
    video = write_video(tmp_path / "v.mp4", [dots(POINTS)] * 3)
    video_labels(video, {1: POINTS}).save(str(tmp_path / "a.slp"), embed=False, verbose=False)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "v.mp4").rename(tmp_path / "elsewhere" / "v.mp4")
    (entry,) = label_entries(tmp_path / "a.slp", LabelConfig())
    with pytest.raises(SampleError, match=r"no video .*v\.mp4.*--pictures") as error:
        read_label_samples(entry, insect, ReadOptions())
    sentence(error.value)
    config = LabelConfig(pictures=str(tmp_path / "elsewhere"))
    (entry,) = label_entries(tmp_path / "a.slp", config)
    assert len(read_label_samples(entry, insect, ReadOptions()).samples) == 1
    pictures = write_pictures(tmp_path / "walk", [POINTS])
    labels_of(pictures, [[POINTS]]).save(str(tmp_path / "b.slp"), embed=False, verbose=False)
    pictures[0].unlink()
    (entry,) = label_entries(tmp_path / "b.slp", LabelConfig())
    with pytest.raises(SampleError, match=r"img000\.png: no such file"):
        read_label_samples(entry, insect, ReadOptions())


def test_csv_with_its_head_in_another_order(tmp_path: Path) -> None:
    path = write_dlc(
        tmp_path / "a.csv", {"img.png": POINTS}, heads=("bodyparts", "scorer", "coords")
    )
    with pytest.raises(DataError, match=r"expected .*scorer.*found bodyparts, scorer, coords"):
        label_entries(path, LabelConfig())


def test_places_on_the_network_are_not_visited(tmp_path: Path, insect: SmilModel) -> None:
    video = sio.Video("https://example.org/v.mp4", open_backend=False)
    labels = video_labels(video, {0: POINTS})
    labels.save(str(tmp_path / "a.slp"), embed=False, verbose=False)
    (entry,) = label_entries(tmp_path / "a.slp", LabelConfig())
    with pytest.raises(SampleError, match="on the network are not read"):
        read_label_samples(entry, insect, ReadOptions())


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.slp", b"not a file of HDF5"),
        ("a.nwb", b""),
        ("a.json", b"{"),
        ("a.json", b'{"some": "thing"}'),
        ("a.json", b'{"images": [{"id": 1}], "annotations": [], "categories": []}'),
        ("a.json", b'[{"annotations": []}]'),
        ("a.csv", b"\xff\xfe"),
        ("data.yaml", b"kpt_shape: [4, 3]\n"),
        ("data.yaml", b"{"),
        ("config.yaml", b"Task: ants\n"),
        ("a.txt", b"hello"),
    ],
)
def test_damaged_files(name: str, content: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SmilRayError, match=name.replace(".", r"\.")) as error:
        label_entries(tmp_path / name, LabelConfig())
    sentence(error.value)


def test_only_predictions(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, [POINTS])
    labels = labels_of(pictures, [[POINTS]])
    instance = labels.labeled_frames[0].instances[0]
    predicted = sio.PredictedInstance.from_numpy(POINTS, skeleton=instance.skeleton)
    labels.labeled_frames[0].instances = [predicted]
    labels.save(str(tmp_path / "a.slp"), embed=False, verbose=False)
    with pytest.raises(DataError, match=r"no labelled animal.*found 1 predicted"):
        label_entries(tmp_path / "a.slp", LabelConfig())
