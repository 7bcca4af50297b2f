"""Model files: both forms, every key checked, every refusal names the file and the key."""

import pickle
import zipfile
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from smil_ray.body.model_file.arrays import ModelArrays
from smil_ray.body.model_file.reading import read_model_file, write_npz
from smil_ray.errors import ModelFileError
from tests.body.small_models import small_arrays


def small_pickle() -> dict[str, Any]:
    arrays = small_arrays(posedirs=True)
    parents = np.array([arrays.skeleton.parents, range(5)], dtype=np.int32)
    return {
        "v_template": arrays.v_template,
        "f": arrays.faces.astype(np.uint32),
        "shapedirs": arrays.shapedirs,
        "J_regressor": arrays.joint_regressor,
        "J": arrays.rest_joints,
        "weights": arrays.weights,
        "posedirs": arrays.posedirs,
        "kintree_table": parents,
        "J_names": list(arrays.skeleton.joint_names),
        "scaledirs": arrays.scaledirs,
        "transdirs": arrays.transdirs,
        "bs_type": "lrotmin",
    }


def read(folder: Path, content: dict[str, Any], **options: Any) -> ModelArrays:
    path = folder / "model.pkl"
    path.write_bytes(pickle.dumps(content, protocol=2))
    return read_model_file(path, **options)


def assert_same(one: ModelArrays, other: ModelArrays) -> None:
    for field in fields(one):
        if field.name != "name":
            np.testing.assert_array_equal(
                getattr(one, field.name), getattr(other, field.name), err_msg=field.name
            )
    assert one.content_hash() == other.content_hash()


def test_pickle_gives_what_was_stored(tmp_path: Path) -> None:
    found = read(tmp_path, small_pickle())
    assert found.name == "model"
    assert_same(found, small_arrays(posedirs=True))


def test_npz_round_trip_keeps_everything(tmp_path: Path) -> None:
    arrays = replace(
        small_arrays(posedirs=True, static=True),
        joint_limits=np.tile([-0.5, 0.5], (5, 3, 1)),
        shape_mean=np.array([0.1, 0.2]),
        shape_cov=np.eye(2),
    )
    found = read_model_file(write_npz(arrays, tmp_path / "model.npz"))
    assert found.name == "small"
    assert_same(found, arrays)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.npz"]


def test_npz_of_equal_models_is_equal_byte_by_byte(tmp_path: Path) -> None:
    one, two = (write_npz(small_arrays(), tmp_path / name) for name in ("a.npz", "b.npz"))
    assert one.read_bytes() == two.read_bytes()


def test_real_model_is_read_and_converted(real_data: Path, tmp_path: Path) -> None:
    arrays = read_model_file(real_data / "models" / "SMILy_STICK.pkl")
    assert (arrays.skeleton.n_joints, arrays.shapedirs.shape[-1]) == (55, 5)
    assert arrays.joint_regressor is not None
    regressed = arrays.joint_regressor @ arrays.v_template
    assert np.linalg.norm(arrays.rest_joints - regressed, axis=1).max() > 0.2
    assert arrays.posedirs is None
    assert not arrays.static_joints
    assert_same(read_model_file(write_npz(arrays, tmp_path / "stick.npz")), arrays)


def test_root_may_be_stored_unsigned(tmp_path: Path) -> None:
    content = small_pickle()
    for dtype in (np.uint32, np.int64):
        table = content["kintree_table"].astype(np.int64)
        table[0, 0] = 4294967295
        found = read(tmp_path, content | {"kintree_table": table.astype(dtype)})
        assert found.skeleton.parents == (-1, 0, 0, 0, 2)


def test_sparse_regressor_and_single_precision_are_read(tmp_path: Path) -> None:
    content = small_pickle()
    content["J_regressor"] = sparse.csc_matrix(content["J_regressor"])
    content["weights"] = content["weights"].astype(np.float32)
    found = read(tmp_path, content)
    np.testing.assert_array_equal(found.joint_regressor, small_arrays().joint_regressor)
    assert found.weights.dtype == np.float64


