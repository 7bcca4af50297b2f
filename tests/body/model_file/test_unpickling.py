"""Reading model pickles: what is admitted arrives intact, anything else is never executed."""

import io
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from smil_ray.body.model_file._unpickling import load_model_pickle
from smil_ray.errors import ModelFileError


class Call:
    """Pickles as a call of any function."""

    def __init__(self, function: Any, *args: Any) -> None:
        self.made = (function, args)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.made


def write(path: Path, content: Any, protocol: int = 2) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4),
        np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
        np.arange(6, dtype=">f8"),
        np.array([True, False]),
        np.zeros((0,)),
        np.array(["b_t", "b_h"]),
        np.float32(1.5),
    ],
    ids=["c", "fortran", "big-endian", "bool", "empty", "text", "scalar"],
)
def test_numpy_arrays_of_every_protocol_come_back(
    tmp_path: Path, array: Any, protocol: int
) -> None:
    found = load_model_pickle(write(tmp_path / "m.pkl", {"a": array, "n": [1]}, protocol))
    np.testing.assert_array_equal(found["a"], array)
    assert np.asarray(found["a"]).dtype.newbyteorder("=") == array.dtype.newbyteorder("=")
    assert found["n"] == [1]


@pytest.mark.parametrize("protocol", [0, 2, 5])
@pytest.mark.parametrize("form", ["csc", "csr", "coo"])
@pytest.mark.parametrize("kind", ["matrix", "array"])
def test_sparse_matrices_come_back_dense(
    tmp_path: Path, form: str, kind: str, protocol: int
) -> None:
    dense = np.array([[0.0, 2.0, 0.0], [1.0, 0.0, -3.0]])
    stored = getattr(sparse, f"{form}_{kind}")(dense)
    found = load_model_pickle(write(tmp_path / "m.pkl", {"r": stored}, protocol))
    np.testing.assert_array_equal(found["r"], dense)


@pytest.mark.parametrize("protocol", range(6))
def test_sets_are_read_and_never_made_of_anything_but_lists(tmp_path: Path, protocol: int) -> None:
    found = load_model_pickle(write(tmp_path / "m.pkl", {"s": {"a"}, "f": frozenset()}, protocol))
    assert found == {"s": ["a"], "f": []}
    with pytest.raises(ModelFileError, match="that is no list"):
        load_model_pickle(write(tmp_path / "m.pkl", {"s": Call(set, "text")}, 2))


def test_byte_string_keys_are_decoded(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pkl", {b"v_template": np.arange(3), b"J_names": [b"b_t"]})
    found = load_model_pickle(path)
    np.testing.assert_array_equal(found["v_template"], np.arange(3))
    assert set(found) == {"v_template", "J_names"}


def test_only_wanted_keys_need_to_be_data(tmp_path: Path) -> None:
    path = write(tmp_path / "m.pkl", {"a": np.arange(3), "b": np.array([None, 1], dtype=object)})
    assert set(load_model_pickle(path, {"a", "absent"})) == {"a"}
    with pytest.raises(ModelFileError, match="object arrays are refused"):
        load_model_pickle(path, {"b"})


def test_old_and_new_module_names_of_numpy_are_read_without_a_warning(tmp_path: Path) -> None:
    raw = pickle.dumps({"a": np.arange(3.0)}, protocol=2)
    assert b"numpy._core" in raw
    path = tmp_path / "m.pkl"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for content in (raw, raw.replace(b"numpy._core", b"numpy.core")):
            path.write_bytes(content)
            np.testing.assert_array_equal(load_model_pickle(path)["a"], np.arange(3.0))


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.system, r"(posix|nt)\.system"),
        (eval, r"(builtins|__builtin__)\.eval"),
        (exec, r"(builtins|__builtin__)\.exec"),
        (getattr, r"(builtins|__builtin__)\.getattr"),
        (__import__, r"(builtins|__builtin__)\.__import__"),
        (pickle.loads, r"pickle\.loads"),
        (np.load, r"numpy\.load"),
        (Path, r"pathlib"),
    ],
)
def test_any_other_function_is_refused_by_name_and_not_called(
    tmp_path: Path, function: Any, name: str
) -> None:
    victim = tmp_path / "executed"
    attack = Call(function, f"touch {victim}")
    content = {"v_template": np.zeros(3), "deep": [{"nested": (attack,)}]}
    for protocol in (2, 4):
        path = write(tmp_path / "m.pkl", content, protocol)
        with pytest.raises(ModelFileError, match=rf"m\.pkl: .*{name}.*nothing was executed"):
            load_model_pickle(path)
    assert not victim.exists()


def test_reduce_inside_the_state_of_an_array_is_refused(tmp_path: Path) -> None:
    victim = tmp_path / "executed"
    array = np.empty(1, dtype=object)
    array[0] = Call(os.system, f"touch {victim}")
    with pytest.raises(ModelFileError, match="system"):
        load_model_pickle(write(tmp_path / "m.pkl", {"a": array}))
    assert not victim.exists()


