"""Arrays that chumpy pickled: the value that chumpy gives, or a refusal that names the class."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smil_ray.body.model_file._unpickling import load_model_pickle
from smil_ray.errors import ModelFileError
from tests.body.model_file.chumpy_pickles import added, ch, dump, reshaped, selected, transposed
from tests.body.model_file.test_unpickling import Call


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_chumpy_arrays_selections_and_shapes_have_the_value_that_chumpy_gives(
    tmp_path: Path, protocol: int
) -> None:
    array = np.arange(60.0).reshape(5, 3, 4)
    plain = ch(array)
    few = selected(plain, array.shape, np.s_[:, :, :2])
    content = {
        "plain": plain,
        "few": few,
        "fewer": selected(few, (5, 3, 2), np.s_[1:3, 0]),
        "flat": reshaped(plain, (-1,)),
        "turned": transposed(plain, None),
        "swapped": transposed(plain, (1, 0, 2)),
        "single": ch(np.array(7.0)),
    }
    path = tmp_path / "m.pkl"
    path.write_bytes(dump(content, protocol))
    found = load_model_pickle(path)
    expected = {
        "plain": array,
        "few": array[:, :, :2],
        "fewer": array[1:3, 0, :2],
        "flat": array.ravel(),
        "turned": array.T,
        "swapped": array.transpose(1, 0, 2),
        "single": np.array(7.0),
    }
    for key, value in expected.items():
        np.testing.assert_array_equal(found[key], value, err_msg=key)


@pytest.mark.parametrize("protocol", [0, 2])
def test_chumpy_pickles_name_what_the_real_library_names(protocol: int) -> None:
    raw = dump({"v": ch(np.zeros(2))}, protocol)
    assert b"cchumpy.ch\nCh\n" in raw
    assert b"c__builtin__\nset\n" in raw
    assert (b"ccopy_reg\n_reconstructor\n" in raw) == (protocol == 0)


@pytest.mark.parametrize("protocol", [0, 2])
def test_chumpy_sum_is_refused_by_name(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(dump({"v": added(ch(np.zeros(2)), 1.0)}, protocol))
    with pytest.raises(ModelFileError, match=r"m\.pkl.*chumpy\.ch_ops\.add.*plain numpy arrays"):
        load_model_pickle(path)


@pytest.mark.parametrize(
    "node",
    [
        selected(ch(np.zeros(3)), (9,), np.s_[5:]),
        reshaped(ch(np.zeros(3)), (7, 2)),
        reshaped("text", (1,)),
        transposed(ch(np.zeros((3, 2))), (0, 7)),
        ch(np.array("text")),
        ch(Call(os.system, "true")),  # pyright: ignore[reportArgumentType]
    ],
    ids=["outside", "other size", "no array", "no axis", "text", "call"],
)
def test_chumpy_array_without_a_value_is_refused(tmp_path: Path, node: Any) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(dump({"v": node}, 2))
    with pytest.raises(ModelFileError, match=r"m\.pkl"):
        load_model_pickle(path)
