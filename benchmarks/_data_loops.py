"""Bare loops that `data.py` compares with, and the folders that it reads."""

import json
import multiprocessing
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import simplejpeg

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.image_io import decode_rgb, picture_size, read_id_mask, reduction_for
from smil_ray.data.replicant.coordinates import Window
from smil_ray.data.replicant.reading import Entry, find_entries, read_samples
from smil_ray.data.synthetic.samples import SynthOptions
from smil_ray.orchestration.synth import synthesize

SIDE = 1024
REAL = ("replicAnt-x-SMIL-demo", "replicAnt-x-SMIL-TEX")
AXES = {"2DPos": "xy", "3DPos": "xyz", "quaternion": "xyzw", "globalRotation": "xyzw"}


def folder_of(place: Path, real: Path, count: int) -> tuple[Path, Path, str]:
    """Return folders of `count` entries of 1024 px with and without masks, and what they are.

    Real pictures are linked under many names; those that have no mask get the convex hull of
    their keypoints. Without real ones, synthetic pictures serve.
    """
    masked, bare, masks = (place / name for name in ("masked", "bare", "hulls"))
    for folder in (masked, bare, masks):
        folder.mkdir()
    folders = [real / "data" / "replicant" / name for name in REAL]
    if all(folder.is_dir() for folder in folders):
        entries = [entry for folder in folders for entry in find_entries(folder)]
        found = {entry: write_hull(entry, masks) for entry in entries}
        source = f"{len(entries)} real ones linked under many names, masks are keypoint hulls"
    else:
        synthesize(place / "synth", SynthOptions(samples=25, image_size=SIDE), num_workers=1)
        found = {entry: entry.mask_path for entry in find_entries(place / "synth")}
        source = "25 synthetic ones linked under many names"
    for index in range(count):
        entry, mask = list(found.items())[index % len(found)]
        assert entry.image_path is not None
        assert mask is not None
        for folder in (masked, bare):
            (folder / f"n_{index:04d}.json").symlink_to(entry.json_path)
            (folder / f"n_{index:04d}.JPG").symlink_to(entry.image_path)
        (masked / f"n_{index:04d}_ID.png").symlink_to(mask)
    return masked, bare, source


def linked(folder: Path, target: Path, count: int) -> Path:
    """Return a new folder of `count` entries that are links to those of `folder`."""
    target.mkdir()
    entries = find_entries(folder)
    for index in range(count):
        entry = entries[index % len(entries)]
        name = f"m_{index:05d}"
        (target / f"{name}.json").symlink_to(entry.json_path.resolve())
        for path, suffix in ((entry.image_path, ".JPG"), (entry.mask_path, "_ID.png")):
            if path is not None:
                (target / f"{name}{suffix}").symlink_to(path.resolve())
    return target


def write_hull(entry: Entry, folder: Path) -> Path:
    """Write the convex hull of an entry's keypoints as an ID mask; return its path."""
    (sample,) = read_samples(entry, SmilModel.builtin()).samples
    side = sample.image.shape[0]
    hull = cv2.convexHull(np.round(sample.keypoints_2d * side).astype(np.int32))
    ids = np.zeros((side, side, 4), np.uint8)
    ids[..., 3] = 255
    cv2.fillConvexPoly(ids, hull, (0, 0, 1, 255))
    path = folder / f"{entry.json_path.stem}_ID.png"
    cv2.imwrite(str(path), ids)
    return path


def bare_loop(entries: Sequence[Entry], size: int, *, same: bool) -> None:
    """Read, decode, resize and encode pictures; read, decode and resize masks.

    `same`: with the package's decoders, else with OpenCV's at full size.
    """
    cv2.setNumThreads(1)
    for entry in entries:
        assert entry.image_path is not None
        data = entry.image_path.read_bytes()
        picture = reduced(data, size) if same else decoded(data)
        small = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
        cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])
        if entry.mask_path is not None:
            data = entry.mask_path.read_bytes()
            mask = read_id_mask(data) if same else decoded(data)
            cv2.resize(mask, (size, size), interpolation=cv2.INTER_AREA)


