"""Typed access to the content of a model file; every error names the key."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from smil_ray.errors import ModelFileError

Content = Mapping[str, Any]
"""What a model file holds, by key."""


def floats(content: Content, key: str, ndim: int) -> np.ndarray:
    """Return a float64 array with `ndim` axes."""
    value = optional(content, key)
    if value is None:
        raise ModelFileError(f"key {key!r} is missing", found=listed(content))
    if value.ndim != ndim:
        raise ModelFileError(
            f"key {key!r} has the wrong shape", expected=f"{ndim} axes", found=value.shape
        )
    return value


def optional(content: Content, key: str) -> np.ndarray | None:
    """Return a float64 array, None where the key is absent or its value empty."""
    value = content.get(key)
    if value is None:
        return None
    array = _as_array(value, key)
    if array.size == 0:
        return None
    if array.dtype.kind not in "biuf":
        raise ModelFileError(f"key {key!r}", expected="numbers", found=brief(value))
    return np.ascontiguousarray(array, dtype=np.float64)


def integers(content: Content, key: str, ndim: int) -> np.ndarray:
    """Return an int64 array with `ndim` axes; whole numbers stored as floats are accepted."""
    if content.get(key) is None:
        raise ModelFileError(f"key {key!r} is missing", found=listed(content))
    value = _as_array(content[key], key)
    if value.ndim != ndim or value.dtype.kind not in "iuf":
        raise ModelFileError(
            f"key {key!r}", expected=f"integers with {ndim} axes", found=brief(value)
        )
    if value.dtype.kind == "f" and not (np.isfinite(value).all() and (value % 1 == 0).all()):
        raise ModelFileError(f"key {key!r}", expected="integers", found="fractions or NaN")
    return value.astype(np.int64)


def _as_array(value: Any, key: str) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError as error:
        raise ModelFileError(f"key {key!r}", expected="one array", found="ragged lists") from error


def names(value: Any, key: str) -> tuple[str, ...]:
    """Return a list of names as text; byte strings are decoded."""
    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype.kind in "US":
        value = value.tolist()
    if not isinstance(value, (list, tuple)) or not all(isinstance(n, (str, bytes)) for n in value):
        raise ModelFileError(f"key {key!r}", expected="a list of names", found=brief(value))
    return tuple(map(text, value))


def text(value: Any) -> str:
    """Return a name as text; byte strings, alone or as an array, are decoded."""
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode("latin1") if isinstance(value, bytes) else str(value)


def flag(content: Content, key: str) -> bool:
    """Return a boolean, false where the key is absent."""
    value = np.asarray(content.get(key, False))
    if value.size != 1 or value.dtype.kind not in "biu":
        raise ModelFileError(f"key {key!r}", expected="true or false", found=brief(value))
    return bool(value.reshape(()))


def listed(content: Content) -> str:
    """Return the keys that are there, for an error message."""
    return "keys " + (", ".join(sorted(content)[:20]) or "none")


def brief(value: Any) -> str:
    """Return what a value is in a few words, for an error message."""
    if isinstance(value, np.ndarray):
        return f"{value.dtype} array of shape {value.shape}"
    return type(value).__name__
