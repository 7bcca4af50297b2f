"""What people's tools leave in a model file: chumpy, SMPL-X, byte strings, one shape, a trunk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from smil_ray.body.model_file.reading import read_model_file, write_npz
from smil_ray.errors import ModelFileError
from tests.body.model_file.chumpy_pickles import ch, dump, selected
from tests.body.model_file.test_reading import assert_same, read, small_pickle
from tests.body.small_models import small_arrays


@pytest.mark.parametrize("protocol", [0, 2])
@pytest.mark.parametrize("key", ["v_template", "f", "shapedirs", "J", "weights", "posedirs"])
def test_any_array_of_a_model_may_be_a_chumpy_array(
    tmp_path: Path, key: str, protocol: int
) -> None:
    content = small_pickle()
    path = tmp_path / "model.pkl"
    path.write_bytes(dump(content | {key: ch(content[key])}, protocol))
    assert_same(read_model_file(path), small_arrays(posedirs=True))


def test_selected_shape_directions_of_an_official_file_are_read(tmp_path: Path) -> None:
    content = small_pickle()
    wider = np.concatenate([content["shapedirs"], np.ones((8, 3, 5))], axis=2)
    content["shapedirs"] = selected(ch(wider), wider.shape, np.s_[:, :, :2])
    path = tmp_path / "model.pkl"
    path.write_bytes(dump(content, 2))
    assert_same(read_model_file(path), small_arrays(posedirs=True))


def smplx_file(path: Path, **changes: Any) -> Path:
    """Write a model as SMPL-X is published: plain arrays by SMPL's keys, and objects besides."""
    content = {key: np.asarray(value) for key, value in small_pickle().items()}
    names = {name: joint for joint, name in enumerate(small_arrays().skeleton.joint_names)}
    content["joint2num"] = np.array(names, dtype=object)
    np.savez(path, **(content | changes), allow_pickle=True)  # pyright: ignore[reportArgumentType]
    return path


def test_npz_in_the_layout_of_smplx_is_read_and_its_objects_are_left_alone(tmp_path: Path) -> None:
    found = read_model_file(smplx_file(tmp_path / "model.npz"))
    assert found.name == "model"
    assert_same(found, small_arrays(posedirs=True))


def test_npz_of_smplx_with_an_object_for_an_array_is_refused(tmp_path: Path) -> None:
    path = smplx_file(tmp_path / "model.npz", weights=np.array({"a": 1}, dtype=object))
    with pytest.raises(ModelFileError, match=r"model\.npz: not a readable .*not unpickled"):
        read_model_file(path)


def test_byte_strings_as_keys_and_names_are_decoded(tmp_path: Path) -> None:
    content: dict[Any, Any] = {key.encode(): value for key, value in small_pickle().items()}
    content[b"J_names"] = [name.encode() for name in small_arrays().skeleton.joint_names]
    assert_same(read(tmp_path, content), small_arrays(posedirs=True))
    names = np.array([name.encode() for name in small_arrays().skeleton.joint_names])
    assert_same(
        read_model_file(smplx_file(tmp_path / "m.npz", J_names=names)), small_arrays(posedirs=True)
    )


@pytest.mark.parametrize("empty", [np.zeros((8, 3, 0)), np.zeros(0), []])
def test_model_of_one_shape_has_no_betas(tmp_path: Path, empty: Any) -> None:
    content = small_pickle() | {"shapedirs": empty, "scaledirs": [], "transdirs": []}
    found = read(tmp_path, content)
    assert found.shapedirs.shape == (8, 3, 0)
    assert_same(read_model_file(write_npz(found, tmp_path / "one.npz")), found)


def test_missing_shape_directions_come_with_the_way_to_say_that_there_are_none(
    tmp_path: Path,
) -> None:
    content = small_pickle()
    del content["shapedirs"]
    with pytest.raises(ModelFileError, match=r"'shapedirs' is missing.*one shape.*\(V, 3, 0\)"):
        read(tmp_path, content)


@pytest.mark.parametrize("name", ["model.pkl", "model.npz"])
def test_git_lfs_pointer_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(ModelFileError, match=rf"{name}: a Git LFS pointer.*git lfs pull"):
        read_model_file(path)


def test_body_chain_that_the_model_names_is_kept_in_both_forms(tmp_path: Path) -> None:
    chain = [b"b_a", b"b_t", b"l_l"]
    found = read(tmp_path, small_pickle() | {"body_chain": chain})
    assert found.skeleton.named_chain == ("b_a", "b_t", "l_l")
    assert found.content_hash() != small_arrays(posedirs=True).content_hash()
    assert_same(read_model_file(write_npz(found, tmp_path / "named.npz")), found)
    with pytest.raises(ModelFileError, match=r"model\.pkl: .*unknown joint 'b_q'"):
        read(tmp_path, small_pickle() | {"body_chain": ["b_t", "b_q"]})
