"""Read the pickle of a SMIL, SMAL or SMPL model without executing anything in it.

Every global that the pickle names becomes a record of the call that it would have been; only names
on a short list are recorded, all others are refused. After loading, the records that describe
numpy arrays, sparse matrices and chumpy arrays are turned into numpy arrays by the code below and
in `_chumpy_values`, so neither numpy's, scipy's nor chumpy's own constructors ever see what a
stranger wrote.
"""

import io
import pickle
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.body.model_file._chumpy_values import CHUMPY_CLASSES, chumpy_value
from smil_ray.errors import ModelFileError

_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")
_BUILTINS = ("builtins", "__builtin__")
_ALLOWED = {
    ("numpy", "dtype"): "dtype",
    ("numpy", "ndarray"): "type",
    ("_codecs", "encode"): "encode",
    ("copyreg", "_reconstructor"): "reconstructor",
    ("copy_reg", "_reconstructor"): "reconstructor",
    **{(module, "_reconstruct"): "array" for module in _MULTIARRAY},
    **{(module, "scalar"): "scalar" for module in _MULTIARRAY},
    **{(module, "_frombuffer"): "frombuffer" for module in _NUMERIC},
    **{(module, "object"): "type" for module in _BUILTINS},
    **{(module, "bytes"): "bytes" for module in _BUILTINS},
    **{(module, name): "items" for module in _BUILTINS for name in ("set", "frozenset", "list")},
}
_SPARSE = {f"{kind}_{form}" for kind in ("csc", "csr", "coo") for form in ("matrix", "array")}
_BROKEN = (
    pickle.UnpicklingError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    ImportError,
    MemoryError,
    OverflowError,
    RecursionError,
    ArithmeticError,
    zlib.error,
)
"""The unpickler raises any of these on damaged files; the pickle module promises no fewer."""
_MAX_DEPTH = 32


class _Record:
    """A call that the pickle asked for and nobody made: its arguments and its state."""

    kind = ""
    name = ""

    def __new__(cls, *args: Any) -> "_Record":
        record = super().__new__(cls)
        record.__dict__.update(args=args, state=None)
        return record

    def __setstate__(self, state: Any) -> None:
        self.__dict__["state"] = state


class _RecordingUnpickler(pickle.Unpickler):
    """An unpickler that only records."""

    def find_class(self, module: str, name: str) -> Any:
        """Return a fresh record type for a global on the list, refuse any other."""
        kind = _ALLOWED.get((module, name))
        if kind is None and module.split(".")[:2] == ["scipy", "sparse"] and name in _SPARSE:
            kind = "sparse"
        if kind is None and module.split(".")[0] == "chumpy" and name in CHUMPY_CLASSES:
            kind = "chumpy"
        if kind is None:
            raise ModelFileError(
                f"the pickle asks for {module}.{name}, which is refused; nothing was executed",
                expected="numpy arrays, scipy sparse matrices, chumpy arrays and selections only",
                remedy="export the model again with plain numpy arrays",
            )
        return type("Recorded", (_Record,), {"kind": kind, "name": f"{module}.{name}"})

    def persistent_load(self, pid: Any) -> Any:
        """Refuse references to objects outside the file."""
        raise ModelFileError("the pickle refers to objects outside the file, which is refused")


def load_model_pickle(path: Path, keys: Collection[str] | None = None) -> dict[str, Any]:
    """Return the dictionary of a model pickle, with numpy arrays for every kind of array.

    Args:
        path: The file.
        keys: Keys to return, where there; all by default. What the others hold is recorded like
            everything else, but need not be data. Keys that are byte strings are decoded.

    Raises:
        ModelFileError: The file is missing, damaged, holds something else than a dictionary, or
            names a class or function that is not an array; the message names it.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ModelFileError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        tree = _RecordingUnpickler(io.BytesIO(raw), encoding="latin1").load()
        content = _chosen(tree, keys) if isinstance(tree, dict) else _resolve(tree, 0)
    except ModelFileError as error:
        raise ModelFileError(f"{path}: {error}") from error
    except _BROKEN as error:
        raise ModelFileError(
            f"{path}: not a readable pickle ({type(error).__name__}: {error})",
            remedy="the file is damaged, cut off or no model file; get it again",
        ) from error
    if not isinstance(content, dict):
        raise ModelFileError(
            f"{path}: no model", expected="a dictionary", found=type(content).__name__
        )
    return content


def _chosen(tree: dict[Any, Any], keys: Collection[str] | None) -> dict[str, Any]:
    named = {_key(key): key for key in tree}
    wanted = named if keys is None else [name for name in named if name in keys]
    return {name: _resolve(tree[named[name]], 1) for name in wanted}


def _key(key: Any) -> str:
    """Return a dictionary's key as text; byte strings of protocol 2 are calls of an encoder."""
    key = _resolve(key, 1) if isinstance(key, _Record) else key
    return key.decode("latin1") if isinstance(key, bytes) else str(key)


