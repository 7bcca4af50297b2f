"""Pickles with the very content that the chumpy library writes, made without it.

Stand-ins of chumpy's classes are pickled under chumpy's names, with the attributes that a real
array carries besides its value (read off pickles of chumpy 0.70 and 0.71).
"""

import pickle
import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import numpy as np

_NOTES = {"_itr": None, "_make_dense": False, "_make_sparse": False, "_depends_on_deps": {}}


def _stand_in(module: str, name: str) -> type:
    made = type(name, (), {"__module__": module})
    if module not in _MODULES:
        _MODULES[module] = ModuleType(module)
    setattr(_MODULES[module], name, made)
    return made


_MODULES: dict[str, ModuleType] = {"chumpy": ModuleType("chumpy")}
_CH = _stand_in("chumpy.ch", "Ch")
_REORDERED = {
    name: _stand_in("chumpy.reordering", name) for name in ("Select", "Reshape", "transpose")
}
_ADD = _stand_in("chumpy.ch_ops", "add")


def _node(kind: type, **values: Any) -> Any:
    made = kind()
    made.__dict__.update(_dirty_vars=set(values), **_NOTES, **values, _status="new")
    return made


def ch(array: np.ndarray) -> Any:
    """Return a plain chumpy array."""
    return _node(_CH, x=array)


def selected(array: Any, shape: tuple[int, ...], key: Any) -> Any:
    """Return what chumpy makes of `array[key]` for an array of this shape."""
    places = np.arange(np.prod(shape)).reshape(shape)[key]
    kind = _REORDERED["Select"]
    return _node(kind, a=array, idxs=places.ravel(), preferred_shape=places.shape)


def reshaped(array: Any, shape: Any) -> Any:
    """Return chumpy's `array.reshape(shape)`."""
    return _node(_REORDERED["Reshape"], a=array, newshape=shape)


def transposed(array: Any, axes: tuple[int, ...] | None) -> Any:
    """Return chumpy's `array.transpose(axes)`."""
    return _node(_REORDERED["transpose"], a=array, axes=axes)


def added(one: Any, other: Any) -> Any:
    """Return chumpy's `one + other`."""
    return _node(_ADD, a=one, b=other)


def dump(content: Mapping[Any, Any], protocol: int) -> bytes:
    """Return the pickle of a dictionary that may hold chumpy arrays."""
    before = {name: sys.modules.get(name) for name in _MODULES}
    sys.modules.update(_MODULES)
    try:
        return pickle.dumps(dict(content), protocol=protocol)
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module
