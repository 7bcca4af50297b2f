"""Known places of joints from tables, corrected predictions and files of labels."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray.config import LabelConfig
from smil_ray.core.skeleton import Skeleton
from smil_ray.errors import ConfigError, DataError
from smil_ray.results.keypoints import read_keypoints
from tests.data.labels.label_files import (
    coco_document,
    dots,
    flat,
    video_labels,
    write_dlc,
    write_json,
    write_picture,
    write_video,
)

SKELETON = Skeleton(("b_t", "b_h", "l_1_co_r", "l_1_co_l"), (-1, 0, 0, 0))
POINTS = np.array([[30.0, 20.0], [60.0, 22.0], [45.0, 40.0], [np.nan, np.nan]])
"""As the labels have them, counted from the middle of the first pixel."""


def test_tables_by_hand_and_corrected_predictions_say_the_same(tmp_path: Path) -> None:
    hand, predicted = tmp_path / "hand.csv", tmp_path / "predictions.csv"
    hand.write_text("file,joint,x,y,frame,animal\nf.mp4,b_h,3.5,4.25,7,1\nf.mp4,b_t,1,2,7,1\n")
    predicted.write_text(
        "name,source,frame,time_s,animal,joint,x_px,y_px,x_cam\n"
        "f_7_2,f.mp4,7,0.2,1,b_h,3.5,4.25,\nf_7_2,f.mp4,7,0.2,1,b_t,1,2,0.1\n"
    )
    expected = np.full((4, 2), np.nan)
    expected[0], expected[1] = (1, 2), (3.5, 4.25)
    for path in (hand, predicted):
        (found,) = read_keypoints(path, SKELETON).of_images([Path("a/f.mp4")]).values()
        np.testing.assert_array_equal(found[7, 1], expected)


def test_labels_count_from_the_corner_and_go_by_the_joint_map(tmp_path: Path) -> None:
    write_picture(tmp_path / "walk" / "a.png", dots(POINTS))
    names = ("tail", "b_h", "shoulder", "b_t")
    images = [{"id": 1, "file_name": "a.png", "width": 96, "height": 64}]
    animals = [{"image_id": 1, "keypoints": flat(POINTS, (2, 1, 2, 0)), "bbox": [1, 1, 9, 9]}]
    path = write_json(tmp_path / "walk" / "coco.json", coco_document(images, animals, names))
    found = read_keypoints(path, SKELETON).places["a.png"][0, 0]
    np.testing.assert_allclose(found[1], [60.5, 22.5])
    assert np.isnan(found[[0, 2, 3]]).all()
    config = LabelConfig(joint_map={"tail": "b_t", "shoulder": "l_1_co_r"})
    mapped = read_keypoints(path, SKELETON, config).places["a.png"][0, 0]
    np.testing.assert_allclose(mapped[[0, 2]], POINTS[[0, 2]] + 0.5)
    with pytest.raises(ConfigError, match=r"no joint 'b_x'"):
        read_keypoints(path, SKELETON, LabelConfig(joint_map={"tail": "b_x"}))


def test_deeplabcut_and_frames_of_videos(tmp_path: Path) -> None:
    picture = write_picture(tmp_path / "labeled-data" / "walk" / "img000.png", dots(POINTS))
    path = write_dlc(
        picture.parent / "CollectedData_me.csv", {"labeled-data/walk/img000.png": POINTS}
    )
    found = read_keypoints(path, SKELETON)
    (places,) = found.of_images([picture]).values()
    np.testing.assert_allclose(places[0, 0], POINTS + 0.5)
    video = write_video(tmp_path / "run.mp4", [dots(POINTS)] * 4)
    video_labels(video, {2: POINTS}).save(str(tmp_path / "v.slp"), embed=False, verbose=False)
    (places,) = (
        read_keypoints(tmp_path / "v.slp", SKELETON).of_images([tmp_path / "run.mp4"]).values()
    )
    assert list(places) == [(2, 0)]


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "k.csv"
    path.write_text("file,joint,x,y\na.png,b_hh,3,4\n")
    with pytest.raises(ConfigError, match=r"k\.csv: joint: unknown joint 'b_hh'.*'b_h'"):
        read_keypoints(path, SKELETON)
    path.write_text("file,joint,x,y\na.png,b_h,3,\n")
    with pytest.raises(DataError, match=r"k\.csv:2: y; expected a number"):
        read_keypoints(path, SKELETON)
    path.write_text("file,joint,x\na.png,b_h,3\n")
    with pytest.raises(DataError, match=r"expected file,joint,x,y"):
        read_keypoints(path, SKELETON)
    path.write_text("file,joint,x,y\na.png,b_h,3,4\n")
    with pytest.raises(DataError, match=r"names none of the images"):
        read_keypoints(path, SKELETON).of_images([Path("b.png")])
    with pytest.raises(DataError, match=r"none\.csv: cannot be read as keypoints"):
        read_keypoints(tmp_path / "none.csv", SKELETON)


def test_labels_whose_pictures_are_elsewhere_ask_for_the_folder(tmp_path: Path) -> None:
    images = [{"id": 1, "file_name": "a.png", "width": 96, "height": 64}]
    animals = [{"image_id": 1, "keypoints": flat(POINTS, (2, 2, 2, 0)), "bbox": [1, 1, 9, 9]}]
    path = write_json(tmp_path / "coco.json", coco_document(images, animals))
    with pytest.raises(DataError, match=r"a\.png.*--pictures DIR"):
        read_keypoints(path, SKELETON)
    write_picture(tmp_path / "photos" / "a.png", dots(POINTS))
    config = LabelConfig(pictures=str(tmp_path / "photos"))
    found = read_keypoints(path, SKELETON, config)
    assert list(found.of_images([tmp_path / "photos" / "a.png"])) == [
        tmp_path / "photos" / "a.png"
    ]
