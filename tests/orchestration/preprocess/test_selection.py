"""Lists of names to use."""

import json
from pathlib import Path

import pytest

from smil_ray.data.hdf5.schema import Drop
from smil_ray.data.replicant.reading import Entry
from smil_ray.errors import DataError
from smil_ray.orchestration.preprocess._selection import read_selection

REPORT = {
    "good_names": ["a", "c"],
    "kinds": {"no_mask": {"severity": "warning"}, "reprojection": {"severity": "error"}},
    "findings": [
        {"kind": "no_mask", "name": "b", "message": "b: no ID mask"},
        {"kind": "reprojection", "name": "b", "message": "b: 2DPos"},
    ],
}


def entries(*names: str) -> list[Entry]:
    return [Entry(name, name, Path(f"{name}.json"), None, None) for name in names]


def test_names_of_a_text_file_are_used_and_the_others_not_listed(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("c\n\na \n")
    kept, left_out = read_selection(tmp_path / "good.txt").split(entries("a", "b", "c"))
    assert [entry.name for entry in kept] == ["a", "c"]
    assert left_out == [Drop("b", "not_listed", "b", is_error=False)]


def test_report_of_the_doctor_gives_the_reasons(tmp_path: Path) -> None:
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    kept, left_out = read_selection(tmp_path / "report.json").split(entries("a", "b", "c", "d"))
    assert [entry.name for entry in kept] == ["a", "c"]
    assert [(drop.name, drop.reason, drop.detail) for drop in left_out] == [
        ("b", "reprojection", "b: 2DPos"),
        ("d", "not_listed", "d"),
    ]


def test_list_of_other_names_is_refused(tmp_path: Path) -> None:
    (tmp_path / "good.txt").write_text("x\n")
    with pytest.raises(DataError, match=r"no entry of the input.*such as 'a'.*such as 'x'"):
        read_selection(tmp_path / "good.txt").split(entries("a"))


@pytest.mark.parametrize("content", [b"{", b'{"a": 1}', b'{"kinds": 3}', b"\xff\xfe\x00"])
def test_file_that_is_no_list_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "list").write_bytes(content)
    with pytest.raises(DataError, match="list"):
        read_selection(tmp_path / "list")
    with pytest.raises(DataError, match="cannot be read"):
        read_selection(tmp_path / "missing")
