"""What is in a data set, for people: a text of all facts, and a sheet of samples with labels."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import UInt8

from smil_ray.core.batch import Sample
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.filters import REASONS
from smil_ray.data.hdf5.predecessor import is_predecessor_file
from smil_ray.data.hdf5.reading import list_arrays
from smil_ray.data.hdf5.store import read_drops, schema_version
from smil_ray.render.overlay import contact_sheet, draw_keypoints, draw_mask_edge

PANEL = 320
"""Edge in pixels of one picture of a sheet."""
_EXAMPLES = 3


def describe(dataset: SmilDataset, path: Path) -> str:
    """Return everything a data set says about itself, one fact a line.

    Args:
        dataset: The data set.
        path: Where it was opened from; a file's arrays and dropped samples are read again.

    Raises:
        DataError: The file cannot be read.
    """
    facts = dataset.metadata
    kind = _kind(path)
    lines = [
        f"{path}: {kind}",
        f"  samples       {len(dataset)} in {len(set(dataset.groups))} groups",
        f"  pictures      {facts['input_size']} px, RGB",
        f"  body model    {facts['model_name']} ({facts['model_hash'][:12]}), "
        f"{len(dataset.joint_names)} joints, {dataset.n_betas} betas",
        f"  content hash  {dataset.content_hash}",
        "labels (samples that have them)",
        *_counted(dataset.presence_counts(), len(dataset)),
        "left out (samples, reason)",
        *_drops(path if kind.startswith("schema") else None, facts["drop_counts"]),
        "marked absent (samples, note)",
        *(f"  {number:8d}  {note}" for note, number in facts["notes"].items()),
        "settings",
        *(f"  {name:<22}{value}" for name, value in sorted(facts["settings"].items())),
    ]
    if path.is_file():
        lines += ["arrays", *(f"  {n:<38}{t:<9}{s}" for n, t, s in list_arrays(path))]
    return "\n".join(lines)


def label_sheet(
    dataset: SmilDataset, count: int, columns: int = 4
) -> UInt8[np.ndarray, "height width 3"]:
    """Return `count` samples, evenly spread, with keypoints and mask edges drawn on them.

    A caption is the name's end, visible of all present joints, and the mask's coverage.

    Args:
        dataset: At least one sample.
        count: Most samples to show.
        columns: Pictures per row.

    Raises:
        DataError: A picture is damaged.
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, count).round().astype(int))
    samples = dataset.samples(chosen.tolist())
    pictures = [draw_labels(sample, dataset.skeleton) for sample in samples]
    return contact_sheet(pictures, columns, [_caption(sample) for sample in samples])


def draw_labels(
    sample: Sample, skeleton: Skeleton, edge: int = PANEL
) -> UInt8[np.ndarray, "edge edge 3"]:
    """Return a sample's picture with the outline of its mask, bones and joints.

    Visible joints are filled, joints that are present and not visible are grey rings.
    """
    picture = _resized(sample.image, edge)
    if sample.mask is not None:
        picture = draw_mask_edge(picture, _resized(sample.mask, edge))
    return draw_keypoints(
        picture, sample.keypoints_2d, skeleton=skeleton, visible=sample.keypoint_visibility
    )


def _counted(counts: dict[str, int], total: int) -> list[str]:
    return [f"  {n:8d}  {name}{' (all)' if n == total else ''}" for name, n in counts.items()]


def _drops(path: Path | None, counts: dict[str, int]) -> list[str]:
    """Return every reason with its number and, for a file of ours, the first samples."""
    examples: dict[str, list[str]] = {}
    for drop in read_drops(path) if path is not None else []:
        examples.setdefault(drop.reason, []).append(drop.detail or drop.name)
    lines = []
    for reason, number in counts.items():
        lines.append(f"  {number:8d}  {reason}: {REASONS.get(reason, 'unknown reason')}")
        lines += [f"            {text}" for text in examples.get(reason, [])[:_EXAMPLES]]
    return lines or ["         0"]


def _kind(path: Path) -> str:
    if path.is_dir():
        return "a replicAnt folder"
    if is_predecessor_file(path):
        return "a file of the predecessor"
    return f"schema version {schema_version(path)}"


def _caption(sample: Sample) -> str:
    seen, there = int(sample.keypoint_visibility.sum()), int(sample.keypoint_presence.sum())
    covered = "no mask" if sample.mask is None else f"{sample.mask.mean() / 255.0:.1%}"
    return f"{_short(sample.name.split('/'))} {seen}/{there} {covered}"


def _short(parts: Sequence[str], longest: int = 12) -> str:
    text = parts[-1]
    return text if len(text) <= longest else f"..{text[2 - longest :]}"


def _resized(picture: np.ndarray, edge: int) -> np.ndarray:
    way = cv2.INTER_AREA if edge < picture.shape[0] else cv2.INTER_LINEAR
    return cv2.resize(picture, (edge, edge), interpolation=way)
