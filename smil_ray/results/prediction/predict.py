"""Images to SMIL parameters, joints and overlays, with a trained checkpoint.

Every file that cannot be read is reported with its reason and the rest is done. Pictures that are
not square are padded to a square, as in training, or squares around boxes are cut out of them;
pixels in the results are those of the file.
"""

import csv
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from smil_ray.data.image_io import TURNED
from smil_ray.data.replicant.files import check_name, printable
from smil_ray.errors import DataError
from smil_ray.results.prediction.boxes import Box, BoxFile
from smil_ray.results.prediction.cameras import KnownCamera, unknown_camera
from smil_ray.results.prediction.images import match_names, unique_stems
from smil_ray.results.prediction.predictor import Predictor, Question
from smil_ray.results.prediction.views import Picture, open_picture
from smil_ray.results.prediction.writing import COLUMNS, write_answer
from smil_ray.training.checkpoint.loading import LoadedRegressor

Boxes = BoxFile | Literal["auto", "none"]


@dataclass(frozen=True)
class PredictReport:
    """What `predict_images` did.

    Attributes:
        done: Names of results.
        failed: File, and which of its boxes, -> why there is no result.
        notes: What a person should know of the rest.
    """

    done: tuple[str, ...]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Job:
    """One result: a picture, and a box in it where boxes are given."""

    path: Path
    name: str
    label: str
    box: Box | None


