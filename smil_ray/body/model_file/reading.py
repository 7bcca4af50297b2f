"""Model files: SMIL, SMAL and SMPL pickles, and the safe .npz form with fixed axis orders."""

import itertools
import os
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.body.model_file._unpickling import load_model_pickle
from smil_ray.body.model_file.arrays import ModelArrays, checked_arrays, regress
from smil_ray.core.skeleton import Skeleton
from smil_ray.errors import ModelFileError

NPZ_VERSION = 1
_UNSIGNED_ROOT = 4294967295
_ZIP_MAGIC = b"PK\x03\x04"


def read_model_file(path: Path | str, *, direction_axes: str | None = None) -> ModelArrays:
    """Return the checked content of a model file, .pkl or .npz, told apart by its first bytes.

    Args:
        path: The file.
        direction_axes: Axis order of `scaledirs` and `transdirs` in a pickle, a permutation of
            "kjx" (weight, joint, coordinate); found by size where None. The .npz form is "kjx".

    Raises:
        ModelFileError: The file is missing, damaged or unsafe, or one of its keys is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(
            f"{path}: no such model file",
            remedy="give the path of a .pkl or .npz model, or 'builtin' for the embedded insect",
        )
    with path.open("rb") as stream:
        is_npz = stream.read(4) == _ZIP_MAGIC
    try:
        if is_npz:
            return checked_arrays(_values_of_npz(path))
        content = load_model_pickle(path)
        return checked_arrays(_values_of_pickle(content, path.stem, direction_axes))
    except ModelFileError as error:
        text = str(error)
        raise (
            error if text.startswith(str(path)) else ModelFileError(f"{path}: {text}")
        ) from None


def write_npz(arrays: ModelArrays, path: Path | str) -> Path:
    """Write `arrays` in the safe form: plain arrays, no pickle; replaces `path` atomically.

    Raises:
        ModelFileError: `path` does not end in .npz, by which it is known when read, or cannot be
            written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ModelFileError(f"{path}", expected="a name that ends in .npz")
    content: dict[str, Any] = {
        "smil_model_version": np.int64(NPZ_VERSION),
        "name": np.array(arrays.name),
        "joint_names": np.array(arrays.skeleton.joint_names),
        "parents": np.array(arrays.skeleton.parents, dtype=np.int64),
        "static_joints": np.array(arrays.static_joints),
    }
    for field in fields(arrays):
        value = getattr(arrays, field.name)
        if isinstance(value, np.ndarray):
            content[field.name] = value
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as stream:
            np.savez_compressed(stream, **content)
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise ModelFileError(f"{path}: cannot be written ({error.strerror})") from error
    return path


