"""What decides the content of a feature cache: its key, its size and the order of its rows."""

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from smil_ray.config import AugmentConfig

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
LAYOUT = "tokens+pooled/1"
"""How a row is packed (`models.backbones.Features.packed`) and which labels lie beside it."""
NO_AUGMENTATION = "none"
SHARD_BYTES = 64 << 20
LARGEST_SHARD = 4096
SMALLEST_SHARD = 16
SHARED_OUT = 32
"""Into so many files at least, of `SMALLEST_SHARD` rows or more, so that builders can share."""
LABEL_BYTES = 4096
"""About what the labels and the mask of a row take."""


@dataclass(frozen=True)
class FeatureKey:
    """Everything that the rows of a cache depend on; equal keys, equal caches.

    The splits are not in it: a cache has all samples of the data set, in its order.

    Attributes:
        data_hash: Content hash of the data set.
        order_hash: Hash of the sample names in order.
        model_hash: Content hash of the body model, to which the labels refer.
        backbone: timm name.
        weights_hash: Hash of the backbone's weights, wherever they come from.
        library: Name and version of what computes the backbone.
        input_size: Side of the pictures, pixels.
        precision: `fp32`, `fp16` or `bf16`, of the stored features; they are computed in fp32.
        augmentation: `none`, or a hash of the random changes.
        views: Rows per sample: changes of each picture; 1 without augmentation.
        width: Numbers in a row.
        samples: Number of samples.
        rows_per_shard: Rows of each file but the last.
        layout: See LAYOUT.
    """

    data_hash: str
    order_hash: str
    model_hash: str
    backbone: str
    weights_hash: str
    library: str
    input_size: int
    precision: str
    augmentation: str
    views: int
    width: int
    samples: int
    rows_per_shard: int
    layout: str = LAYOUT

    @property
    def digest(self) -> str:
        """SHA-256 over all parts."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def folder_name(self) -> str:
        """Name of the cache's folder: the backbone for people, the digest for programs."""
        return f"{self.backbone}-{self.digest[:12]}"

    @property
    def rows(self) -> int:
        """Number of rows: all samples in the first view, then all in the second, and so on."""
        return self.views * self.samples

    @property
    def row_bytes(self) -> int:
        """Bytes of a row of features."""
        return self.width * DTYPES[self.precision].itemsize

    @property
    def estimated_bytes(self) -> int:
        """About the size on the disk."""
        return self.rows * (self.row_bytes + LABEL_BYTES)

    def describe_build(self) -> str:
        """Return in words what will be computed, and how much room it takes."""
        return (
            f"caching features of {self.backbone}: {self.row_bytes / 1e3:.0f} kB a picture, "
            f"{self.estimated_bytes / 1e9:.2f} GB for {self.rows} pictures"
        )

    @property
    def shards(self) -> list[range]:
        """The rows of each file."""
        step = self.rows_per_shard
        return [range(at, min(at + step, self.rows)) for at in range(0, self.rows, step)]

    def as_dict(self) -> dict[str, Any]:
        """Return the parts by name."""
        return asdict(self)

    def differences(self, other: "FeatureKey") -> list[str]:
        """Return the names of the parts in which two keys differ."""
        mine, theirs = asdict(self), asdict(other)
        return [name for name, value in mine.items() if theirs[name] != value]


def rows_per_shard(width: int, precision: str, rows: int) -> int:
    """Return how many of `rows` make a file: of a handy size, and one of several."""
    row = width * DTYPES[precision].itemsize + LABEL_BYTES
    share = max(SMALLEST_SHARD, math.ceil(rows / SHARED_OUT))
    return max(1, min(LARGEST_SHARD, SHARD_BYTES // row, share))


def order_hash(names: Sequence[str]) -> str:
    """Return a hash of sample names in their order."""
    digest = hashlib.sha256()
    for name in names:
        digest.update(name.encode() + b"\0")
    return digest.hexdigest()


def augmentation_id(config: AugmentConfig, seed: int) -> str:
    """Return what tells random changes of pictures from others: settings and seed."""
    if not config.enabled:
        return NO_AUGMENTATION
    text = json.dumps([config.model_dump(mode="json"), seed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
