"""The value of an array that the chumpy library pickled, computed without chumpy.

chumpy arrays are nodes of an expression: `Ch` holds numbers in `x`; its selections and new shapes
hold another node in `a`. Older and newer releases add notes of their own (`_dirty_vars`,
`_depends_on_deps`, ...), which have no bearing on the value and are not looked at.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

CHUMPY_CLASSES = ("Ch", "Select", "Reshape", "transpose")
"""Classes of chumpy whose value can be told; sums, products and the like are refused by name."""


def chumpy_value(
    name: str, attributes: Mapping[str, Any], value_of: Callable[[Any], Any]
) -> np.ndarray:
    """Return the numbers of a pickled chumpy array.

    Args:
        name: Full name of its class, such as `chumpy.reordering.Select`.
        attributes: The attributes that were pickled, by name.
        value_of: Gives the value of an attribute, which may be a chumpy array itself.

    Raises:
        ValueError: An attribute that the value depends on is missing or is no array.
    """

    def array(key: str) -> np.ndarray:
        if key not in attributes:
            raise ValueError(f"{name} without {key!r}; save it as a numpy array")
        found = np.asarray(value_of(attributes[key]))
        if found.dtype.kind not in "biuf":
            raise ValueError(f"{name} with {key!r} that is no array of numbers")
        return found

    kind = name.rpartition(".")[2]
    if kind == "Ch":
        return array("x")
    source = array("a")
    if kind == "Reshape":
        return source.reshape(_whole(array("newshape")))
    if kind == "transpose":
        axes = value_of(attributes.get("axes"))
        return source.transpose(None if axes is None else _whole(np.asarray(axes)))
    return _selected(source, array("idxs"), attributes.get("preferred_shape"), value_of)


def _selected(
    source: np.ndarray, places: np.ndarray, shape: Any, value_of: Callable[[Any], Any]
) -> np.ndarray:
    """Return the entries of the flattened `source` at `places`, in the shape of the selection."""
    flat = places.ravel()
    if flat.size and (flat.min() < 0 or flat.max() >= source.size):
        raise ValueError(f"chumpy selection outside the {source.size} entries of its array")
    chosen = source.ravel()[flat.astype(np.int64)]
    return chosen if shape is None else chosen.reshape(_whole(np.asarray(value_of(shape))))


def _whole(sizes: np.ndarray) -> tuple[int, ...]:
    """Return sizes or axes as integers; a single one may be stored as a plain number."""
    return tuple(int(size) for size in np.atleast_1d(sizes))
