"""`summary.html`: what was predicted, what failed, how sure it is, and pictures of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2

from smil_ray.results.pages import data_address, render
from smil_ray.tracking.run_dir import write_atomic

MOST_PICTURES = 9
_PICTURE_WIDTH = 480
_MOST_FAILURES = 200


@dataclass
class Summary:
    """What the page says.

    Attributes:
        title: Heading.
        facts: Caption -> value.
        notes: Sentences.
        failed: File, frame or animal -> why there is no result.
        ranking: Rows of the frames most worth labelling, heads first; empty without.
        figures: Caption -> picture file.
        overlays: Picture files, of which some are shown, evenly spread.
        files: What else lies beside the page.
    """

    title: str
    facts: dict[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    ranking: Sequence[Sequence[str]] = ()
    figures: Mapping[str, Path] = field(default_factory=dict)
    overlays: Sequence[Path] = ()
    files: Sequence[str] = ()


def write_summary(summary: Summary, path: Path) -> Path:
    """Write the page; it needs no other file and no network."""
    overlays = _spread(summary.overlays)
    failed = list(summary.failed.items())
    content = {
        "summary": summary,
        "failed": failed[:_MOST_FAILURES],
        "more_failures": max(0, len(failed) - _MOST_FAILURES),
        "figures": [(name, _embedded(file)) for name, file in summary.figures.items()],
        "overlays": [(file.stem, _embedded(file, _PICTURE_WIDTH)) for file in overlays],
    }
    write_atomic(path, render("smil_ray.results.prediction.output", "summary.html.j2", content))
    return path


def _spread(paths: Sequence[Path]) -> list[Path]:
    if len(paths) <= MOST_PICTURES:
        return list(paths)
    step = (len(paths) - 1) / (MOST_PICTURES - 1)
    return [paths[round(number * step)] for number in range(MOST_PICTURES)]


def _embedded(path: Path, width: int | None = None) -> str:
    """Return a picture as the address of its own content."""
    picture = cv2.imread(str(path))
    if picture is None:
        return ""
    if width is not None and picture.shape[1] > width:
        height = max(1, round(picture.shape[0] * width / picture.shape[1]))
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    suffix, kind = (".png", "png") if width is None else (".jpg", "jpeg")
    return data_address(f"image/{kind}", cv2.imencode(suffix, picture)[1].tobytes())