def test_optional_keys_may_be_absent_or_empty(tmp_path: Path) -> None:
    content = small_pickle() | {"scaledirs": [], "posedirs": np.zeros((0,))}
    for key in ("transdirs", "J_names", "J"):
        del content[key]
    found = read(tmp_path, content)
    assert found.scaledirs is None
    assert found.transdirs is None
    assert found.posedirs is None
    assert found.skeleton.joint_names[1] == "joint_01"
    np.testing.assert_allclose(found.rest_joints, found.joint_regressor @ found.v_template)


def test_zero_blend_shapes_and_zero_regressor_mean_that_there_are_none(tmp_path: Path) -> None:
    content = small_pickle()
    content |= {
        "posedirs": 0 * content["posedirs"],
        "J_regressor": 0 * content["J_regressor"],
        "static_joint_locs": True,
    }
    found = read(tmp_path, content)
    assert found.posedirs is None
    assert found.joint_regressor is None
    with pytest.raises(ModelFileError, match=r"model\.pkl.*'J_regressor' is absent or zero"):
        read(tmp_path, content | {"static_joint_locs": False})


@pytest.mark.parametrize("axes", ["kjx", "jxk", "xkj"])
def test_axes_of_directions_are_found_by_size_or_taken_as_given(tmp_path: Path, axes: str) -> None:
    content = small_pickle()
    moved = content["scaledirs"].transpose(["kjx".index(axis) for axis in axes])
    found = read(tmp_path, content | {"scaledirs": moved})
    np.testing.assert_array_equal(found.scaledirs, content["scaledirs"])
    content |= {"scaledirs": moved, "transdirs": moved}
    found = read(tmp_path, content, direction_axes=axes)
    np.testing.assert_array_equal(found.transdirs, small_arrays(posedirs=True).scaledirs)


def test_ambiguous_axes_are_refused_until_they_are_given(tmp_path: Path) -> None:
    content = small_pickle()
    three = np.random.default_rng(0).normal(size=(3, 5, 3))
    content |= {"shapedirs": np.zeros((8, 3, 3)), "scaledirs": three, "transdirs": three}
    with pytest.raises(ModelFileError, match=r"model\.pkl.*'scaledirs'.*ambiguous.*'kjx'"):
        read(tmp_path, content)
    found = read(tmp_path, content, direction_axes="xjk")
    np.testing.assert_array_equal(found.scaledirs, three.transpose(2, 1, 0))
    with pytest.raises(ModelFileError, match="permutation"):
        read(tmp_path, content, direction_axes="abc")


REQUIRED = ["v_template", "f", "shapedirs", "weights", "kintree_table"]


@pytest.mark.parametrize("key", REQUIRED)
def test_missing_key_is_named(tmp_path: Path, key: str) -> None:
    content = small_pickle()
    del content[key]
    with pytest.raises(ModelFileError, match=rf"model\.pkl.*'{key}' is missing"):
        read(tmp_path, content)


def test_without_regressor_and_joints_both_keys_are_named(tmp_path: Path) -> None:
    content = small_pickle()
    del content["J_regressor"], content["J"]
    with pytest.raises(ModelFileError, match=r"'J' and 'J_regressor'.*found neither"):
        read(tmp_path, content)


