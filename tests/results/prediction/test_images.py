"""Which files are images, which ones names in files of boxes mean, and how results are called."""

from pathlib import Path

import numpy as np
import pytest

from smil_ray.errors import DataError
from smil_ray.results.prediction.images import find_images, match_names, unique_stems
from tests.results.prediction.prediction_files import write


def test_names_mean_images_by_the_end_of_their_path() -> None:
    images = [Path("/x/one/a.jpg"), Path("/x/two/a.jpg"), Path("/x/b.jpg"), Path("/x/ab.jpg")]
    found = match_names(["two/a.jpg", "one/a.jpg", "b.jpg", "none.jpg"], images, "f")
    assert found == {images[0]: "one/a.jpg", images[1]: "two/a.jpg", images[2]: "b.jpg"}


def test_longest_of_several_names_counts() -> None:
    images = [Path("/x/one/a.jpg"), Path("/x/two/a.jpg")]
    assert match_names(["a.jpg", "one/a.jpg"], images, "f") == {
        images[0]: "one/a.jpg",
        images[1]: "a.jpg",
    }


def test_name_of_several_images_is_refused() -> None:
    images = [Path("/x/one/a.jpg"), Path("/x/two/a.jpg")]
    with pytest.raises(DataError, match=r"f: 'a\.jpg' is the name of several images.*one.a\.jpg"):
        match_names(["a.jpg"], images, "f")


def test_names_of_other_images_only_are_refused() -> None:
    with pytest.raises(DataError, match=r"f: it names none.*such as 'a\.jpg'; found 'b\.jpg'"):
        match_names(["b.jpg"], [Path("/x/a.jpg")], "f")


def test_results_of_equal_names_get_numbers_that_are_free() -> None:
    paths = [Path(p) for p in ("x/p.png", "y/p.png", "y/p_2.png", "x/p.png", "z/q.jpg")]
    assert unique_stems(paths) == ["p", "p_3", "p_2", "p_4", "q"]


def test_images_of_folders_are_found_once_in_order(tmp_path: Path) -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    expected = [write(tmp_path / name, rgb) for name in ("a.JPG", "b.png", "c.jpeg", "d.TIF")]
    for name in ("a_ID.png", "a_Depth.png"):
        write(tmp_path / name, rgb)
    assert find_images([tmp_path]).paths == expected
    assert find_images([expected[1], tmp_path]).paths[:2] == [expected[1], expected[0]]
    with pytest.raises(DataError, match=r"no\.jpg does not exist"):
        find_images([tmp_path / "no.jpg"])


def test_no_file_of_a_folder_is_left_out_without_a_word(tmp_path: Path) -> None:
    rgb = np.zeros((8, 8, 3), np.uint8)
    named = write(tmp_path / "a.webp", rgb)
    (tmp_path / "without_ending").write_bytes(write(tmp_path / "x.bmp", rgb).read_bytes())
    write(tmp_path / "a_ID.png", rgb)
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "phone").write_bytes(bytes(4) + b"ftypheic" + bytes(20))
    (tmp_path / "deeper").mkdir()
    found = find_images([tmp_path])
    assert found.paths == [named, tmp_path / "without_ending", tmp_path / "x.bmp"]
    assert len(found.paths) + len(found.left_out) == len(list(tmp_path.iterdir()))
    assert sorted(found.notes()) == [
        "1 left out, HEIC is not read, export it as JPEG or PNG: phone",
        "1 left out, folder: deeper",
        "1 left out, mask or map: a_ID.png",
        "1 left out, no image: notes.txt",
    ]


def test_folder_without_an_image_says_what_is_there(tmp_path: Path) -> None:
    for number in range(7):
        (tmp_path / f"n{number}.txt").write_text("")
    with pytest.raises(DataError, match=r"\.jpg, .*found 7 left out, no image: n0\.txt, "):
        find_images([tmp_path])