def _values_of_npz(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            content = {key: archive[key] for key in archive.files}
    except (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        raise ModelFileError(
            f"not a readable .npz ({error})", remedy="the file is damaged; convert the model again"
        ) from error
    version = content.get("smil_model_version")
    if version is None or version.shape or version.dtype.kind != "i" or version != NPZ_VERSION:
        raise ModelFileError(
            "key 'smil_model_version'", expected=NPZ_VERSION, found=_brief(version)
        )
    skeleton = Skeleton(
        _names(content.get("joint_names"), "joint_names"),
        tuple(int(p) for p in _integers(content, "parents", 1)),
    )
    optional = ("joint_regressor", "posedirs", "scaledirs", "transdirs", "joint_limits")
    return {
        "name": str(content.get("name", path.stem)),
        "skeleton": skeleton,
        "v_template": _floats(content, "v_template", 2),
        "faces": _integers(content, "faces", 2),
        "shapedirs": _floats(content, "shapedirs", 3),
        "rest_joints": _floats(content, "rest_joints", 2),
        "weights": _floats(content, "weights", 2),
        "static_joints": _flag(content, "static_joints"),
        **{key: _optional(content, key) for key in (*optional, "shape_mean", "shape_cov")},
    }


def _values_of_pickle(
    content: dict[str, Any], name: str, direction_axes: str | None
) -> dict[str, Any]:
    template, shapedirs = _floats(content, "v_template", 2), _floats(content, "shapedirs", 3)
    parents = _parents(content)
    names = content.get("J_names")
    if names is None:
        names = [f"joint_{joint:02d}" for joint in range(len(parents))]
    regressor = _optional(content, "J_regressor")
    size = (shapedirs.shape[-1], len(parents), 3)
    return {
        "name": name,
        "skeleton": Skeleton(_names(names, "J_names"), parents),
        "v_template": template,
        "faces": _integers(content, "f", 2),
        "shapedirs": shapedirs,
        "joint_regressor": regressor,
        "rest_joints": _rest_joints(content, regressor, template),
        "weights": _floats(content, "weights", 2),
        "scaledirs": _directions(content, "scaledirs", size, direction_axes),
        "transdirs": _directions(content, "transdirs", size, direction_axes),
        "static_joints": _flag(content, "static_joint_locs"),
        "shape_mean": _optional(content, "shape_mean_betas"),
        **{key: _optional(content, key) for key in ("posedirs", "joint_limits", "shape_cov")},
    }


def _rest_joints(
    content: dict[str, Any], regressor: np.ndarray | None, template: np.ndarray
) -> np.ndarray:
    joints = _optional(content, "J")
    if joints is not None:
        return joints
    if regressor is None or regressor.ndim != 2 or regressor.shape[1] != len(template):
        raise ModelFileError(
            "keys 'J' and 'J_regressor'",
            expected="joints (J, 3) or a joint regressor (J, V)",
            found="neither",
        )
    return regress(regressor, template)


def _parents(content: dict[str, Any]) -> tuple[int, ...]:
    """Return parents from `kintree_table` (2, J); the root is -1, also when stored unsigned."""
    table = _integers(content, "kintree_table", 2)
    if table.shape[0] != 2 or table.shape[1] == 0:
        raise ModelFileError(
            "key 'kintree_table' has the wrong shape", expected="(2, J)", found=table.shape
        )
    parents, own = table
    if (own != np.arange(len(own))).any():
        raise ModelFileError(
            "key 'kintree_table'", expected="joints numbered 0, 1, ... in its second row"
        )
    return tuple(-1 if parent == _UNSIGNED_ROOT else int(parent) for parent in parents)


def _directions(
    content: dict[str, Any], key: str, size: tuple[int, int, int], axes: str | None
) -> np.ndarray | None:
    """Return scale or translation directions as (K, J, 3), axes given or found by their size."""
    value = _optional(content, key)
    if value is None:
        return None
    if value.ndim != 3:
        raise ModelFileError(f"key {key!r} has the wrong shape", expected=size, found=value.shape)
    if axes is not None:
        if sorted(axes) != sorted("kjx"):
            raise ModelFileError(
                "direction_axes", expected="a permutation of 'kjx'", found=repr(axes)
            )
        return np.ascontiguousarray(value.transpose([axes.index(axis) for axis in "kjx"]))
    orders = [
        order
        for order in itertools.permutations(range(3))
        if tuple(value.shape[axis] for axis in order) == size
    ]
    if not orders:
        raise ModelFileError(
            f"key {key!r} has the wrong shape",
            expected=f"{size} (weights, joints, coordinates) in some order",
            found=value.shape,
        )
    if len(orders) > 1:
        raise ModelFileError(
            f"key {key!r}: the order of its axes is ambiguous",
            expected=f"sizes {size} that can be told apart",
            found=value.shape,
            remedy="say which axis is which: direction_axes='kjx' for (weight, joint, coordinate)",
        )
    return np.ascontiguousarray(value.transpose(orders[0]))


def _floats(content: dict[str, Any], key: str, ndim: int) -> np.ndarray:
    value = _optional(content, key)
    if value is None:
        raise ModelFileError(f"key {key!r} is missing", found=_keys(content))
    if value.ndim != ndim:
        raise ModelFileError(
            f"key {key!r} has the wrong shape", expected=f"{ndim} axes", found=value.shape
        )
    return value


def _optional(content: dict[str, Any], key: str) -> np.ndarray | None:
    """Return a float64 array, None where the key is absent or its value empty."""
    value = content.get(key)
    if value is None:
        return None
    array = _as_array(value, key)
    if array.size == 0:
        return None
    if array.dtype.kind not in "biuf":
        raise ModelFileError(f"key {key!r}", expected="numbers", found=_brief(value))
    return np.ascontiguousarray(array, dtype=np.float64)


def _integers(content: dict[str, Any], key: str, ndim: int) -> np.ndarray:
    if content.get(key) is None:
        raise ModelFileError(f"key {key!r} is missing", found=_keys(content))
    value = _as_array(content[key], key)
    if value.ndim != ndim or value.dtype.kind not in "iuf":
        raise ModelFileError(
            f"key {key!r}", expected=f"integers with {ndim} axes", found=_brief(value)
        )
    if value.dtype.kind == "f" and not (np.isfinite(value).all() and (value % 1 == 0).all()):
        raise ModelFileError(f"key {key!r}", expected="integers", found="fractions or NaN")
    return value.astype(np.int64)


def _as_array(value: Any, key: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ModelFileError(f"key {key!r}", expected="one array", found="ragged lists") from error


def _names(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "US":
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or not all(isinstance(n, (str, bytes)) for n in value):
        raise ModelFileError(f"key {key!r}", expected="a list of names", found=_brief(value))
    return tuple(n.decode("latin1") if isinstance(n, bytes) else str(n) for n in value)


def _flag(content: dict[str, Any], key: str) -> bool:
    value = np.asarray(content.get(key, False))
    if value.size != 1 or value.dtype.kind not in "biu":
        raise ModelFileError(f"key {key!r}", expected="true or false", found=_brief(value))
    return bool(value.reshape(()))


def _keys(content: dict[str, Any]) -> str:
    return "keys " + (", ".join(sorted(content)[:20]) or "none")


def _brief(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    return type(value).__name__