WRONG: list[tuple[str, Any]] = [
    ("v_template", np.zeros((8, 2))),
    ("v_template", np.zeros(8)),
    ("v_template", "text"),
    ("f", np.zeros((4, 4), dtype=int)),
    ("f", np.full((4, 3), 8)),
    ("f", np.full((4, 3), -1)),
    ("f", np.full((4, 3), 0.5)),
    ("shapedirs", np.zeros((7, 3, 2))),
    ("shapedirs", np.zeros((8, 3))),
    ("J_regressor", np.ones((5, 7)) / 7),
    ("J_regressor", np.ones((5, 8))),
    ("J", np.zeros((4, 3))),
    ("weights", np.ones((8, 4)) / 4),
    ("weights", np.ones((8, 5))),
    ("weights", [[1.0], [1.0, 2.0]]),
    ("posedirs", np.ones((8, 3, 7))),
    ("kintree_table", np.zeros((5, 2), dtype=int)),
    ("kintree_table", np.array([[-1, 0, 0, 0, 2], [0, 1, 2, 4, 3]])),
    ("J_names", 5),
    ("J_names", [1, 2, 3, 4, 5]),
    ("scaledirs", np.ones((2, 5, 4))),
    ("scaledirs", np.ones((2, 5))),
    ("transdirs", np.ones((3, 5, 3))),
    ("joint_limits", np.zeros((5, 3))),
    ("joint_limits", np.tile([1.0, -1.0], (5, 3, 1))),
    ("shape_cov", np.zeros((3, 3))),
    ("shape_mean_betas", np.zeros(3)),
    ("static_joint_locs", "yes"),
]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_wrong_value_is_refused_naming_file_and_key(tmp_path: Path, key: str, value: Any) -> None:
    with pytest.raises(ModelFileError, match=rf"model\.pkl: .*'{key}'"):
        read(tmp_path, small_pickle() | {key: value})


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize(
    "key", ["v_template", "shapedirs", "J_regressor", "J", "weights", "posedirs", "scaledirs"]
)
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, key: str, value: float) -> None:
    content = small_pickle()
    content[key] = content[key].copy()
    content[key].flat[3] = value
    with pytest.raises(ModelFileError, match=rf"model\.pkl: key '{key}'.*1 that are NaN"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"J_names": ["a", "b", "c", "d"]}, "expected 4 parents"),
        ({"J_names": ["a", "b", "c", "d", "a"]}, "'a' occurs twice"),
        ({"kintree_table": np.array([[-1, 2, 0, 0, 2], range(5)])}, "parents before children"),
        ({"kintree_table": np.array([[-1, -1, 0, 0, 2], range(5)])}, "one root"),
        ({"kintree_table": np.array([[0, 0, 0, 0, 2], range(5)])}, "one root"),
    ],
)
def test_broken_tree_is_refused(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=rf"model\.pkl: .*{message}"):
        read(tmp_path, small_pickle() | change)


def test_missing_file_says_what_to_do(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.pkl", tmp_path):
        with pytest.raises(ModelFileError, match=r"no such model file.*'builtin'"):
            read_model_file(path)


def test_truncated_and_foreign_npz_are_refused(tmp_path: Path) -> None:
    path = write_npz(small_arrays(), tmp_path / "model.npz")
    raw = path.read_bytes()
    for length in range(4, len(raw), 211):
        path.write_bytes(raw[:length])
        with pytest.raises(ModelFileError, match=r"model\.npz"):
            read_model_file(path)
    np.savez(path, something=np.zeros(3))
    with pytest.raises(ModelFileError, match=r"model\.npz: key 'smil_model_version'"):
        read_model_file(path)


def test_npz_with_a_pickle_inside_is_refused_and_not_executed(tmp_path: Path) -> None:
    path = write_npz(small_arrays(), tmp_path / "model.npz")
    with np.load(path) as archive:
        content = dict(archive)
    content["weights"] = np.array([{"a": 1}], dtype=object)
    np.savez(path, **content, allow_pickle=True)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ModelFileError, match=r"model\.npz"):
        read_model_file(path)


@pytest.mark.parametrize("key", ["weights", "parents", "joint_names", "faces", "v_template"])
def test_npz_without_a_required_array_is_refused(tmp_path: Path, key: str) -> None:
    path = write_npz(small_arrays(), tmp_path / "model.npz")
    with np.load(path) as archive:
        content = dict(archive)
    del content[key]
    np.savez(path, **content)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ModelFileError, match=rf"model\.npz: .*'{key}'"):
        read_model_file(path)


def test_zip_that_is_no_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ModelFileError, match=r"model\.npz"):
        read_model_file(path)


def test_writing_where_nothing_can_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"cannot be written"):
        write_npz(small_arrays(), tmp_path / "absent" / "model.npz")


def test_hash_depends_on_content_and_not_on_the_name() -> None:
    arrays = small_arrays()
    assert replace(arrays, name="other").content_hash() == arrays.content_hash()
    assert replace(arrays, static_joints=True).content_hash() != arrays.content_hash()
    changed = arrays.v_template.copy()
    changed[0, 0] += 1e-12
    assert replace(arrays, v_template=changed).content_hash() != arrays.content_hash()