def test_object_arrays_are_refused(tmp_path: Path) -> None:
    array = np.array([None, 1], dtype=object)
    with pytest.raises(ModelFileError, match=r"m\.pkl.*object arrays are refused"):
        load_model_pickle(write(tmp_path / "m.pkl", {"a": array}))


@pytest.mark.parametrize("function", [np.ndarray, np.dtype, object])
def test_admitted_types_in_place_of_data_are_refused(tmp_path: Path, function: Any) -> None:
    for content in ({"a": function}, {"a": [Call(np.dtype, "f8")]}):
        with pytest.raises(ModelFileError, match=r"m\.pkl"):
            load_model_pickle(write(tmp_path / "m.pkl", content))


def test_admitted_globals_cannot_change_what_the_next_file_means(tmp_path: Path) -> None:
    # BUILD with a slot state sets attributes on whatever is on the stack: here on the type itself.
    slots = pickle.dumps((None, {"kind": "type"}), protocol=2)[2:-1]
    attack = b"\x80\x02cnumpy._core.multiarray\n_reconstruct\n" + slots + b"b."
    path = tmp_path / "m.pkl"
    path.write_bytes(attack)
    with pytest.raises(ModelFileError):
        load_model_pickle(path)
    found = load_model_pickle(write(path, {"a": np.arange(3)}))
    np.testing.assert_array_equal(found["a"], np.arange(3))


def test_sparse_matrix_with_indices_out_of_range_is_refused(tmp_path: Path) -> None:
    for index in (7, -1):
        matrix = sparse.csc_matrix(np.eye(3))
        matrix.indices[0] = index
        with pytest.raises(ModelFileError, match=r"m\.pkl"):
            load_model_pickle(write(tmp_path / "m.pkl", {"r": matrix}))


def test_array_with_a_lying_shape_is_refused(tmp_path: Path) -> None:
    raw = pickle.dumps({"a": np.zeros((3, 5))}, protocol=2)
    path = tmp_path / "m.pkl"
    path.write_bytes(raw.replace(b"K\x03K\x05", b"K\x7fK\x7f"))
    with pytest.raises(ModelFileError, match=r"m\.pkl: not a readable pickle"):
        load_model_pickle(path)


@pytest.mark.parametrize("content", [[1, 2], "text", None, 3])
def test_anything_but_a_dictionary_is_refused(tmp_path: Path, content: Any) -> None:
    with pytest.raises(ModelFileError, match="expected a dictionary"):
        load_model_pickle(write(tmp_path / "m.pkl", content))


def test_reference_to_itself_is_refused(tmp_path: Path) -> None:
    loop: dict[str, Any] = {}
    loop["loop"] = loop
    with pytest.raises(ModelFileError, match="nested deeper"):
        load_model_pickle(write(tmp_path / "m.pkl", loop))


def test_persistent_reference_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.pkl"
    path.write_bytes(b"Psome-id\n.")
    with pytest.raises(ModelFileError, match="outside the file"):
        load_model_pickle(path)


def test_every_truncation_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    raw = pickle.dumps({"a": np.zeros(3), "r": sparse.csr_matrix(np.eye(2))}, protocol=2)
    path = tmp_path / "m.pkl"
    for length in range(0, len(raw), 5):
        path.write_bytes(raw[:length])
        with pytest.raises(ModelFileError, match=r"m\.pkl"):
            load_model_pickle(path)


def test_damaged_bytes_give_a_model_or_a_clear_error(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    raw = pickle.dumps({"a": np.zeros(3), "r": sparse.csr_matrix(np.eye(2))}, protocol=4)
    path = tmp_path / "m.pkl"
    messages = []
    for _ in range(150):
        damaged = bytearray(raw)
        for place in random.integers(0, len(raw), size=random.integers(1, 4)):
            damaged[place] = random.integers(256)
        path.write_bytes(damaged)
        try:
            load_model_pickle(path)
        except ModelFileError as error:
            messages.append(str(error))
    assert len(messages) > 40
    assert all("m.pkl" in message for message in messages)


def test_pickle_written_by_python_2_is_read(tmp_path: Path) -> None:
    array = np.arange(4.0)
    buffer = io.BytesIO()
    buffer.write(b"(dp0\nS'a'\np1\n")
    buffer.write(b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR")
    buffer.write(b"(I1\n(I4\ntcnumpy\ndtype\n(S'f8'\nI0\nI1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntb")
    text = "".join(f"\\x{byte:02x}" for byte in array.tobytes())
    buffer.write(b"I00\nS'" + text.encode() + b"'\ntbs.")
    path = tmp_path / "m.pkl"
    path.write_bytes(buffer.getvalue())
    np.testing.assert_array_equal(load_model_pickle(path)["a"], array)
