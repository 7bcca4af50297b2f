"""Boxes around the instances of SLEAP files, labelled and predicted, as sleap-io writes them."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray.data.labels.instance_boxes import sleap_boxes
from smil_ray.errors import DataError
from smil_ray.results.prediction.boxes import read_boxes
from tests.data.labels.label_files import (
    NAMES,
    POINTS,
    dots,
    labels_of,
    moved,
    sio,
    write_pictures,
    write_video,
)

BOX = (30.5, 20.5, 30.0, 20.0)
"""Around POINTS, whose (0, 0) is the middle of a pixel."""
MOVED = (32.5, 22.5, 30.0, 20.0)


def test_pictures_have_a_box_for_each_animal_and_no_frame(tmp_path: Path) -> None:
    pictures = write_pictures(tmp_path / "images", [POINTS, moved(2)])
    file = tmp_path / "project.slp"
    sio.save_slp(labels_of(pictures, [[POINTS, moved(2)], [moved(2)]]), str(file))
    found = read_boxes(file).boxes
    assert {name: [box.xywh for box in boxes] for name, boxes in found.items()} == {
        "images/img000.png": [BOX, MOVED],
        "images/img001.png": [MOVED],
    }
    assert {box.frame for boxes in found.values() for box in boxes} == {None}
    assert found["images/img000.png"][1].where == f"{file}: frame 0, instance 1"


def test_tracks_number_the_animals_of_a_video_and_corrections_replace_predictions(
    tmp_path: Path,
) -> None:
    video = write_video(tmp_path / "walk.mp4", [dots(POINTS)] * 4)
    skeleton = sio.Skeleton(list(NAMES))
    first, second = sio.Track("first"), sio.Track("second")

    def predicted(points: np.ndarray, track: object) -> object:
        scores = np.ones(len(points))
        return sio.PredictedInstance.from_numpy(
            points, skeleton=skeleton, point_scores=scores, score=1.0, track=track
        )

    corrected = sio.Instance.from_numpy(moved(2), skeleton=skeleton, track=first)
    frames = [
        sio.LabeledFrame(
            video=video,
            frame_idx=1,
            instances=[predicted(POINTS, first), predicted(moved(2), second)],
        ),
        sio.LabeledFrame(
            video=video,
            frame_idx=3,
            instances=[predicted(POINTS, first), corrected, predicted(POINTS, second)],
        ),
    ]
    file = tmp_path / "tracked.slp"
    sio.save_slp(sio.Labels(frames), str(file))
    found = [(box.frame, box.animal, box.xywh) for box in sleap_boxes(file)]
    assert found == [(1, 0, BOX), (1, 1, MOVED), (3, 0, MOVED), (3, 1, BOX)]
    assert {box.file_name for box in sleap_boxes(file)} == {"walk.mp4"}


def test_file_that_is_none_or_has_no_box_is_one_sentence(tmp_path: Path) -> None:
    broken = tmp_path / "broken.slp"
    broken.write_text("no HDF5")
    with pytest.raises(DataError, match=r"broken\.slp: cannot be read as a SLEAP file"):
        sleap_boxes(broken)
    only_one = np.full_like(POINTS, np.nan)
    only_one[0] = POINTS[0]
    file = tmp_path / "one.slp"
    sio.save_slp(labels_of(write_pictures(tmp_path, [POINTS]), [[only_one]]), str(file))
    with pytest.raises(DataError, match="no box; expected an instance of at least 2 points"):
        sleap_boxes(file)
