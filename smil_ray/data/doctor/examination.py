"""What is wrong with a data set, found before a trainer trips over it.

Every entry is read exactly as preprocessing reads it; what is unusable, what does not fit the
body model, and what contradicts other entries becomes a finding with a kind, a sentence and
the entries' names.
"""

import hashlib
import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import LabelConfig
from smil_ray.core.batch import Sample
from smil_ray.data import image_io
from smil_ray.data.doctor._pictures import (
    CHANCE,
    FAINT,
    MAX_SUSPECTS,
    SUSPICIOUS,
    contrast,
    edge_map,
    find_swaps,
)
from smil_ray.data.doctor.findings import KINDS, EntryReport, Finding
from smil_ray.data.doctor.report import DoctorReport
from smil_ray.data.entries import AnyEntry, check_joints, entries_of, read_entry
from smil_ray.data.filters import SampleError
from smil_ray.data.image_files.formats import read_header
from smil_ray.data.labels.entries import LabelEntry
from smil_ray.data.labels.formats import is_label_path
from smil_ray.data.replicant.annotations import read_frame
from smil_ray.data.replicant.files import pictures_without_annotation
from smil_ray.data.replicant.labels import BodyFacts
from smil_ray.data.replicant.reading import Entry, ReadOptions

MapFunction = Callable[
    [Callable[[AnyEntry], EntryReport], Sequence[AnyEntry]], Iterable[EntryReport]
]
"""`map` or anything that gives the results in the same order, such as a parallel one."""
Progress = Callable[[int, int], None]


def examine(
    folder: Path | str,
    model: BodyFacts | str | Path,
    *,
    map_function: MapFunction = map,
    progress: Progress | None = None,
    limit: int | None = None,
    labels: LabelConfig | None = None,
) -> DoctorReport:
    """Return everything that is wrong with the data set at `folder`.

    Args:
        folder: A replicAnt data set, nested folders included, or a file of labels.
        model: The body model that the labels shall fit, or its file.
        map_function: Runs the examination of single entries, in order; `map` by default.
        progress: Called with (done, total) after each entry.
        limit: Examine only the first entries.
        labels: What a file of labels means.

    Raises:
        DataError: There is no annotated picture.
        ConfigError: The joint map does not fit.
    """
    if isinstance(model, (str, Path)):
        model = SmilModel.open(model)
    labels = labels or LabelConfig()
    check_joints(Path(folder), model.skeleton, labels)
    entries = entries_of(Path(folder), labels)[:limit]
    reports: list[EntryReport] = []
    for report in map_function(partial(examine_entry, model=model), entries):
        reports.append(report)
        if progress is not None:
            progress(len(reports), len(entries))
    findings = [
        Finding(kind, report.name, message)
        for report in reports
        for kind, message in report.findings
    ]
    is_labels = is_label_path(Path(folder))
    findings += _repeated(reports) + _swapped(entries, reports, model)
    findings += [
        Finding("not_annotated", name, f"{name}: no JSON file beside it")
        for name in ([] if is_labels or limit is not None else pictures_without_annotation(folder))
    ]
    return DoctorReport.build(Path(folder), KINDS, reports, findings)


def examine_entry(entry: AnyEntry, model: BodyFacts) -> EntryReport:
    """Return what is to be said about one entry; needs no other entry, never raises for data."""
    is_frame = isinstance(entry, LabelEntry)
    hashes = _hash(entry.image_path), entry.digest if is_frame else _hash(entry.json_path)
    try:
        result = read_entry(entry, model, ReadOptions())
    except SampleError as error:
        every = ((error.reason, str(error)),) if is_frame else _all_errors(entry, error)
        return EntryReport(entry.name, every, *hashes)
    findings = [(note.partition(":")[0], f"{entry.name}: {note}") for note in result.notes]
    findings += [(error.reason, str(error)) for error in result.rejected]
    findings += _stored_pixels(entry)
    if not is_frame and entry.mask_path is None:
        findings.append(("no_mask", f"{entry.json_path.name}: no ID mask beside it"))
    for sample, covered in zip(result.samples, result.coverage, strict=True):
        if covered == 0.0:
            findings.append(("empty_mask", f"{sample.name}: the mask does not show the subject"))
        levels = contrast(sample)
        if levels is not None and levels < FAINT:
            text = f"{sample.name}: {levels:.0f} of 255 levels around the subject"
            findings.append(("faint_picture", text))
    edges = edge_map(result.samples[0]) if len(result.samples) == 1 else None
    score = None if edges is None else edges.score
    if score is not None and score < CHANCE:
        text = f"{entry.name}: edges along the mask rank {score:.2f} (0.5 is chance)"
        findings.append(("image_disagrees", text))
    return EntryReport(
        entry.name,
        tuple(findings),
        *hashes,
        labels=tuple(sample.present for sample in result.samples),
        coverage=tuple(result.coverage),
        keypoints=_count_keypoints(result.samples),
        picture_side=result.samples[0].image.shape[0],
        fov=tuple(sample.fov for sample in result.samples if math.isfinite(sample.fov)),
        edge_score=score,
    )


