"""Files that sleap-io itself writes come back: names, absent points, places and pictures."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import LabelConfig
from smil_ray.data.labels._sleap_io import LOADERS
from smil_ray.data.labels.entries import read_labels
from smil_ray.data.labels.formats import FORMATS
from tests.data.labels.label_files import (
    NAMES,
    POINTS,
    dots,
    labels_of,
    moved,
    pixels,
    read_all,
    sio,
    video_labels,
    write_dlc,
    write_pictures,
    write_video,
)

FRAMES = (POINTS, moved(3.0), moved(5.0))


def test_every_format_has_a_loader() -> None:
    assert set(LOADERS) == set(FORMATS)


def write(kind: str, folder: Path) -> Path:
    """A label file of three pictures, the second with two animals."""
    pictures = write_pictures(folder / "walk", FRAMES)
    animals = [[POINTS], [moved(3.0), moved(9.0)], [moved(5.0)]]
    labels = labels_of(pictures, animals)
    path = folder / {"labelstudio": "tasks.json", "coco": "walk/coco.json"}.get(kind, f"a.{kind}")
    if kind == "slp":
        labels.save(str(path), embed=False, verbose=False)
    elif kind == "pkg.slp":
        labels.save(str(path), embed=True, verbose=False)
        for picture in pictures:
            picture.unlink()
    elif kind == "coco":
        sio.save_coco(labels, str(path))
    elif kind == "labelstudio":
        sio.save_labelstudio(labels, str(path))
    else:
        path = folder / "yolo"
        sio.save_ultralytics(labels, str(path), split_ratios={"train": 1.0}, verbose=False)
    return path


@pytest.mark.parametrize("kind", ["slp", "pkg.slp", "coco", "labelstudio", "ultralytics"])
def test_pictures_and_points_come_back(kind: str, tmp_path: Path, insect: SmilModel) -> None:
    path = write(kind, tmp_path)
    # sleap-io writes its own coordinates into every format, whatever the format's own origin is.
    samples = read_all(path, insect, LabelConfig(pixel_origin="centre"))
    assert len(samples) == 4
    expected = [POINTS, moved(3.0), moved(9.0), moved(5.0)]
    names = [sample.name for sample in samples]
    assert names == sorted(names)
    assert sum("#" in name for name in names) == 2
    for sample, points in zip(samples, expected, strict=True):
        assert pixels(sample, insect) == pytest.approx(points + 0.5, abs=2e-3, nan_ok=True)
        assert sample.present == {"keypoints_2d"}
        assert int(sample.keypoint_presence.sum()) == 3
        assert int(sample.keypoint_visibility.sum()) == 3
    for number, sample in enumerate([samples[0], samples[3]]):
        column, row = (pixels(sample, insect)[0]).astype(int)
        assert sample.image[row + 16, column].min() > 200, number


@pytest.mark.parametrize("kind", ["slp", "pkg.slp", "nwb"])
def test_frames_of_videos_come_back(kind: str, tmp_path: Path, insect: SmilModel) -> None:
    colours = [(220, 30, 30), (30, 220, 30), (30, 30, 220), (200, 200, 30)]
    pictures = [np.full((64, 96, 3), colour, dtype=np.uint8) for colour in colours]
    video = write_video(tmp_path / "walk.mp4", pictures)
    labels = video_labels(video, {0: POINTS, 2: moved(4.0)})
    path = tmp_path / f"labels.{kind}"
    if kind == "nwb":
        sio.save_nwb(labels, str(path))
    else:
        labels.save(str(path), embed=kind == "pkg.slp", verbose=False)
    first, second = read_all(path, insect)
    assert (first.name[-6:], second.name[-6:]) == ("000000", "000002")
    assert first.group == second.group
    assert first.group.endswith("walk")
    assert pixels(second, insect) == pytest.approx(moved(4.0) + 0.5, abs=1e-3, nan_ok=True)
    # Red stays red: the third frame is the blue one.
    assert first.image[48, 48].argmax() == 0
    assert second.image[48, 48].argmax() == 2


def test_deeplabcut_csv_of_sleap_io_comes_back(tmp_path: Path, insect: SmilModel) -> None:
    video = write_video(tmp_path / "v.mp4", [dots(points) for points in FRAMES])
    labels = video_labels(video, {0: POINTS, 2: moved(5.0)})
    sio.save_csv(labels, str(tmp_path / "labels.csv"), format="dlc")
    for number in (0, 2):
        picture = write_pictures(tmp_path / "labeled-data" / "v", FRAMES)[number]
        picture.rename(picture.with_name(f"img{number:04d}.png"))
    first, second = read_all(tmp_path / "labels.csv", insect)
    assert pixels(first, insect) == pytest.approx(POINTS + 0.5, abs=1e-3, nan_ok=True)
    assert pixels(second, insect) == pytest.approx(moved(5.0) + 0.5, abs=1e-3, nan_ok=True)
    assert first.group == second.group == "labeled-data/v/img"


def test_deeplabcut_project_and_lightning_pose_are_read(tmp_path: Path, insect: SmilModel) -> None:
    (tmp_path / "config.yaml").write_text(
        "Task: ants\nscorer: me\nbodyparts: [b_t, b_h]\nvideo_sets: {}\n"
    )
    for video in ("one", "two"):
        folder = tmp_path / "labeled-data" / video
        write_pictures(folder, FRAMES)
        rows = {f"labeled-data/{video}/img{n:03d}.png": f for n, f in enumerate(FRAMES)}
        write_dlc(folder / "CollectedData_me.csv", rows)
    whole = read_all(tmp_path, insect)
    by_config = read_all(tmp_path / "config.yaml", insect)
    assert [sample.name for sample in whole] == [sample.name for sample in by_config]
    assert len(whole) == 6
    assert len({sample.group for sample in whole}) == 2
    # Lightning Pose keeps one CSV beside the folder of pictures.
    rows = {f"labeled-data/one/img{n:03d}.png": f for n, f in enumerate(FRAMES)}
    alone = read_all(write_dlc(tmp_path / "CollectedData.csv", rows), insect)
    for sample, points in zip(alone, FRAMES, strict=True):
        assert pixels(sample, insect) == pytest.approx(points + 0.5, abs=1e-3, nan_ok=True)


def test_a_missing_picture_does_not_shift_the_others(tmp_path: Path, insect: SmilModel) -> None:
    write_pictures(tmp_path / "labeled-data" / "one", FRAMES)
    rows = {f"labeled-data/one/img{n:03d}.png": f for n, f in enumerate(FRAMES)}
    path = write_dlc(tmp_path / "labels.csv", rows)
    (tmp_path / "labeled-data" / "one" / "img001.png").unlink()
    labels = read_labels(path, LabelConfig())
    assert [frame.problem and frame.problem[0] for frame in labels.frames] == [
        None,
        "image_missing",
        None,
    ]
    last = labels.frames[2]
    assert last.picture is not None
    assert last.picture.name == "img002.png"
    point = last.animals[0].points_px[labels.node_names.index("b_t")]
    assert point == pytest.approx(moved(5.0)[0] + 0.5)


def test_names_of_the_file_are_kept(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path, [POINTS])
    labels_of(pictures, [[POINTS]]).save(str(tmp_path / "a.slp"), embed=False, verbose=False)
    assert read_labels(tmp_path / "a.slp", LabelConfig()).node_names == NAMES
