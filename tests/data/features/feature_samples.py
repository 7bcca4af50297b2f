"""A data set and a backbone without a network, for tests of feature caches."""

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from smil_ray.core.batch import Sample
from smil_ray.data.features.key import FeatureKey, order_hash
from smil_ray.data.features.shard import ShardMaker
from tests.data.hdf5.hdf5_samples import EVERY_LABEL, SIZE, make_sample

COUNT, WIDTH = 10, 24
NAMES = [f"set/s_{index:05d}" for index in range(COUNT)]


def read(indices: Sequence[int]) -> list[Sample]:
    """Return samples of which every third has no mask."""
    without = EVERY_LABEL - {"mask"}
    return [make_sample(i, present=EVERY_LABEL if i % 3 else without) for i in indices]


def encode(pictures: Tensor) -> Tensor:
    return pictures.float().flatten(1)[:, :WIDTH] / 7.0


def make_key(**changes: object) -> FeatureKey:
    values: dict = {
        "data_hash": "data",
        "order_hash": order_hash(NAMES),
        "model_hash": "model",
        "backbone": "test_vit",
        "weights_hash": "weights",
        "library": "none",
        "input_size": SIZE,
        "precision": "fp32",
        "augmentation": "none",
        "views": 1,
        "width": WIDTH,
        "samples": COUNT,
        "rows_per_shard": 3,
    }
    return FeatureKey(**{**values, **changes})


def maker(key: FeatureKey) -> ShardMaker:
    return ShardMaker(key, read, encode, None)


def contents(folder: Path) -> dict[str, bytes]:
    """Return the files of a cache but the manifest, which has a date."""
    return {p.name: p.read_bytes() for p in folder.iterdir() if p.suffix == ".safetensors"}
