"""Pictures for people: panels line up with what they show."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Batch, collate
from smil_ray.core.frames import change_frame
from smil_ray.errors import DataError
from smil_ray.render import overlay
from smil_ray.results.pictures import (
    PredictionPicture,
    best_median_worst,
    draw_model_views,
    draw_predictions,
    write_model_sheet,
    write_prediction_pictures,
)
from tests.memory_data import make_samples


@pytest.fixture(scope="module")
def batch() -> Batch:
    return collate(make_samples(SmilModel.builtin(), 2))


@pytest.mark.parametrize("frame", ["camera", "root"])
def test_true_parameters_have_no_error_and_draw_the_mesh_on_the_joints(
    batch: Batch, frame: str
) -> None:
    params = change_frame(batch.target, frame)
    found = draw_predictions(params, batch, SmilModel.builtin(), edge=64)
    assert [picture.name for picture in found] == list(batch.names)
    for index, picture in enumerate(found):
        assert picture.error_px == pytest.approx(0.0, abs=1e-3)
        assert picture.panels.shape == (64, 192, 3)
        image, mesh = picture.panels[:, :64], picture.panels[:, 64:128]
        rows, columns = np.nonzero((image != mesh).any(axis=-1))
        joints = batch.keypoints_2d[index].numpy() * 64
        assert columns.min() <= joints[:, 0].max()
        assert abs(np.median(columns) - np.median(joints[:, 0])) < 8
        assert abs(np.median(rows) - np.median(joints[:, 1])) < 8


def test_error_is_in_pixels_of_the_network_and_nan_without_visible_joints(batch: Batch) -> None:
    moved = replace(batch.target, trans=batch.target.trans * torch.tensor([1.0, 1.0, 1.2]))
    hidden = replace(batch, keypoint_visibility=torch.zeros_like(batch.keypoint_visibility))
    model = SmilModel.builtin()
    seen = draw_predictions(moved, batch, model, edge=32)
    assert all(0.01 < picture.error_px < 32 for picture in seen)
    side = batch.image.shape[-1] if batch.image is not None else 0
    assert seen[0].label.endswith(f"error {seen[0].error_px:.1f} px of the {side} px input")
    unseen = draw_predictions(moved, hidden, model, edge=32)
    assert all(np.isnan(picture.error_px) for picture in unseen)
    assert unseen[0].label == f"{batch.names[0]}: no joint seen"


def test_row_and_legend_of_a_picture_give_the_same_error(
    batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    monkeypatch.setattr(overlay, "_text", lambda canvas, text, *_, **__: written.append(text))
    moved = replace(batch.target, trans=batch.target.trans * torch.tensor([1.0, 1.0, 1.2]))
    first, *_ = draw_predictions(moved, batch, SmilModel.builtin(), edge=256)
    start = f"error {first.error_px:.1f} px of"
    assert start in first.label
    assert written[2].startswith(f"{start} {first.network_width},")


def test_cached_features_have_no_pictures(batch: Batch) -> None:
    assert draw_predictions(batch.target, replace(batch, image=None), SmilModel.builtin()) == []


def test_sheet_has_a_row_for_each_picture_best_first(tmp_path: Path) -> None:
    errors = (float("nan"), 3.0, 1.0)
    pictures = [
        PredictionPicture(f"s{value}", value, 96, np.full((10, 400, 3), 50 * index, np.uint8))
        for index, value in enumerate(errors)
    ]
    path = write_prediction_pictures(pictures, tmp_path / "a" / "sheet.png")
    found = cv2.imread(str(path))
    assert found is not None
    assert found.shape == (3 * (10 + 28), 400, 3)
    assert [int(found[row, 0, 0]) for row in (37, 75, 113)] == [100, 50, 0]
    with pytest.raises(DataError, match="no predictions to draw"):
        write_prediction_pictures([], path)


def test_best_median_and_worst_are_chosen_once() -> None:
    errors = [5.0, float("nan"), 1.0, 3.0, 2.0, 4.0]
    assert best_median_worst(errors, each=1) == [2, 3, 0]
    assert best_median_worst([1.0], each=2) == [0]
    assert best_median_worst([float("nan")], each=2) == []


def test_model_is_shown_from_four_sides_and_written_as_a_mesh(tmp_path: Path) -> None:
    model = SmilModel.builtin()
    sheet = draw_model_views(model, edge=64)
    height, width = sheet.shape[0] // 2, sheet.shape[1] // 2
    assert min(height, width) >= 64
    for row in (0, height):
        for column in (0, width):
            view = sheet[row : row + height, column : column + width]
            assert len(np.unique(view.reshape(-1, 3), axis=0)) > 20
    picture, mesh = write_model_sheet(model, tmp_path / "new")
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = mesh.read_text().splitlines()
    assert sum(line.startswith("v ") for line in lines) == model.n_verts
    assert sum(line.startswith("f ") for line in lines) == len(model.faces)