def _resolve(value: Any, depth: int) -> Any:
    """Return `value` with every record replaced by the array or bytes that it stands for."""
    if depth > _MAX_DEPTH:
        raise ValueError(f"nested deeper than {_MAX_DEPTH}")
    if isinstance(value, dict):
        return {_key(key): _resolve(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_resolve(item, depth + 1) for item in value)
    if isinstance(value, (set, frozenset)):
        return [_resolve(item, depth + 1) for item in value]
    if isinstance(value, _Record):
        return _RESOLVERS[_kind(value)](value, depth + 1)
    if isinstance(value, type):
        raise ValueError(f"a bare type {getattr(value, 'name', value)!r} in place of data")
    return value


def _kind(record: _Record) -> str:
    """Kind of a record; protocol 0 wraps the type that it builds into `_reconstructor`."""
    if record.kind != "reconstructor":
        return record.kind
    target = record.__dict__["args"][0]
    if not (isinstance(target, type) and issubclass(target, _Record)):
        raise ValueError("copyreg._reconstructor of something that is no class")
    if target.kind not in ("sparse", "chumpy"):
        raise ValueError(f"copyreg._reconstructor of {target.name}")
    return target.kind


def _bytes(value: Any) -> bytes:
    """Return raw bytes; Python 2 wrote them as text, read here as latin1."""
    if isinstance(value, str):
        return value.encode("latin1")
    if isinstance(value, (bytes, bytearray)):
        return bytes(value)
    raise ValueError(f"array data is a {type(value).__name__}; object arrays are refused")


def _dtype(record: Any, depth: int = 0) -> np.dtype:
    """Return the dtype of a record; numbers, booleans and text only."""
    if not (isinstance(record, _Record) and record.kind == "dtype"):
        raise ValueError("array without a dtype")
    code = record.__dict__["args"][0]
    code = code.decode("ascii") if isinstance(code, bytes) else code
    if not isinstance(code, str) or code.lstrip("<>=|")[:1] not in set("biufSU"):
        raise ValueError(f"arrays of dtype {code!r} are refused")
    state = record.__dict__["state"]
    order = state[1] if isinstance(state, tuple) and len(state) > 1 else "="
    order = order.decode("ascii") if isinstance(order, bytes) else order
    dtype = np.dtype(code)
    return dtype.newbyteorder(order) if order in ("<", ">") else dtype


def _numpy(raw: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    array = np.frombuffer(_bytes(raw), dtype=_dtype(dtype))
    return array.reshape(tuple(int(n) for n in shape), order="F" if fortran else "C")


def _array(record: _Record, depth: int) -> np.ndarray:
    _version, shape, dtype, fortran, raw = record.__dict__["state"]
    return _numpy(_resolve(raw, depth), dtype, shape, bool(fortran))


def _frombuffer(record: _Record, depth: int) -> np.ndarray:
    raw, dtype, shape, order = record.__dict__["args"][:4]
    return _numpy(_resolve(raw, depth), dtype, shape, order == "F")


def _scalar(record: _Record, depth: int) -> Any:
    dtype, raw = record.__dict__["args"]
    return _numpy(_resolve(raw, depth), dtype, (), False)[()]


def _encode(record: _Record, depth: int) -> bytes:
    text, encoding = (*record.__dict__["args"], "latin1")[:2]
    if not isinstance(text, str) or encoding != "latin1":
        raise ValueError("_codecs.encode with anything but latin1 text")
    return text.encode("latin1")


def _empty_bytes(record: _Record, depth: int) -> bytes:
    if record.__dict__["args"]:
        raise ValueError("bytes() with arguments")
    return b""


def _items(record: _Record, depth: int) -> list[Any]:
    """Return what a `set`, `frozenset` or `list` was made of; chumpy keeps its notes in sets."""
    args = record.__dict__["args"]
    if len(args) > 1 or not all(isinstance(arg, (list, tuple)) for arg in args):
        raise ValueError(f"{record.name} of something that is no list")
    return [_resolve(item, depth) for arg in args for item in arg]


def _chumpy(record: _Record, depth: int) -> np.ndarray:
    """Return the value of a chumpy array; only what the value depends on is read."""
    # Protocol 0 names the class as the argument of `_reconstructor`.
    own = record.kind == "chumpy"
    name = record.name if own else record.__dict__["args"][0].name
    state = record.__dict__["state"]
    if not isinstance(state, dict):
        raise ValueError(f"{name} without attributes")
    attributes = {_key(key): item for key, item in state.items()}
    return chumpy_value(name, attributes, lambda item: _resolve(item, depth))


def _sparse(record: _Record, depth: int) -> np.ndarray:
    """Return a sparse matrix as a dense array, indices checked."""
    state = _resolve(record.__dict__["state"], depth)
    rows, columns = (int(n) for n in state.get("_shape", state.get("shape")))
    data = np.asarray(state["data"])
    if "indptr" in state:
        major = np.repeat(np.arange(len(state["indptr"]) - 1), np.diff(state["indptr"]))
        minor = np.asarray(state["indices"])
        name = record.name if record.kind == "sparse" else record.__dict__["args"][0].name
        row, column = (minor, major) if ".csc_" in name else (major, minor)
    else:
        row, column = state["coords"] if "coords" in state else (state["row"], state["col"])
    row, column = np.asarray(row), np.asarray(column)
    if rows * columns > 10**8 or not (len(row) == len(column) == len(data)):
        raise ValueError(f"sparse matrix of {rows} x {columns} with inconsistent entries")
    if len(data) and (min(row.min(), column.min()) < 0):
        raise ValueError("sparse matrix with negative indices")
    dense = np.zeros((rows, columns), dtype=data.dtype)
    np.add.at(dense, (row, column), data)
    return dense


def _refuse(record: _Record, depth: int) -> Any:
    raise ValueError(f"{record.name} in place of data")


_RESOLVERS = {
    "dtype": _refuse,
    "type": _refuse,
    "encode": _encode,
    "bytes": _empty_bytes,
    "array": _array,
    "scalar": _scalar,
    "frombuffer": _frombuffer,
    "sparse": _sparse,
    "chumpy": _chumpy,
    "items": _items,
}
