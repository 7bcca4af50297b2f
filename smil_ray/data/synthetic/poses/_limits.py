"""Joint limits: those of a file, by joint name, and cautious ones for models that have none."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import numpy as np
from jaxtyping import Float
from pydantic import Field, TypeAdapter, ValidationError

from smil_ray.config.reading import read_yaml
from smil_ray.core.skeleton import Skeleton
from smil_ray.errors import ConfigError

_Degrees = Annotated[float, Field(ge=-180.0, le=180.0)]
_Range = tuple[_Degrees, _Degrees]
_AXES = ("x", "y", "z")

_TRUNK, _FIRST, _MIDDLE, _LAST = 0.35, 0.80, 0.50, 0.35
"""Radians either way for joints of the trunk, where a limb begins, along it, and at its end."""
_HINGE, _ACROSS = 1.10, 0.25
"""About the axis of a bent joint, and across it."""
_BENT_RAD = 0.35
"""Bones that meet at rest at more than this angle have a hinge, such as a knee, between them."""


def default_limits(
    skeleton: Skeleton, rest_joints: Float[np.ndarray, "n_joints 3"]
) -> Float[np.ndarray, "n_joints 3 2"]:
    """Return limits for a model that brings none: least and greatest axis-angle component.

    Trunk joints bend little, a limb moves most where it begins; a joint that is bent at rest is a
    hinge in the plane of its bones.
    """
    limits = np.empty((skeleton.n_joints, 3, 2))
    trunk = set(skeleton.body_chain)
    for joint, parent in enumerate(skeleton.parents):
        children = skeleton.children[joint]
        if parent < 0:
            reach = np.full(3, np.pi)
        elif joint in trunk:
            reach = np.full(3, _TRUNK)
        elif not children:
            reach = np.full(3, _LAST)
        else:
            reach = np.full(3, _FIRST if parent in trunk else _MIDDLE)
            after = rest_joints[list(children)].mean(axis=0) - rest_joints[joint]
            hinge = _hinge(rest_joints[joint] - rest_joints[parent], after)
            if hinge is not None and parent not in trunk:
                reach = _ACROSS + (_HINGE - _ACROSS) * np.abs(hinge)
        limits[joint] = np.stack([-reach, reach], axis=1)
    return limits


def no_limits(skeleton: Skeleton) -> Float[np.ndarray, "n_joints 3 2"]:
    """Return half a turn either way for every component."""
    return np.tile(np.array([-np.pi, np.pi]), (skeleton.n_joints, 3, 1))


def read_joint_limits(
    path: Path, skeleton: Skeleton, base: Float[np.ndarray, "n_joints 3 2"]
) -> Float[np.ndarray, "n_joints 3 2"]:
    """Return `base` with the limits of a YAML file in place of those that it names.

    The file maps joint names to ranges in degrees of the components of the axis-angle vector: one
    range [least, greatest] for all three, or a mapping of some of x, y and z to ranges.

    Raises:
        ConfigError: The file cannot be read, a joint is unknown, or a range is not one.
    """
    try:
        given = TypeAdapter(dict[str, _Range | dict[str, _Range]]).validate_python(read_yaml(path))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][:2])
        raise ConfigError(
            f"{path}: {place}",
            expected="[least, greatest] in degrees, or x, y and z with such a range each",
            found=first["input"],
        ) from None
    skeleton.mask(given, setting=str(path))
    limits = base.copy()
    for name, ranges in given.items():
        each = ranges if isinstance(ranges, Mapping) else dict.fromkeys(_AXES, ranges)
        for axis, (least, greatest) in each.items():
            if axis not in _AXES or least > greatest:
                raise ConfigError(
                    f"{path}: {name}.{axis}",
                    expected="x, y or z with [least, greatest] in degrees",
                    found=[least, greatest],
                )
            limits[skeleton.index[name], _AXES.index(axis)] = np.radians((least, greatest))
    return limits


def _hinge(before: np.ndarray, after: np.ndarray) -> np.ndarray | None:
    """Axis across the plane of two bones; None where they go on straight or have no length."""
    across = np.cross(before, after)
    lengths = float(np.linalg.norm(before) * np.linalg.norm(after))
    size = float(np.linalg.norm(across))
    if size <= np.sin(_BENT_RAD) * lengths:
        return None
    return across / size
