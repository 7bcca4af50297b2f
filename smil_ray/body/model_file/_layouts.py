"""The two layouts of model files: SMPL's keys (SMIL, SMAL, SMPL, SMPL-X) and those of our .npz."""

import itertools
from typing import Any

import numpy as np

from smil_ray.body.model_file import _entries as entries
from smil_ray.body.model_file._entries import Content
from smil_ray.body.model_file.arrays import FIELD_OF_KEY, regress
from smil_ray.core.skeleton import Skeleton
from smil_ray.errors import ModelFileError

NPZ_VERSION = 1
VERSION_KEY = "smil_model_version"
SMPL_KEYS = frozenset(
    {*FIELD_OF_KEY, "kintree_table", "J_names", "static_joint_locs", "body_chain"}
)
"""Keys of SMIL, SMAL, SMPL and SMPL-X files that are read; others are not looked at."""
OUR_KEYS = frozenset(
    {
        *FIELD_OF_KEY.values(),
        *(VERSION_KEY, "name", "joint_names", "parents", "static_joints", "body_chain"),
    }
)
"""Keys of the .npz form that `reading.write_npz` writes."""
_UNSIGNED_ROOT = 4294967295


def from_our_layout(content: Content, name: str) -> dict[str, Any]:
    """Return the fields of `ModelArrays` out of the keys of our .npz.

    Args:
        content: Arrays by key.
        name: What to call a model that has no name of its own.

    Raises:
        ModelFileError: A key is missing or has the wrong form, or the version is unknown.
    """
    version = content.get(VERSION_KEY)
    if version is None or version.shape or version.dtype.kind != "i" or version != NPZ_VERSION:
        found = entries.brief(version) if version is None or version.shape else version
        raise ModelFileError(f"key {VERSION_KEY!r}", expected=NPZ_VERSION, found=found)
    skeleton = Skeleton(
        entries.names(content.get("joint_names"), "joint_names"),
        tuple(int(p) for p in entries.integers(content, "parents", 1)),
        _chain(content),
    )
    template = entries.floats(content, "v_template", 2)
    optional = ("joint_regressor", "posedirs", "scaledirs", "transdirs", "joint_limits")
    return {
        "name": entries.text(content.get("name", name)),
        "skeleton": skeleton,
        "v_template": template,
        "faces": entries.integers(content, "faces", 2),
        "shapedirs": _shapedirs(content, template),
        "rest_joints": entries.floats(content, "rest_joints", 2),
        "weights": entries.floats(content, "weights", 2),
        "static_joints": entries.flag(content, "static_joints"),
        **{key: entries.optional(content, key) for key in (*optional, "shape_mean", "shape_cov")},
    }


def from_smpl_layout(content: Content, name: str, direction_axes: str | None) -> dict[str, Any]:
    """Return the fields of `ModelArrays` out of SMPL's keys; see `from_our_layout`.

    Args:
        content: Arrays by key.
        name: What to call the model.
        direction_axes: See `reading.read_model_file`.
    """
    template = entries.floats(content, "v_template", 2)
    shapedirs = _shapedirs(content, template)
    parents = _parents(content)
    names = content.get("J_names")
    if names is None:
        names = [f"joint_{joint:02d}" for joint in range(len(parents))]
    regressor = entries.optional(content, "J_regressor")
    size = (shapedirs.shape[-1], len(parents), 3)
    optional = ("posedirs", "joint_limits", "shape_cov")
    return {
        "name": name,
        "skeleton": Skeleton(entries.names(names, "J_names"), parents, _chain(content)),
        "v_template": template,
        "faces": entries.integers(content, "f", 2),
        "shapedirs": shapedirs,
        "joint_regressor": regressor,
        "rest_joints": _rest_joints(content, regressor, template),
        "weights": entries.floats(content, "weights", 2),
        "scaledirs": _directions(content, "scaledirs", size, direction_axes),
        "transdirs": _directions(content, "transdirs", size, direction_axes),
        "static_joints": entries.flag(content, "static_joint_locs"),
        "shape_mean": entries.optional(content, "shape_mean_betas"),
        **{key: entries.optional(content, key) for key in optional},
    }


def _chain(content: Content) -> tuple[str, ...]:
    named = content.get("body_chain")
    return () if named is None else entries.names(named, "body_chain")


def _shapedirs(content: Content, template: np.ndarray) -> np.ndarray:
    """Return the shape directions; an empty array says that the model has one shape only."""
    if content.get("shapedirs") is not None and entries.optional(content, "shapedirs") is None:
        return np.zeros((len(template), 3, 0))
    if content.get("shapedirs") is None:
        raise ModelFileError(
            "key 'shapedirs' is missing",
            found=entries.listed(content),
            remedy="a model of one shape has an empty array there, of shape (V, 3, 0)",
        )
    return entries.floats(content, "shapedirs", 3)


def _rest_joints(
    content: Content, regressor: np.ndarray | None, template: np.ndarray
) -> np.ndarray:
    joints = entries.optional(content, "J")
    if joints is not None:
        return joints
    if regressor is None or regressor.ndim != 2 or regressor.shape[1] != len(template):
        raise ModelFileError(
            "keys 'J' and 'J_regressor'",
            expected="joints (J, 3) or a joint regressor (J, V)",
            found="neither",
        )
    return regress(regressor, template)


def _parents(content: Content) -> tuple[int, ...]:
    """Return parents from `kintree_table` (2, J); the root is -1, also when stored unsigned."""
    table = entries.integers(content, "kintree_table", 2)
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
    content: Content, key: str, size: tuple[int, int, int], axes: str | None
) -> np.ndarray | None:
    """Return scale or translation directions as (K, J, 3), axes given or found by their size."""
    value = entries.optional(content, key)
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
