"""Model files: SMIL, SMAL and SMPL pickles, SMPL-X's .npz, and the safe .npz form of our own."""

import os
import tokenize
import zipfile
import zlib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.body.model_file._entries import listed
from smil_ray.body.model_file._layouts import (
    NPZ_VERSION,
    OUR_KEYS,
    SMPL_KEYS,
    VERSION_KEY,
    from_our_layout,
    from_smpl_layout,
)
from smil_ray.body.model_file._unpickling import load_model_pickle
from smil_ray.body.model_file.arrays import ModelArrays, checked_arrays
from smil_ray.core.git_lfs import refuse_lfs_pointer
from smil_ray.errors import ModelFileError

_ZIP_MAGIC = b"PK\x03\x04"
_BROKEN_ZIP = (
    *(OSError, ValueError, EOFError, KeyError, NotImplementedError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error, SyntaxError, tokenize.TokenError),
)
"""numpy and zipfile raise any of these on damaged archives, depending on which byte is wrong."""


def read_model_file(path: Path | str, *, direction_axes: str | None = None) -> ModelArrays:
    """Return the checked content of a model file, .pkl or .npz, told apart by its first bytes.

    Args:
        path: The file.
        direction_axes: Axis order of `scaledirs` and `transdirs` in SMPL's layout, a permutation
            of "kjx" (weight, joint, coordinate); found by size where None. Ours is "kjx".

    Raises:
        ModelFileError: The file is missing, damaged or unsafe, or one of its keys is wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise ModelFileError(
            f"{path}: no such model file",
            remedy="give the path of a .pkl or .npz model, or 'builtin' for the embedded insect",
        )
    refuse_lfs_pointer(path, ModelFileError)
    with path.open("rb") as stream:
        is_npz = stream.read(4) == _ZIP_MAGIC
    try:
        content = _read_npz(path) if is_npz else load_model_pickle(path, SMPL_KEYS)
        if is_npz and VERSION_KEY in content:
            return checked_arrays(from_our_layout(content, path.stem))
        return checked_arrays(from_smpl_layout(content, path.stem, direction_axes))
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
    if arrays.skeleton.named_chain:
        content["body_chain"] = np.array(arrays.skeleton.named_chain)
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


def _read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays that either layout knows; SMPL-X's files hold Python objects besides."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
            present = dict.fromkeys(archive.files)
            known = OUR_KEYS if VERSION_KEY in present else SMPL_KEYS
            content = {key: archive[key] for key in present if key in known}
    except _BROKEN_ZIP as error:
        raise ModelFileError(
            f"not a readable .npz ({error})",
            remedy="it is damaged or holds Python objects, which are not unpickled; convert again",
        ) from error
    if VERSION_KEY not in content and not {"v_template", "kintree_table"} <= set(content):
        raise ModelFileError(
            f"key {VERSION_KEY!r}, or 'v_template' and 'kintree_table' as in SMPL-X",
            expected="a body model",
            found=listed(present),
        )
    return content
