"""Files of boxes: CSV and COCO, and what is wrong with them in words."""

import json
from pathlib import Path

import pytest

from smil_ray.errors import DataError
from smil_ray.results.prediction.boxes import Box, read_boxes

COCO = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "width": 640, "height": 480},
        {"id": 8, "file_name": "more/b.jpg"},
    ],
    "annotations": [
        {"id": 1, "image_id": 8, "bbox": [1, 2, 30, 40]},
        {"id": 2, "image_id": 7, "bbox": [5.5, 6, 70, 80]},
        {"id": 3, "image_id": 7, "bbox": [0, 0, 9, 9]},
    ],
}


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_csv_gives_boxes_by_file_in_order(tmp_path: Path) -> None:
    text = "\ufefffile,x,y,w,h,score\na.jpg, 1,2,3.5,4,0.9\nb.jpg,5,6,7,8,0.5\na.jpg,9,9,9,9,0.1\n"
    found = read_boxes(write(tmp_path / "boxes.csv", text)).boxes
    assert {name: [box.xywh for box in boxes] for name, boxes in found.items()} == {
        "a.jpg": [(1.0, 2.0, 3.5, 4.0), (9.0, 9.0, 9.0, 9.0)],
        "b.jpg": [(5.0, 6.0, 7.0, 8.0)],
    }
    assert found["b.jpg"][0].where == f"{tmp_path / 'boxes.csv'}:3"


def test_coco_gives_boxes_by_file_name_with_the_size_of_the_image(tmp_path: Path) -> None:
    found = read_boxes(write(tmp_path / "boxes.json", json.dumps(COCO))).boxes
    assert [box.xywh for box in found["a.jpg"]] == [(5.5, 6, 70, 80), (0, 0, 9, 9)]
    assert found["a.jpg"][0].size_px == (640, 480)
    assert found["more/b.jpg"][0].size_px is None


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("b.csv", "", "first line; expected file,x,y,w,h; found an empty file"),
        ("b.csv", "file,x1,y1,x2,y2\na,1,2,3,4\n", "found file,x1,y1,x2,y2"),
        ("b.csv", "file,x,y,w,h\na,1,2,3,wide\n", r"b\.csv:2: h; expected a number; found 'wide'"),
        ("b.csv", "file,x,y,w,h\na,1,2,3\n", "h; expected a number; found None"),
        ("b.csv", "file,x,y,w,h\n", "no box"),
        ("b.json", "[]", "not a COCO file"),
        ("b.json", '[{"image_id": 1, "bbox": [1, 2, 3, 4]}]', "not a COCO file; expected images"),
        ("b.json", json.dumps({**COCO, "images": []}), "not a COCO file.*KeyError"),
        ("b.json", json.dumps({**COCO, "annotations": []}), "no box"),
        ("b.txt", '{"images": 3', "not a COCO file"),
    ],
)
def test_what_is_no_file_of_boxes_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_boxes(write(tmp_path / name, text))


def test_missing_file_and_bytes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.csv: cannot be read as boxes; found No such file"):
        read_boxes(tmp_path / "no.csv")
    (tmp_path / "b.csv").write_bytes(b"file,x,y,w,h\n\xff\xfe,1,2,3,4\n")
    with pytest.raises(DataError, match="not text in UTF-8"):
        read_boxes(tmp_path / "b.csv")


def test_box_is_cut_at_the_edges_of_the_picture() -> None:
    assert Box((-10.0, 20.0, 50.0, 500.0), "x").inside((100, 80)).tolist() == [0, 20, 40, 80]
    assert Box((3.5, 4.0, 5.0, 6.0), "x").inside((100, 80)).tolist() == [3.5, 4, 8.5, 10]


@pytest.mark.parametrize(
    ("xywh", "size", "message"),
    [
        ((1, 2, 0, 5), None, "f:3: box; expected width and height above 0; found x 1, y 2, w 0"),
        ((1, 2, 5, -5), None, "width and height above 0"),
        ((1, float("nan"), 5, 5), None, "width and height above 0"),
        ((200, 2, 5, 5), None, "f:3: box outside the picture.*inside 100 x 80 px; found x 200"),
        ((-50, 2, 51, 5), None, "box outside the picture; expected at least 2 px"),
        ((1, 2, 5, 5), (640, 480), "another size; expected 100 x 80 px; found 640 x 480 px"),
    ],
)
def test_box_that_cannot_be_cut_out_is_refused(xywh: tuple, size: tuple, message: str) -> None:
    left, top, width, height = map(float, xywh)
    box = Box((left, top, width, height), "f:3", size)
    with pytest.raises(DataError, match=message):
        box.inside((100, 80))
