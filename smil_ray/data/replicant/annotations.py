"""replicAnt's per-image JSON -> arrays in Unreal's own units; the only code that knows its keys.

Nothing is converted here. Absent values are NaN (or None for a whole field); a value that is
there but not a finite number of sensible size is an error.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from jaxtyping import Float

from smil_ray.core.git_lfs import REMEDY, is_lfs_pointer
from smil_ray.data.filters import SampleError

MARKER = b'"iterationData"'
"""Bytes that tell a replicAnt annotation from other JSON files."""
_LARGEST = 1e7  # Centimetres, pixels or coefficients beyond this are damage, not data.
_AXES = ("x", "y", "z", "w")


@dataclass(frozen=True)
class RawCamera:
    """The camera's fields as far as they are given; centimetres, degrees, rows as in the file."""

    view: Float[np.ndarray, "4 4"] | None
    view_projection: Float[np.ndarray, "4 4"] | None
    location: Float[np.ndarray, "3"] | None
    pitch_yaw_roll: Float[np.ndarray, "3"] | None
    fov: float | None


@dataclass(frozen=True)
class RawSubject:
    """One animal; rows belong to `joint_names`, NaN where a joint lacks the value.

    Attributes:
        subject_id: Key of the subject, its value in the ID mask.
        bounds: xmin, ymin, xmax, ymax in px, may exceed the frame; None if absent.
        points_2d: Pixels, origin at the top left corner.
        points_3d: Unreal world, cm.
        local_quat: Child -> parent, (x, y, z, w), from `quaternion` or `transform.rotation`.
        global_quat: Bone -> world, (x, y, z, w).
    """

    subject_id: str
    joint_names: tuple[str, ...]
    bounds: Float[np.ndarray, "4"] | None
    points_2d: Float[np.ndarray, "n 2"]
    points_3d: Float[np.ndarray, "n 3"]
    local_quat: Float[np.ndarray, "n 4"]
    global_quat: Float[np.ndarray, "n 4"]
    betas: Float[np.ndarray, " b"] | None
    scale_weights: Float[np.ndarray, " k_scale"] | None
    trans_weights: Float[np.ndarray, " k_trans"] | None


@dataclass(frozen=True)
class RawFrame:
    """One JSON file: a camera and the subjects that could be read; the others' errors."""

    camera: RawCamera
    subjects: tuple[RawSubject, ...]
    rejected: tuple[SampleError, ...]


def read_frame(path: Path) -> RawFrame:
    """Return the contents of one annotation file.

    Raises:
        SampleError: The file is unreadable, lacks a camera or a subject, a field has the wrong
            form, or (when there is just one subject) a number is not finite.
    """
    return parse_frame(load_json(path), path.name)


