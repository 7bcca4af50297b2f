"""Finding the files of a data set: names, groups, masks, and what is no annotation."""

import json
import os
from pathlib import Path

import pytest

from smil_ray.data.filters import SampleError
from smil_ray.data.replicant.reading import find_entries, read_samples
from smil_ray.errors import DataError
from tests.data.replicant import tiny_replicant as tiny


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        text = '{"iterationData": {}}' if name.endswith("json") else ""
        (folder / name).write_text(text)


def test_entries_are_sorted_and_other_json_files_skipped(tmp_path):
    touch(tmp_path, "b_01.json", "b_00.json", "b_00.JPG", "_BatchData_b.json")
    (tmp_path / "labels.json").write_text(json.dumps({"images": [], "annotations": []}))
    assert [entry.name for entry in find_entries(tmp_path)] == ["b_00", "b_01"]


def test_nested_folders_and_names_with_dots_give_path_names(tmp_path):
    touch(tmp_path / "set v1.2" / "deep", "ant.v2_00.json", "ant.v2_00.JPG", "ant.v2_00_ID.png")
    (entry,) = find_entries(tmp_path)
    assert entry.name == entry.group == "set v1.2/deep/ant.v2_00"
    assert entry.image_path == tmp_path / "set v1.2" / "deep" / "ant.v2_00.JPG"
    assert entry.mask_path == tmp_path / "set v1.2" / "deep" / "ant.v2_00_ID.png"


@pytest.mark.parametrize("suffix", [".JPG", ".jpg", ".jpeg", ".png"])
def test_picture_is_found_by_every_suffix(tmp_path, suffix):
    touch(tmp_path, "a_00.json", f"a_00{suffix}")
    (entry,) = find_entries(tmp_path)
    assert entry.image_path is not None
    assert entry.image_path.name == f"a_00{suffix}"


def test_views_of_a_multi_camera_frame_share_their_group(tmp_path):
    for camera in (1, 2):
        touch(
            tmp_path,
            f"m_00007_CAM{camera}.json",
            f"m_00007_CAM{camera}.JPG",
            f"m_00007_ID_CAM{camera}.png",
        )
    entries = find_entries(tmp_path)
    assert [entry.name for entry in entries] == ["m_00007_CAM1", "m_00007_CAM2"]
    assert {entry.group for entry in entries} == {"m_00007"}
    assert [e.mask_path.name for e in entries if e.mask_path] == [
        "m_00007_ID_CAM1.png",
        "m_00007_ID_CAM2.png",
    ]


def test_broken_annotation_beside_a_picture_is_kept(tmp_path):
    touch(tmp_path, "a_00.JPG")
    (tmp_path / "a_00.json").write_bytes(b"")
    assert [entry.name for entry in find_entries(tmp_path)] == ["a_00"]


def test_same_name_twice_is_marked_and_refused(tmp_path):
    path = tiny.write(tmp_path, "a_00", tiny.frame())
    path.with_suffix(".JSON").write_bytes(path.read_bytes())
    first, second = find_entries(tmp_path)
    assert first.duplicate_of is None
    assert second.duplicate_of == first.json_path
    with pytest.raises(SampleError) as error:
        read_samples(second, tiny.TinyBody())
    assert error.value.reason == "duplicate_name"


def test_link_that_leads_back_does_not_loop(tmp_path):
    touch(tmp_path / "a", "a_00.json", "a_00.JPG")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    assert len(find_entries(tmp_path)) == 1


@pytest.mark.parametrize("name", ["nothing", "missing"])
def test_folder_without_annotations_is_an_error_that_names_it(tmp_path, name):
    (tmp_path / "nothing").mkdir()
    with pytest.raises(DataError, match=name):
        find_entries(tmp_path / name)


def test_name_in_another_encoding_is_an_error_that_shows_it(tmp_path):
    touch(tmp_path, "a_00.json", "a_00.JPG", os.fsdecode("K\xe4fer_00.json".encode("latin1")))
    with pytest.raises(DataError, match=r"K\\udce4fer_00\.json; expected a name in UTF-8.*convmv"):
        find_entries(tmp_path)