def _stored_pixels(entry: AnyEntry) -> list[tuple[str, str]]:
    """Return what a person may not expect of a readable picture's pixels."""
    if entry.image_path is None:
        return []
    name = entry.image_path.name
    header = read_header(image_io.read_bytes(entry.image_path), name)
    found = []
    if header.orientation != 1:
        found.append(("exif_orientation", f"{name}: EXIF orientation {header.orientation}"))
    if header.bits > 8:
        found.append(("deep_pixels", f"{name}: {header.bits} bits"))
    return found


def _all_errors(entry: Entry, first: SampleError) -> tuple[tuple[str, str], ...]:
    """Look on after the first error, so that one visit names all that is broken."""
    found = {first.reason: str(first)}
    if first.reason == "unexpected":
        return tuple(found.items())

    def attempt(check: Callable[[], object]) -> None:
        try:
            check()
        except SampleError as error:
            found.setdefault(error.reason, str(error))

    attempt(lambda: read_frame(entry.json_path))
    if entry.image_path is not None:
        image = entry.image_path
        attempt(lambda: image_io.read_rgb(image))
    if entry.mask_path is not None:
        mask = entry.mask_path
        attempt(lambda: image_io.read_id_mask(mask))
    return tuple(found.items())


def _count_keypoints(samples: Sequence[Sample]) -> tuple[int, int, int]:
    present = sum(int(sample.keypoint_presence.sum()) for sample in samples)
    inside = sum(
        int(((s.keypoints_2d >= 0.0) & (s.keypoints_2d < 1.0)).all(axis=1).sum()) for s in samples
    )
    return present, inside, sum(int(sample.keypoint_visibility.sum()) for sample in samples)


def _hash(path: Path | None) -> str:
    try:
        return "" if path is None else hashlib.blake2b(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def _repeated(reports: Sequence[EntryReport]) -> list[Finding]:
    """Return findings for pictures that occur more than once."""
    groups: dict[str, list[EntryReport]] = {}
    for report in reports:
        if report.image_hash and not _is_group_of_empty(report):
            groups.setdefault(report.image_hash, []).append(report)
    findings = []
    for group in groups.values():
        first = group[0]
        if len({report.json_hash for report in group}) > 1:
            names = ", ".join(report.name for report in group[:4])
            findings += [
                Finding("identical_images", report.name, f"{names}: one picture, other labels")
                for report in group
            ]
        else:
            findings += [
                Finding("duplicate_sample", report.name, f"{report.name}: same as {first.name}")
                for report in group[1:]
            ]
    return findings


def _is_group_of_empty(report: EntryReport) -> bool:
    """Unreadable pictures (such as empty files) are equal without being the same picture."""
    return any(kind == "image_unreadable" for kind, _ in report.findings)


def _swapped(
    entries: Sequence[AnyEntry], reports: Sequence[EntryReport], model: BodyFacts
) -> list[Finding]:
    """Look among the entries whose picture fits its mask worst for pairs that fit crosswise."""
    suspects = [
        (report.edge_score, index)
        for index, report in enumerate(reports)
        if report.edge_score is not None and report.edge_score < SUSPICIOUS
    ]
    maps = {}
    for _, index in sorted(suspects)[:MAX_SUSPECTS]:
        edges = edge_map(read_entry(entries[index], model, ReadOptions()).samples[0])
        if edges is not None:
            maps[entries[index].name] = edges
    return [
        Finding("swapped_images", name, f"{name}: its picture fits the mask of {other} better")
        for name, other in find_swaps(maps)
    ]
