"""Known cameras out of numbers and files."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray.errors import ConfigError, DataError
from smil_ray.results.prediction.cameras import KnownCamera, unknown_camera

PIXELS = [700.0, 702.0, 310.0, 250.0]


def test_field_of_view_is_the_vertical_one_of_the_whole_picture() -> None:
    camera = KnownCamera.from_fov(90.0)
    np.testing.assert_allclose(camera.pixels((640, 480)), [240, 240, 320, 240])
    np.testing.assert_allclose(camera.pixels((100, 200)), [100, 100, 50, 100])


def test_unknown_camera_looks_at_the_middle() -> None:
    assert unknown_camera((641, 480))[2:].tolist() == [320.5, 240.0]
    assert np.isnan(unknown_camera((641, 480))[:2]).all()


@pytest.mark.parametrize(
    "text",
    [
        '{"fx": 700, "fy": 702, "cx": 310, "cy": 250, "lens": "macro"}',
        '{"camera_matrix": [[700, 0, 310], [0, 702, 250], [0, 0, 1]]}',
    ],
)
def test_json_is_the_camera_of_every_picture(tmp_path: Path, text: str) -> None:
    path = tmp_path / "camera.json"
    path.write_text(text)
    cameras = KnownCamera.read(path).of_images([Path("a.jpg"), Path("b.jpg")])
    for camera in cameras.values():
        assert camera.pixels((640, 480)).tolist() == PIXELS
    assert len(cameras) == 2


def test_csv_has_the_camera_of_each_picture_it_names(tmp_path: Path) -> None:
    path = tmp_path / "cameras.csv"
    path.write_text("file,fx,fy,cx,cy\na.jpg,700,702,310,250\nx/b.jpg,1,1,2,3\n")
    images = [Path("y/a.jpg"), Path("x/b.jpg"), Path("c.jpg")]
    found = KnownCamera.read(path).of_images(images)
    assert found[images[0]].pixels((640, 480)).tolist() == PIXELS
    assert found[images[1]].pixels((640, 480)).tolist() == [1, 1, 2, 3]
    assert images[2] not in found


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([700, 700, 320], "--intrinsics; expected fx, fy, cx, cy in pixels"),
        (["700", "700", "320", "middle"], "expected fx, fy, cx, cy in pixels"),
        ([700, -700, 320, 240], "fx and fy above 0"),
        ([700, float("inf"), 320, 240], "fx and fy above 0"),
        ([700, 800, 320, 240], "square pixels, within 2%; found 700 and 800; resize"),
    ],
)
def test_numbers_that_are_no_camera_are_refused(values: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KnownCamera.from_pixels(values)


@pytest.mark.parametrize("fov", [0.0, 180.0, -3.0, float("nan")])
def test_impossible_field_of_view_is_refused(fov: float) -> None:
    with pytest.raises(ConfigError, match="--fov-deg; expected degrees between 0 and 180"):
        KnownCamera.from_fov(fov)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("c.json", '{"f": 1}', "not a camera; expected fx, fy, cx, cy or camera_matrix"),
        ("c.json", '{"camera_matrix": [1, 2]}', "not a camera"),
        ("c.json", "[1, 2", "not a camera"),
        ("c.csv", "file,f\na,1\n", "first line; expected file,fx,fy,cx,cy"),
        ("c.csv", "file,fx,fy,cx,cy\na,1,2,x,3\n", "cx; expected a number; found 'x'"),
    ],
)
def test_what_is_no_file_of_cameras_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message):
        KnownCamera.read(tmp_path / name)
    with pytest.raises(DataError, match="cannot be read as a camera"):
        KnownCamera.read(tmp_path / "no.json")
