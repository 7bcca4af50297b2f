"""Answers to sent pictures: what `predict` writes of the same files, to the last digit."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from pyarrow import parquet

from smil_ray.data.dataset import SmilDataset
from smil_ray.errors import ConfigError, DataError
from smil_ray.results.prediction.boxes import read_boxes
from smil_ray.results.prediction.output import sent_pictures
from smil_ray.results.prediction.output.sent_pictures import PictureTables, SentPicture
from smil_ray.results.prediction.predict import predict_images
from smil_ray.training.checkpoint.loading import LoadedRegressor

COLUMNS = ["x_px", "y_px", "x_cam", "y_cam", "z_cam", "interval_2d_px", "interval_3d_pct_bl"]


@pytest.fixture
def files(insect_file: Path, tmp_path: Path) -> list[Path]:
    """Ten pictures of several shapes: more than a batch."""
    data = SmilDataset.from_path(insect_file)
    paths = [tmp_path / f"{number:02d}.png" for number in range(10)]
    for number, path in enumerate(paths):
        size = (64 + 8 * (number % 3), 64 + 4 * (number % 2))
        rgb = cv2.resize(data.sample(number).image, size)
        cv2.imwrite(str(path), rgb[..., ::-1])
    return paths


@pytest.mark.parametrize("mode", ["none", "auto", "boxes"])
def test_joints_are_those_of_predict(
    loaded: LoadedRegressor, files: list[Path], mode: str, tmp_path: Path
) -> None:
    if mode == "auto":
        meta = {**loaded.meta, "crop": {"mode": "bbox"}}
        loaded = replace(loaded, meta=meta)
        assert loaded.crop.mode == "bbox"
    box = (4.0, 6.0, 40.0, 44.0)
    boxes = None
    if mode == "boxes":
        lines = "".join(f"{path.name},4,6,40,44\n" for path in files)
        (tmp_path / "boxes.csv").write_text(f"file,x,y,w,h\n{lines}")
        boxes = read_boxes(tmp_path / "boxes.csv")
    report = predict_images(loaded, files, tmp_path / "out", boxes=boxes)
    assert report.failed == {}
    written = parquet.read_table(tmp_path / "out" / "predictions.parquet")
    sent = [SentPicture(path.read_bytes(), box if boxes else None) for path in files]
    answer = PictureTables(loaded).joints(sent)
    assert answer.column_names == ["picture", "joint", *COLUMNS]
    assert answer["picture"].to_pylist() == np.arange(10).repeat(55).tolist()
    assert answer["joint"].to_pylist() == written["joint"].to_pylist()
    for name in COLUMNS:
        assert answer[name].equals(written[name]), name


def test_parameters_are_a_line_a_picture(
    loaded: LoadedRegressor, files: list[Path], tmp_path: Path
) -> None:
    predict_images(loaded, files, tmp_path / "out")
    answer = PictureTables(loaded).parameters([SentPicture(path.read_bytes()) for path in files])
    assert len(answer) == 10
    with np.load(tmp_path / "out" / "parameters.npz") as arrays:
        for name in ("global_rot", "joint_rot", "betas", "trans", "fov"):
            found = np.array(answer[name].to_pylist(), dtype=np.float32)
            np.testing.assert_array_equal(found, arrays[name])
        np.testing.assert_array_equal(answer["fx_px"].to_numpy(), arrays["camera_px"][:, 0])


def test_run_without_intervals_answers_without_their_columns(
    loaded: LoadedRegressor, files: list[Path]
) -> None:
    other = replace(loaded, meta={**loaded.meta, "sha256": {}})
    answer = PictureTables(other).joints([SentPicture(files[0].read_bytes())])
    assert answer.column_names == ["picture", "joint", *COLUMNS[:5]]


def test_large_pictures_are_decoded_in_smaller_batches(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sent_pictures, "MAX_UPLOAD_PIXELS", 3 * 72 * 68)
    sent = [SentPicture(path.read_bytes()) for path in files]
    batches = list(sent_pictures._batches(sent))
    assert [number for batch in batches for number, _ in batch] == list(range(10))
    assert max(len(batch) for batch in batches) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image": b"a text"}, "picture 1: picture; expected JPEG"),
        ({"image": b""}, "picture 1: picture; .*empty"),
        ({"box": (900.0, 0.0, 5.0, 5.0)}, "picture 1: box outside the picture"),
        ({"box": (0.0, 0.0, -5.0, 5.0)}, "picture 1: box; expected width and height above 0"),
        ({"fov_deg": 200.0}, "picture 1: fov_deg; expected degrees"),
    ],
)
def test_what_cannot_be_used_is_named(
    loaded: LoadedRegressor, files: list[Path], change: dict, reason: str
) -> None:
    sent = [SentPicture(path.read_bytes()) for path in files[:3]]
    sent[1] = replace(sent[1], **change)
    with pytest.raises((DataError, ConfigError), match=reason):
        PictureTables(loaded).joints(sent)


def test_empty_request_is_refused(loaded: LoadedRegressor) -> None:
    with pytest.raises(DataError, match="no picture"):
        PictureTables(loaded).joints([])
