"""Samples as columns: the form in which they are written, merged and hashed."""

import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from smil_ray.core.batch import LABELS, Sample
from smil_ray.data.hdf5.masks import encode_mask
from smil_ray.data.hdf5.schema import (
    COLUMNS,
    DIGESTS,
    PRESENCE,
    RGB_CRC,
    SAMPLE_COLUMNS,
    StoreInfo,
)
from smil_ray.data.image_io import encode_jpeg
from smil_ray.errors import DataError


@dataclass(frozen=True)
class Blob:
    """Byte strings of n samples one after the other: `data[offsets[i]:offsets[i + 1]]`."""

    data: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, parts: Sequence[bytes]) -> "Blob":
        """Return byte strings as one blob."""
        lengths = np.array([len(part) for part in parts], dtype=np.int64)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]).astype(np.int64)
        return cls(np.frombuffer(b"".join(parts), dtype=np.uint8), offsets)

    def __getitem__(self, index: int) -> bytes:
        return self.data[self.offsets[index] : self.offsets[index + 1]].tobytes()


@dataclass(frozen=True)
class SampleTable:
    """Encoded samples: `columns` by path of `hdf5.schema.COLUMNS`, images as blobs."""

    names: tuple[str, ...]
    groups: tuple[str, ...]
    columns: dict[str, np.ndarray]
    rgb: Blob
    masks: Blob

    def __len__(self) -> int:
        return len(self.names)


def encode_samples(samples: Sequence[Sample], info: StoreInfo, jpeg_quality: int) -> SampleTable:
    """Return samples as columns, with JPEG images, coverage, checksums and digests.

    Raises:
        DataError: A sample's arrays do not have the shapes that `info` says.
    """
    sizes = info.sizes(len(LABELS))
    shapes = {column.field: column.shape(sizes) for column in SAMPLE_COLUMNS}
    for sample in samples:
        _check_shapes(sample, shapes, info.input_size)
    columns = {
        column.path: np.array([getattr(s, column.field) for s in samples]).astype(column.dtype)
        if samples
        else np.zeros((0, *column.shape(sizes)), column.dtype)
        for column in SAMPLE_COLUMNS
    }
    jpegs = [encode_jpeg(sample.image, jpeg_quality) for sample in samples]
    masks = [b"" if sample.mask is None else encode_mask(sample.mask) for sample in samples]
    presence = [[label in sample.present for label in LABELS] for sample in samples]
    columns[PRESENCE] = np.array(presence, dtype=bool).reshape(len(samples), len(LABELS))
    columns["auxiliary/silhouette_coverage"] = np.array(
        [silhouette_coverage(sample) for sample in samples], dtype=np.float32
    )
    columns["auxiliary/visible_keypoints"] = np.array(
        [int(sample.keypoint_visibility.sum()) for sample in samples], dtype=np.int32
    )
    names, groups = tuple(s.name for s in samples), tuple(s.group for s in samples)
    table = SampleTable(names, groups, columns, Blob.of(jpegs), Blob.of(masks))
    columns[RGB_CRC] = checksums(table.rgb)
    columns[DIGESTS] = sample_digests(table)
    return table


def checksums(blob: Blob) -> np.ndarray:
    """Return the CRC-32 of each byte string, uint32 (n,)."""
    found = [zlib.crc32(blob[i]) for i in range(len(blob.offsets) - 1)]
    return np.array(found, dtype=np.uint32)


def crc32_of(*arrays: np.ndarray) -> np.uint32:
    """Return the CRC-32 of the bytes of arrays, one after the other."""
    crc = 0
    for values in arrays:
        crc = zlib.crc32(np.ascontiguousarray(values).tobytes(), crc)
    return np.uint32(crc)


def silhouette_coverage(sample: Sample) -> float:
    """Return the part of the picture that the silhouette covers, NaN without a mask."""
    return float("nan") if sample.mask is None else float(sample.mask.mean()) / 255.0


def sample_digests(table: SampleTable) -> np.ndarray:
    """Return the SHA-256 digest of each encoded sample, uint8 (n, 32)."""
    found = np.zeros((len(table), 32), dtype=np.uint8)
    arrays = [
        (column.path.encode(), np.ascontiguousarray(table.columns[column.path]))
        for column in COLUMNS
        if column.path != DIGESTS
    ]
    for i in range(len(table)):
        digest = hashlib.sha256()
        texts = (table.names[i].encode(), table.groups[i].encode())
        for part in (*texts, table.rgb[i], table.masks[i]):
            digest.update(len(part).to_bytes(8, "little"))
            digest.update(part)
        for path, values in arrays:
            digest.update(path)
            digest.update(values[i].tobytes())
        found[i] = np.frombuffer(digest.digest(), dtype=np.uint8)
    return found


def _check_shapes(sample: Sample, shapes: Mapping[str, tuple[int, ...]], side: int) -> None:
    for field, expected in shapes.items():
        found = np.shape(getattr(sample, field))
        if expected != found:
            raise DataError(f"sample {sample.name!r}: {field}", expected=expected, found=found)
    square = (side, side)
    found_px = [sample.image.shape[:2], *([] if sample.mask is None else [sample.mask.shape])]
    if any(shape != square for shape in found_px):
        raise DataError(
            f"sample {sample.name!r}: image or mask", expected=f"{square} px", found=found_px[0]
        )
    if ("mask" in sample.present) != (sample.mask is not None):
        raise DataError(f"sample {sample.name!r}: `present` and `mask` disagree")
