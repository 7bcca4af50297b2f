"""One file of a feature cache: rows of features with their labels and masks (safetensors)."""

import contextlib
import os
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from smil_ray.core.batch import LABEL_COLUMNS, Sample, stack_labels
from smil_ray.data.augment import Augmenter
from smil_ray.data.features.key import DTYPES, FeatureKey
from smil_ray.data.hdf5.masks import encode_mask
from smil_ray.errors import DataError

FEATURES, MASK_BYTES, MASK_ENDS = "features", "mask_bytes", "mask_ends"
ROW_CRC, REST_CRC = "row_crc32", "rest_crc32"
"""CRC-32 of each row's features and encoded mask (rows, 2), and of everything else (1,).

Files written before these existed lack both and are read without a check."""
ENCODED_TOGETHER = 16
"""Pictures that go through the backbone at a time."""

Encode = Callable[[UInt8[Tensor, "batch 3 h w"]], Float[Tensor, "batch width"]]
"""Pictures RGB 0-255 to packed features on the CPU."""
ReadSamples = Callable[[Sequence[int]], list[Sample]]
Tensors = dict[str, Tensor]


class ShardMaker:
    """Computes the rows of a cache.

    Args:
        key: The cache's key.
        read: Reads samples by index.
        encode: The backbone.
        augmenter: Random changes; row v * samples + i is sample i changed as in epoch v.
    """

    def __init__(
        self, key: FeatureKey, read: ReadSamples, encode: Encode, augmenter: Augmenter | None
    ) -> None:
        self._key = key
        self._read = read
        self._encode = encode
        self._augmenter = augmenter

    def __call__(self, rows: range, between: Callable[[], None]) -> Tensors:
        """Return the tensors of the file with `rows`; `between` is called now and then.

        Raises:
            DataError: A sample cannot be read, or a feature does not fit into the precision.
        """
        found: list[Tensors] = []
        for at in range(rows.start, rows.stop, ENCODED_TOGETHER):
            between()
            found.append(self._some(range(at, min(at + ENCODED_TOGETHER, rows.stop))))
        tensors = {name: torch.cat([part[name] for part in found]) for name in found[0]}
        tensors[MASK_ENDS] = tensors[MASK_ENDS].cumsum(0)
        return with_checksums(tensors)

    def _some(self, rows: range) -> Tensors:
        count = self._key.samples
        samples = self._read([row % count for row in rows])
        if self._augmenter is not None:
            views = [row // count for row in rows]
            samples = [self._augmenter(s, v) for s, v in zip(samples, views, strict=True)]
        pictures = torch.from_numpy(np.stack([s.image for s in samples])).permute(0, 3, 1, 2)
        features = self._encode(pictures).to(DTYPES[self._key.precision])
        _check_finite(features, samples, self._key)
        masks = [b"" if s.mask is None else encode_mask(s.mask) for s in samples]
        return {
            FEATURES: features,
            MASK_BYTES: torch.frombuffer(bytearray(b"".join(masks) or b"\0"), dtype=torch.uint8)[
                : sum(map(len, masks))
            ],
            MASK_ENDS: torch.tensor([len(mask) for mask in masks]),
            **stack_labels(samples),
        }


def write_shard(path: Path, tensors: Tensors) -> None:
    """Write a file that is there completely, on the disk, or not at all.

    The caller holds the lock of this file: what an earlier, killed writer left is removed.

    Raises:
        DataError: The disk is full or the folder cannot be written.
    """
    for left in path.parent.glob(f".{path.name}.*.partial"):
        left.unlink(missing_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial)
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    except (OSError, SafetensorError) as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise DataError(
            f"feature cache {path} cannot be written: {error}",
            remedy="free space (`smil-ray cache ls`, `smil-ray cache rm`), or set "
            "data.feature_cache_dir",
        ) from error


def map_shard(path: Path, rows: range, key: FeatureKey) -> Tensors:
    """Return the tensors of a file, mapped into memory: what is not looked at is not read.

    Raises:
        DataError: The file is missing, damaged or of another shape.
    """
    try:
        tensors = load_file(path)
        shape, kind = tuple(tensors[FEATURES].shape), tensors[FEATURES].dtype
    except (OSError, SafetensorError, KeyError) as error:
        raise DataError(
            f"feature cache {path} cannot be read: {error}", remedy="remove it: smil-ray cache rm"
        ) from error
    expected = (len(rows), key.width)
    _check_columns(path, tensors, len(rows))
    if shape != expected or kind != DTYPES[key.precision]:
        raise DataError(
            f"feature cache {path}",
            expected=f"{expected} in {key.precision}",
            found=f"{shape} in {kind}",
            remedy="remove it: smil-ray cache rm",
        )
    return tensors


def with_checksums(tensors: Tensors) -> Tensors:
    """Return the tensors of a file with ROW_CRC and REST_CRC."""
    ends = tensors[MASK_ENDS].tolist()
    rows = [
        [crc32_of(features), crc32_of(tensors[MASK_BYTES][first:last])]
        for features, first, last in zip(tensors[FEATURES], [0, *ends], ends, strict=False)
    ]
    tensors = {**tensors, ROW_CRC: torch.tensor(rows).reshape(len(rows), 2)}
    return {**tensors, REST_CRC: torch.tensor([_rest_crc(tensors)])}


def crc32_of(values: Tensor, crc: int = 0) -> int:
    """Return the CRC-32 of a tensor's bytes, going on from `crc`."""
    if not values.numel():
        return crc
    return zlib.crc32(values.contiguous().view(-1).view(torch.uint8).numpy().data, crc)


def _rest_crc(tensors: Tensors) -> int:
    """Return the CRC-32 of everything that is read whenever a file is opened."""
    crc = 0
    for name in (*LABEL_COLUMNS, MASK_ENDS, ROW_CRC):
        crc = crc32_of(tensors[name], crc)
    return crc


def _check_columns(path: Path, tensors: Tensors, rows: int) -> None:
    """Raise `DataError` unless a file has its columns, as long as they must be and undamaged."""
    columns = {FEATURES, MASK_ENDS, *LABEL_COLUMNS}
    checks = {ROW_CRC, REST_CRC} & set(tensors)
    found = "other columns"
    if set(tensors) - checks == columns | {MASK_BYTES} and len(checks) != 1:
        found = "columns of other lengths"
        if all(tensors[name].shape[:1] == (rows,) for name in columns):
            if not checks or tensors[REST_CRC].tolist() == [_rest_crc(tensors)]:
                return
            found = "another checksum"
    raise DataError(
        f"feature cache {path} is damaged", found=found, remedy="remove it: smil-ray cache rm"
    )


def sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power failure."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _check_finite(features: Tensor, samples: list[Sample], key: FeatureKey) -> None:
    bad = ~features.isfinite().all(dim=1)
    if bad.any():
        name = samples[int(bad.nonzero()[0, 0])].name
        raise DataError(
            f"features of {name!r} by {key.backbone}",
            expected=f"numbers within the range of {key.precision}",
            found="larger ones or none",
            remedy="set data.feature_cache to bf16, fp32 or off",
        )