def load_json(path: Path) -> Any:
    """Return a parsed JSON file.

    Raises:
        SampleError: `json_unreadable`, or `non_finite` where only NaN or Infinity is in the way.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise SampleError("json_unreadable", f"{path}: {error.strerror}") from None
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        message = str(error)
    try:
        json.loads(data)
    except (ValueError, RecursionError):
        found = "an empty file" if not data.strip() else message
        if is_lfs_pointer(data):
            found = f"a Git LFS pointer in place of the file; {REMEDY}"
        raise SampleError("json_unreadable", f"{path.name}: not JSON", found=found) from None
    raise SampleError("non_finite", f"{path.name}: contains NaN or Infinity")


def parse_frame(document: Any, name: str) -> RawFrame:
    """Return the contents of a parsed annotation; `name` is used in messages. Raises as above."""
    data = _mapping(document, "iterationData", name)
    subjects, rejected = [], []
    for subject_id, fields in _subject_entries(data, name):
        try:
            subjects.append(_subject(subject_id, fields, f"{name}: subject {subject_id}"))
        except SampleError as error:
            rejected.append(error)
    if not subjects:
        raise rejected[0]
    return RawFrame(_camera(data, name), tuple(subjects), tuple(rejected))


def _subject_entries(data: Mapping, name: str) -> list[tuple[str, Any]]:
    entries = data.get("subject Data")
    if not isinstance(entries, Sequence) or isinstance(entries, str):
        raise _wrong_form(f"{name}: subject Data", "a list", entries)
    found: dict[str, Any] = {}
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise _wrong_form(f"{name}: subject Data", "a list of objects", entry)
        for subject_id, fields in entry.items():
            if subject_id in found:
                raise _wrong_form(f"{name}: subject Data", "distinct ids", f"{subject_id} twice")
            found[subject_id] = fields
    if not found:
        raise SampleError("subject_missing", f"{name}: subject Data is empty")
    return sorted(found.items(), key=lambda item: _natural(item[0]))


def _camera(data: Mapping, name: str) -> RawCamera:
    if not data.get("camera"):
        raise SampleError("camera_missing", f"{name}: camera is missing")
    camera, where = _mapping(data, "camera", name), f"{name}: camera"
    fov = camera.get("FOV")
    return RawCamera(
        view=_planes(camera.get("View Matrix"), f"{where}: View Matrix"),
        view_projection=_planes(
            camera.get("View Projection Matrix"), f"{where}: View Projection Matrix"
        ),
        location=_vector(camera.get("Location"), ("x", "y", "z"), f"{where}: Location"),
        pitch_yaw_roll=_vector(
            camera.get("Rotation"), ("pitch", "yaw", "roll"), f"{where}: Rotation"
        ),
        fov=None if fov is None else float(_numbers([fov], f"{where}: FOV")[0]),
    )


def _subject(subject_id: str, fields: Any, where: str) -> RawSubject:
    if not isinstance(fields, Mapping):
        raise _wrong_form(where, "an object", fields)
    joints = fields.get("keypoints")
    if not joints:
        raise SampleError("subject_missing", f"{where}: no keypoints")
    # JSON objects are dictionaries, which are recognised ten times as fast as any `Mapping`.
    if not isinstance(joints, dict) or not all(isinstance(j, dict) for j in joints.values()):
        raise _wrong_form(f"{where}: keypoints", "an object of objects", joints)
    local = _column(joints, "quaternion", 4, where)
    missing = np.isnan(local).any(axis=1)
    if missing.any():
        transforms = {
            name: {"rotation": joint["transform"]["rotation"]}
            if isinstance(joint.get("transform"), Mapping) and "rotation" in joint["transform"]
            else {}
            for name, joint in joints.items()
        }
        local[missing] = _column(transforms, "rotation", 4, f"{where}: transform")[missing]
    return RawSubject(
        subject_id=subject_id,
        joint_names=tuple(joints),
        bounds=_vector(
            fields.get("2DBounds"), ("xmin", "ymin", "xmax", "ymax"), f"{where}: 2DBounds"
        ),
        points_2d=_column(joints, "2DPos", 2, where),
        points_3d=_column(joints, "3DPos", 3, where),
        local_quat=local,
        global_quat=_column(joints, "globalRotation", 4, where),
        betas=_coefficients(fields.get("shape betas"), f"{where}: shape betas"),
        scale_weights=_coefficients(fields.get("ScaleWeights"), f"{where}: ScaleWeights"),
        trans_weights=_coefficients(
            fields.get("TranslationWeights"), f"{where}: TranslationWeights"
        ),
    )


def _column(joints: Mapping[str, Mapping], key: str, width: int, where: str) -> np.ndarray:
    """Return (n_joints, width) values of one key; rows of joints without the key are NaN."""
    axes = _AXES[:width]
    given = [name for name, joint in joints.items() if key in joint]
    if not given:
        return np.full((len(joints), width), np.nan)
    coordinates_of = itemgetter(*axes)
    try:
        values = [coordinates_of(joints[name][key]) for name in given]
    except (KeyError, TypeError):
        raise _wrong_form(
            f"{where}: {key} of a joint", f"an object with {', '.join(axes)}", "another form"
        ) from None
    numbers = _numbers(values, f"{where}: {key}", given)
    if len(given) == len(joints):
        return numbers
    rows = np.full((len(joints), width), np.nan)
    rows[[key in joint for joint in joints.values()]] = numbers
    return rows


def _planes(value: Any, where: str) -> np.ndarray | None:
    if value is None:
        return None
    names = ("xPlane", "yPlane", "zPlane", "wPlane")
    rows = [_vector(_mapping(value, plane, where), _AXES, where) for plane in names]
    return np.array(rows)


def _vector(value: Any, keys: Sequence[str], where: str) -> np.ndarray | None:
    if value is None:
        return None
    try:
        return _numbers([value[key] for key in keys], where)
    except (KeyError, TypeError, IndexError):
        raise _wrong_form(where, f"an object with {', '.join(keys)}", value) from None


def _coefficients(value: Any, where: str) -> np.ndarray | None:
    """Return a list, or an object such as PC_01..PC_13 in the order of its keys, as an array."""
    if isinstance(value, Mapping):
        value = [value[key] for key in sorted(value, key=_natural)]
    if value is None or (isinstance(value, Sequence) and len(value) == 0):
        return None
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise _wrong_form(where, "a list or an object of numbers", value)
    return _numbers(value, where)


def _natural(key: str) -> tuple[int, str]:
    digits = "".join(character for character in key if character.isdigit())
    return (int(digits) if digits else -1, key)


def _numbers(values: Sequence[Any], where: str, rows: Sequence[str] = ()) -> np.ndarray:
    try:
        array = np.array(values, dtype=np.float64)
    except (ValueError, TypeError):
        raise _wrong_form(where, "numbers", "something else") from None
    if array.ndim != (2 if rows else 1):
        raise _wrong_form(where, "numbers", "lists")
    good = np.abs(array) <= _LARGEST  # False for NaN too.
    if not good.all():
        bad = np.argwhere(~good)[0]
        place = f" of {rows[bad[0]]}" if rows else ""
        raise SampleError(
            "non_finite",
            f"{where}{place}",
            expected=f"finite numbers up to {_LARGEST:g}",
            found=float(array[tuple(bad)]),
        )
    return array


def _mapping(data: Any, key: str, name: str) -> Mapping:
    value = data.get(key) if isinstance(data, Mapping) else None
    if not isinstance(value, Mapping):
        raise _wrong_form(f"{name}: {key}", "an object", value)
    return value


def _wrong_form(where: str, expected: str, found: Any) -> SampleError:
    text = "nothing" if found is None else repr(found)
    return SampleError("json_structure", where, expected=expected, found=text[:60])