def predict_images(
    loaded: LoadedRegressor | str | Path,
    paths: Sequence[Path],
    out: Path,
    *,
    boxes: Boxes | None = None,
    camera: KnownCamera | None = None,
    batch_size: int = 8,
    progress: Callable[[int, int], None] | None = None,
) -> PredictReport:
    """Write parameters (.npz, .json), an overlay (.png) and joints.csv for each animal.

    Args:
        loaded: Network, its configuration and its body model, or a run or checkpoint folder.
        paths: Image files.
        out: Folder for the results; made where missing.
        boxes: Of each animal in the pictures; `auto` predicts on the whole picture, takes the
            box of the predicted animal, and predicts again; `none` shows the network whole
            pictures. None: `auto` for networks that were trained on crops, else `none`.
        camera: Of the pictures, where it is known.
        batch_size: Images per forward pass.
        progress: Called with (results done, results in all).

    Raises:
        ConfigError: The network needs to know the camera, and none is given.
        DataError: A file of boxes or cameras names none of the images.
    """
    loaded = LoadedRegressor.open(loaded)
    predictor = Predictor.of(loaded)
    predictor.check_camera(camera is not None)
    chosen = boxes or ("none" if loaded.crop.mode == "none" else "auto")
    notes = [*_camera_notes(predictor, camera), *_crop_notes(loaded, chosen)]
    failed: dict[str, str] = {}
    jobs, more = _jobs(paths, chosen, failed)
    cameras = None if camera is None else camera.of_images(paths)
    out.mkdir(parents=True, exist_ok=True)
    done: list[str] = []
    changed: dict[Path, tuple[str, ...]] = {}
    with (out / "joints.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for start in range(0, len(jobs), batch_size):
            batch = _questions(jobs[start : start + batch_size], predictor, cameras, failed)
            if chosen == "auto":
                batch = _closer(batch, predictor, failed)
            answers = predictor.answer([question for _, question in batch])
            for (job, question), answer in zip(batch, answers, strict=True):
                rows = write_answer(question, answer, loaded.model, out / job.name)
                table.writerows(rows)
                done.append(job.name)
                changed[job.path] = question.picture.notes
            if progress is not None:
                progress(min(start + batch_size, len(jobs)), len(jobs))
    return PredictReport(tuple(done), failed, (*notes, *more, *_pixel_notes(changed.values())))


def _jobs(
    paths: Sequence[Path], boxes: Boxes, failed: dict[str, str]
) -> tuple[list[_Job], list[str]]:
    """Return what is to be done, one job for each box, and notes on the file of boxes."""
    pairs: list[tuple[Path, Box | None]] = [(path, None) for path in paths]
    notes: list[str] = []
    if isinstance(boxes, BoxFile):
        names = match_names(boxes.boxes, paths, str(boxes.path))
        pairs = [
            (path, box) for path in paths if path in names for box in boxes.boxes[names[path]]
        ]
        for path in paths:
            if path not in names:
                failed[printable(path)] = f"{boxes.path} has no box of it."
        others = [name for name in boxes.boxes if name not in names.values()]
        if others:
            notes.append(f"{boxes.path}: {len(others)} other images, such as {others[0]!r}")
    stems = unique_stems([path for path, _ in pairs])
    counts: dict[Path, int] = {}
    jobs = []
    for (path, box), stem in zip(pairs, stems, strict=True):
        counts[path] = counts.get(path, 0) + 1
        label = printable(path) if counts[path] == 1 else f"{printable(path)} ({counts[path]})"
        jobs.append(_Job(path, stem, label, box))
    return jobs, notes


def _questions(
    jobs: Sequence[_Job],
    predictor: Predictor,
    cameras: dict[Path, KnownCamera] | None,
    failed: dict[str, str],
) -> list[tuple[_Job, Question]]:
    """Return what to ask the network for those jobs whose picture, box and camera are usable."""
    questions = []
    last: Picture | None = None  # Animals of one picture follow each other.
    for job in jobs:
        try:
            check_name(job.path)
            last = last if last is not None and last.path == job.path else open_picture(job.path)
            questions.append((job, _question(job, last, predictor, cameras)))
        except DataError as error:
            failed[job.label] = str(error)
    return questions


def _question(
    job: _Job,
    picture: Picture,
    predictor: Predictor,
    cameras: dict[Path, KnownCamera] | None,
) -> Question:
    size = picture.size_px
    if cameras is not None and job.path not in cameras:
        raise DataError("the file of cameras has no line of it")
    camera = unknown_camera(size) if cameras is None else cameras[job.path].pixels(size)
    question = Question(picture, picture.whole, camera)
    return question if job.box is None else predictor.closer(question, job.box.inside(size))


def _closer(
    batch: Sequence[tuple[_Job, Question]], predictor: Predictor, failed: dict[str, str]
) -> list[tuple[_Job, Question]]:
    """Return the questions again, each for the square around the animal that was found."""
    closer = []
    answers = predictor.answer([question for _, question in batch])
    for (job, question), answer in zip(batch, answers, strict=True):
        try:
            box = predictor.box_of(answer, question.picture)
            closer.append((job, predictor.closer(question, box)))
        except DataError as error:
            failed[job.label] = str(error)
    return closer


def _pixel_notes(changed: Iterable[tuple[str, ...]]) -> list[str]:
    """Return in how many pictures what was done to the stored pixels; each result has its own."""
    turned = deep = 0
    for notes in changed:
        turned += any(note.startswith(TURNED) for note in notes)
        deep += any(not note.startswith(TURNED) for note in notes)
    found = []
    if turned:
        found.append(f"{turned} turned upright, as EXIF says; pixels are those of the upright one")
    if deep:
        found.append(f"{deep} of more than 8 bits, each scaled by its own range")
    return found


def _camera_notes(predictor: Predictor, camera: KnownCamera | None) -> list[str]:
    if camera is not None and not predictor.knows_camera:
        return [
            "the network predicts the field of view itself (model.camera: predicted): of the "
            "camera that you gave it uses the principal point only"
        ]
    return []


def _crop_notes(loaded: LoadedRegressor, boxes: Boxes) -> list[str]:
    if loaded.crop.mode == "none" and boxes != "none":
        return [
            "the network was trained on whole pictures: squares around animals are "
            f"{1.0 + loaded.crop.mean_margin:.2f} times as long as their boxes"
        ]
    if loaded.crop.mode != "none" and boxes == "none":
        return ["the network was trained on crops around animals: --box auto fits it better"]
    return []
