"""Which images names in files of boxes and cameras mean, and how results are called."""

from pathlib import Path

import pytest

from smil_ray.errors import DataError
from smil_ray.results.prediction.images import match_names, unique_stems


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
