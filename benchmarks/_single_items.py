"""Single items `dataset[i]`, against the predecessor's layout and against a batch of one."""

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import h5py
import numpy as np

from smil_ray.core.batch import Sample
from smil_ray.core.xy import to_xy_by_collate
from smil_ray.data.dataset import SmilDataset

_LABELS = ("global_rot", "joint_rot", "betas", "trans", "fov", "cam_rot", "cam_trans")
_POINTS = ("keypoints_2d", "keypoints_3d", "keypoint_visibility")


def single_items(file: Path, items: int, rounds: int = 5) -> list[str]:
    """Time items of a file one at a time; the ways take turns at every item."""
    dataset = SmilDataset.from_path(file)
    old_path = file.with_name(f"{file.stem}_predecessor.h5")
    write_predecessor(old_path, dataset.samples(range(items)))
    with h5py.File(old_path, "r") as old:
        jobs: dict[str, Callable[[int], Any]] = {
            "dataset[i]": lambda i: dataset[i],
            "by way of a batch of one": lambda i: to_xy_by_collate(dataset.sample(i)),
            "predecessor's layout": lambda i: predecessor_item(old, i),
        }
        rates = median_rates(jobs, items, rounds)
    rows = [
        f"Single items at {dataset.input_size} px with masks, as `(x, y)` dictionaries in one",
        f"process: medians of the core time of {items * rounds} items each, the ways taking turns",
        "item by item. The predecessor's layout (pictures of variable length, masks in chunks,",
        "one slice of HDF5 a field) is read by a loop that does what its data set has to do:",
        "",
        "| way | items/s | dataset[i] is faster by |",
        "|---|---|---|",
    ]
    ours = rates["dataset[i]"]
    return rows + [f"| {way} | {rate:.0f} | {ours / rate:.1f} |" for way, rate in rates.items()]


def median_rates(
    jobs: dict[str, Callable[[int], Any]], items: int, rounds: int
) -> dict[str, float]:
    """Return items/s of core time by each way, from the median of all items."""
    seconds: dict[str, list[float]] = {way: [] for way in jobs}
    for _ in range(rounds):
        for i in range(items):
            for way, job in jobs.items():
                start = time.process_time()
                job(i)
                seconds[way].append(time.process_time() - start)
    return {way: 1.0 / median(times) for way, times in seconds.items()}


def write_predecessor(path: Path, samples: list[Sample]) -> None:
    """Write samples in the predecessor's layout (data_format section 9); values are not its."""
    side = samples[0].image.shape[0]
    with h5py.File(path, "w") as file:
        rgb = file.create_dataset("images/rgb_jpeg", (len(samples),), h5py.vlen_dtype(np.uint8))
        for i, sample in enumerate(samples):
            rgb[i] = cv2.imencode(".jpg", sample.image, [cv2.IMWRITE_JPEG_QUALITY, 95])[1].ravel()
        masks = np.stack([np.zeros((side, side), np.uint8) if s.mask is None else s.mask
                          for s in samples])[:, None]  # fmt: skip
        file.create_dataset(
            "images/silhouette_masks", data=masks, chunks=(1, 1, side, side), compression="gzip"
        )
        for group, names in (("parameters", _LABELS), ("keypoints", _POINTS)):
            for name in names:
                values = np.array([getattr(sample, name) for sample in samples], np.float32)
                file.create_dataset(f"{group}/{name}", data=values)


def predecessor_item(file: h5py.File, index: int) -> tuple[dict, dict]:
    """Return one item of the predecessor's layout as dictionaries of float32."""
    data: Any = file
    picture = cv2.imdecode(data["images/rgb_jpeg"][index], cv2.IMREAD_COLOR)
    assert picture is not None
    x = {
        "input_image_data": cv2.cvtColor(picture, cv2.COLOR_BGR2RGB).astype(np.float32) / 255.0,
        "input_image_mask": data["images/silhouette_masks"][index][0].astype(np.float32) / 255.0,
    }
    y = {name: data[f"parameters/{name}"][index] for name in _LABELS}
    return x, y | {name: data[f"keypoints/{name}"][index] for name in _POINTS}
