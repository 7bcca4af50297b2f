"""The HDF5 layout, schema version 2, as one table (`docs/data_format.md` is its prose).

To add a per-sample array: add a row to `COLUMNS`, raise `SCHEMA_VERSION` and `CONTENT_VERSION`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from smil_ray.body.smil_model import SmilModel

FORMAT = "smil_ray"
SCHEMA_VERSION = 2
READABLE = (1, 2)
"""Schema versions that are read. In 1 texts are fixed-length or variable-length strings."""
FIRST_CHECKED_VERSION = 2
"""First schema version whose files have checksums over all of HDF5's own metadata."""
CONTENT_VERSION = 1
"""Version of what `content_hash` covers: files of schema 1 and 2 with equal samples share it."""
GROUPS = ("metadata", "images", "parameters", "keypoints", "auxiliary")

RGB_BLOB, RGB_OFFSETS = "images/rgb_jpeg", "images/rgb_jpeg_offsets"
MASK_BLOB, MASK_OFFSETS = "images/masks", "images/mask_offsets"
NAMES, SAMPLE_GROUPS = "auxiliary/names", "auxiliary/groups"
PRESENCE, DIGESTS, RGB_CRC = "auxiliary/presence", "auxiliary/sample_sha256", "images/rgb_crc32"
JOINT_NAMES, PARENTS = "metadata/joint_names", "metadata/parents"
MASK_CRC, LABEL_NAMES = "images/mask_crc32", "auxiliary/labels"
SETTINGS, DROP_COUNTS = "metadata/settings", "metadata/drop_counts"
NOTES, NOTE_COUNTS = "metadata/notes", "metadata/note_counts"
DROPS = ("metadata/dropped_names", "metadata/dropped_reasons", "metadata/dropped_details")


@dataclass(frozen=True)
class Column:
    """One per-sample array: where it lies, its type and its axes after the sample axis.

    Axes are numbers or the names of sizes: n_joints, n_pose, n_betas, k, n_labels.
    """

    path: str
    dtype: str
    axes: tuple[int | str, ...] = ()

    @property
    def field(self) -> str:
        """Last part of the path; for most columns the name of the `Sample` field."""
        return self.path.rpartition("/")[2]

    def shape(self, sizes: Mapping[str, int]) -> tuple[int, ...]:
        """Return the shape of one sample's entry."""
        return tuple(sizes[axis] if isinstance(axis, str) else axis for axis in self.axes)


SAMPLE_COLUMNS = (
    Column("parameters/global_rot", "float32", (3,)),
    Column("parameters/joint_rot", "float32", ("n_pose", 3)),
    Column("parameters/betas", "float32", ("n_betas",)),
    Column("parameters/trans", "float32", (3,)),
    Column("parameters/fov", "float32"),
    Column("parameters/cam_rot", "float32", (3, 3)),
    Column("parameters/cam_trans", "float32", (3,)),
    Column("parameters/intrinsics", "float32", (4,)),
    Column("parameters/scale_weights", "float32", ("k",)),
    Column("parameters/trans_weights", "float32", ("k",)),
    Column("keypoints/keypoints_2d", "float32", ("n_joints", 2)),
    Column("keypoints/keypoints_3d", "float32", ("n_joints", 3)),
    Column("keypoints/keypoint_visibility", "bool", ("n_joints",)),
    Column("keypoints/keypoint_presence", "bool", ("n_joints",)),
    Column("auxiliary/body_length", "float32"),
)
"""Columns that are fields of `Sample`."""

DERIVED_COLUMNS = (
    Column(PRESENCE, "bool", ("n_labels",)),
    Column("auxiliary/silhouette_coverage", "float32"),
    Column("auxiliary/visible_keypoints", "int32"),
    Column(RGB_CRC, "uint32"),
    Column(DIGESTS, "uint8", (32,)),
)
"""Columns computed from the sample when it is written."""

COLUMNS = (*SAMPLE_COLUMNS, *DERIVED_COLUMNS)


def offsets_path(texts: str) -> str:
    """Return the path of the offsets of texts that are stored as flat bytes."""
    return f"{texts}_offsets"


_HASHED_1 = (
    *(column.path for column in COLUMNS),
    NAMES,
    SAMPLE_GROUPS,
    RGB_OFFSETS,
    MASK_OFFSETS,
)
HASHED = {
    1: _HASHED_1,
    2: (*_HASHED_1, MASK_CRC, offsets_path(NAMES), offsets_path(SAMPLE_GROUPS)),
}
"""Everything of a sample but its image bytes, which have checksums of their own, by version."""


def columns_hash(columns: Mapping[str, np.ndarray], version: int = SCHEMA_VERSION) -> str:
    """Return the hash of the arrays at HASHED, compared whenever a file is opened.

    HDF5 gives zeros for data whose place it no longer knows; no zero may look like a label.
    """
    digest = hashlib.sha256()
    for path in HASHED[version]:
        values = np.ascontiguousarray(columns[path])
        digest.update(f"{path} {values.dtype.str} {values.shape}".encode())
        digest.update(values.tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Drop:
    """A sample that was left out: its name, the reason's slug, and what was found.

    Attributes:
        is_error: The sample could not be read; false where a filter left it out.
    """

    name: str
    reason: str
    detail: str
    is_error: bool = True


@dataclass(frozen=True)
class StoreInfo:
    """What a file says about all its samples.

    Attributes:
        model_hash: `SmilModel.content_hash` of the body model that the labels refer to.
        input_size: Height and width of every image, pixels.
        settings: The settings that made the file.
        content_hash: Hash over the samples and what gives them meaning; empty before writing.
        drop_counts: Reason -> number of samples left out.
        notes: Note -> number of samples it holds for.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    model_name: str
    model_hash: str
    n_betas: int
    n_weights: int
    input_size: int
    settings: dict[str, Any] = field(default_factory=dict)
    content_hash: str = ""
    drop_counts: dict[str, int] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(
        cls, model: SmilModel, input_size: int, settings: Mapping[str, Any] | None = None
    ) -> "StoreInfo":
        """Return the description of samples labelled with `model`."""
        return cls(
            joint_names=tuple(model.skeleton.joint_names),
            parents=tuple(model.skeleton.parents),
            model_name=model.name,
            model_hash=model.content_hash,
            n_betas=model.n_betas,
            n_weights=model.n_scale_weights,
            input_size=input_size,
            settings=dict(settings or {}),
        )

    def sizes(self, n_labels: int) -> dict[str, int]:
        """Return the named axes of `Column.axes`."""
        return {
            "n_joints": len(self.joint_names),
            "n_pose": len(self.joint_names) - 1,
            "n_betas": self.n_betas,
            "k": self.n_weights,
            "n_labels": n_labels,
        }

    def content_hash_with(self, digests: np.ndarray) -> str:
        """Return the hash of samples with these SHA-256 digests (n, 32), in this order.

        It covers the samples and what gives their labels a meaning, and nothing else: not
        settings, not what was left out, not how the work was divided (data_format section 7).
        """
        meaning = [CONTENT_VERSION, self.joint_names, self.parents, self.model_hash]
        text = json.dumps([*meaning, self.input_size], separators=(",", ":"))
        digest = hashlib.sha256(text.encode())
        digest.update(np.ascontiguousarray(digests, dtype=np.uint8).tobytes())
        return digest.hexdigest()


def count(values: Iterable[str]) -> dict[str, int]:
    """Return how often each value occurs, by falling number, then by name."""
    found: dict[str, int] = {}
    for value in values:
        found[value] = found.get(value, 0) + 1
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