def decode_only(entries: Sequence[Entry], size: int) -> None:
    """Read and decode pictures and masks with the package's decoders, and nothing else."""
    for entry in entries:
        assert entry.image_path is not None
        reduced(entry.image_path.read_bytes(), size)
        if entry.mask_path is not None:
            read_id_mask(entry.mask_path.read_bytes())


def reduced(data: bytes, size: int) -> np.ndarray:
    """Return a JPEG at the reduced scale that a picture of `size` px needs."""
    window = Window.padded(*picture_size(data, "picture"))
    return decode_rgb(data, "picture", reduction=reduction_for(window, size))


def loop(entries: list[Entry], size: int, workers: int) -> float:
    """Return the seconds that the bare loop takes in `workers` processes."""
    return in_processes(partial(bare_loop, size=size, same=False), entries, workers)


def decoded(data: bytes) -> np.ndarray:
    """Return a picture as OpenCV gives it."""
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture is not None
    return picture


def in_processes(
    work: Callable[[list[Entry]], None], entries: list[Entry], processes: int
) -> float:
    """Return the seconds that `work` takes in that many processes, their start left out."""
    if processes == 1:
        start = time.perf_counter()
        work(entries)
        return time.perf_counter() - start
    with multiprocessing.get_context("forkserver").Pool(processes) as pool:
        pool.map(work, [entries[:2]] * processes, chunksize=1)
        start = time.perf_counter()
        pool.map(work, [entries[i::processes] for i in range(processes)], chunksize=1)
        return time.perf_counter() - start


def plain_json(entries: Sequence[Entry], size: int) -> None:
    """Load samples as scripts usually do: full-size OpenCV, json, a loop over joints."""
    for entry in entries:
        document = json.loads(entry.json_path.read_text())["iterationData"]
        assert entry.image_path is not None
        picture = cv2.cvtColor(decoded(entry.image_path.read_bytes()), cv2.COLOR_BGR2RGB)
        height, width = picture.shape[:2]
        picture = cv2.resize(picture, (size, size)).astype(np.float32) / 255.0
        if entry.mask_path is not None:
            mask = decoded(entry.mask_path.read_bytes())[..., 2] > 0
            cv2.resize(mask.astype(np.float32), (size, size))
        subject = next(iter(document["subject Data"][0].values()))
        columns: dict[str, list[list[float]]] = {key: [] for key in AXES}
        for joint in subject["keypoints"].values():
            for key, axes in AXES.items():
                if key in joint:
                    columns[key].append([float(joint[key][axis]) for axis in axes])
        arrays = {key: np.array(rows, dtype=np.float32) for key, rows in columns.items()}
        arrays["2DPos"] /= np.array([width, height], dtype=np.float32)


def bare_decode(pictures: list[bytes]) -> None:
    """Decode stored JPEGs and do nothing else."""
    for data in pictures:
        simplejpeg.decode_jpeg(data)


def best_rates(
    jobs: dict[str, Callable[[], float]], samples: int, rounds: int = 3
) -> dict[str, float]:
    """Return samples/s of jobs that say how long they took, taking turns."""
    seconds = _in_turn(jobs, rounds)
    return {name: samples / min(times) for name, times in seconds.items()}


def median_rates(
    jobs: dict[str, Callable[[], float]], samples: int, rounds: int
) -> dict[str, float]:
    """Return samples/s like `best_rates`, by the median round: other load moves that least."""
    seconds = _in_turn(jobs, rounds)
    return {name: samples / median(times) for name, times in seconds.items()}


def _in_turn(jobs: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds):
        for name, job in jobs.items():
            seconds[name].append(job())
    return seconds


def core(job: Callable[[], object]) -> float:
    """Return the seconds of core time of this process that a job takes."""
    start = time.process_time()
    job()
    return time.process_time() - start


def timed(job: Callable[[], object]) -> float:
    """Return the seconds that a job takes."""
    start = time.perf_counter()
    job()
    return time.perf_counter() - start


def peak_mb() -> float:
    """Return the largest resident memory since the last call, MB, and begin anew (Linux)."""
    fields = Path("/proc/self/status").read_text().split()
    Path("/proc/self/clear_refs").write_text("5")
    return int(fields[fields.index("VmHWM:") + 1]) / 1024
