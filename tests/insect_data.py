"""Data sets of the built-in insect on disk, quick to make, and a network trained on one."""

from pathlib import Path

from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Sample
from smil_ray.data.hdf5.merge import write_shard
from smil_ray.data.hdf5.schema import StoreInfo
from smil_ray.data.hdf5.table import encode_samples
from smil_ray.orchestration.train.job import run_training
from tests.memory_data import SIZE, make_samples, tiny_config


def write_insects(
    path: Path,
    samples: list[Sample] | None = None,
    *,
    model: SmilModel | None = None,
    size: int = SIZE,
    place: str = "builtin",
) -> Path:
    """Write an HDF5 file; without samples, 16 insects with their joints drawn as dots."""
    model = model or SmilModel.builtin()
    info = StoreInfo.of(model, size, {"model": place})
    table = encode_samples(samples or make_samples(model, 16, size=size), info, 95)
    write_shard(path, table, info)
    return path


def train_insects(data: Path, folder: Path, **sections: dict) -> Path:
    """Train a tiny network for an epoch, in this process; return its run folder."""
    settings = {
        "data": {"path": str(data), "val_fraction": 0.25, "test_fraction": 0.25, "limit": None},
        "train": {"epochs": 1, "overlay_samples": 0, "plots": False},
        "run": {"output_dir": str(folder), "name": "insects"},
        **sections,
    }
    return run_training(tiny_config(**settings), execution="inline").run_dir.path
