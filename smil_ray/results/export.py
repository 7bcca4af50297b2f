"""What `predict` left in a folder, as files of other programs."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from smil_ray.errors import CheckpointError, ConfigError, DataError
from smil_ray.export.animation import Animation
from smil_ray.export.formats import FORMATS, STILL, SUFFIXES
from smil_ray.results.prediction.parts import Rows, read_part
from smil_ray.results.prediction.rows import params_of
from smil_ray.results.prediction.settings import SETTINGS_FILE
from smil_ray.results.prediction.video import ALL_FRAMES, FrameRange
from smil_ray.training.checkpoint.loading import LoadedRegressor

PARAMETERS_FILE = "parameters.npz"
_MOST_NAMED = 5


@dataclass(frozen=True)
class Wanted:
    """Which rows of a prediction are exported.

    Attributes:
        source: A picture or video, by the name of its results or as `predict` was given it; None:
            the only one.
        animal: Number of the animal, from 0; None: the only one.
        frames: Of a video.
    """

    source: str | None = None
    animal: int | None = None
    frames: FrameRange = ALL_FRAMES


@dataclass(frozen=True)
class ExportReport:
    """What `export_predictions` wrote, and what a person should know of it."""

    files: tuple[Path, ...]
    n_frames: int
    notes: tuple[str, ...]


def export_predictions(
    predictions: Path,
    kind: str,
    out: Path,
    *,
    wanted: Wanted | None = None,
    run: LoadedRegressor | Path | None = None,
) -> ExportReport:
    """Write predictions as a file of another program; see docs/export.md.

    Args:
        predictions: Folder that `predict` or `refine` wrote.
        kind: A name of `export.formats.FORMATS`.
        out: The file; of .obj and .ply also a folder, for a file of each frame and animal.
        wanted: What is exported; all by default.
        run: The network of the predictions, for its body model; None: where the predictions say.

    Raises:
        ConfigError: The file does not end as it should, what is wanted is not there or not one
            animal, or a library is missing.
        DataError: The folder holds no predictions, or the file cannot be written.
        CheckpointError: The run has moved, or is of another body model.
    """
    wanted = wanted or Wanted()
    is_file = out.suffix.lower() in SUFFIXES[kind]
    if not is_file and (kind not in STILL or out.suffix):
        folder = ", or a folder" if kind in STILL else ""
        endings = " or ".join(SUFFIXES[kind])
        raise ConfigError(f"--out {out}", expected=f"a file that ends in {endings}{folder}")
    rows = _read(predictions)
    if is_file:
        rows = _one_animal(rows, wanted)
        if kind in STILL and len(rows["frame"]) > 1:
            raise ConfigError(
                f"--to {kind}",
                expected="one frame for a file",
                found=f"{len(rows['frame'])} frames",
                remedy="choose one with --frames N, or give a folder as --out",
            )
        loaded = _open_run(predictions, run)
        notes = FORMATS[kind](_animation(rows, loaded), out)
        return ExportReport((out,), len(rows["frame"]), tuple(notes))
    rows = _chosen(rows, wanted)
    loaded = _open_run(predictions, run)
    files = [out / f"{name}.{kind}" for name in rows["name"].tolist()]
    for number, file in enumerate(files):
        FORMATS[kind](_animation(_taken(rows, [number]), loaded), file)
    return ExportReport(tuple(files), len(files), ())


def _read(predictions: Path) -> Rows:
    path = predictions / PARAMETERS_FILE
    if not path.is_file():
        raise DataError(
            f"{predictions}: no predictions",
            expected=f"a folder with {PARAMETERS_FILE}",
            remedy="give the folder that smil-ray predict wrote with --out",
        )
    rows = read_part(path)
    rows.pop("joint_names", None)
    missing = {"source", "source_name", "frame", "animal", "trans", "camera_px"} - set(rows)
    if missing or not len(rows["frame"]):
        raise DataError(
            f"{path}: no predictions",
            expected="a row for each frame and animal",
            found=f"no {min(missing)}" if missing else "none",
            remedy="give the folder that smil-ray predict wrote with --out",
        )
    return rows


def _one_animal(rows: Rows, wanted: Wanted) -> Rows:
    """Return the rows of one animal of one picture or video, by frame."""
    rows = _of_source(rows, wanted.source)
    if wanted.source is None:
        _only_one("--source", rows["source_name"].tolist(), "pictures and videos")
    rows = _of_animal(rows, wanted.animal)
    if wanted.animal is None:
        _only_one("--animal", rows["animal"].tolist(), "animals")
    rows = _of_frames(rows, wanted.frames)
    return _taken(rows, np.argsort(rows["frame"], kind="stable"))


def _chosen(rows: Rows, wanted: Wanted) -> Rows:
    rows = _of_animal(_of_source(rows, wanted.source), wanted.animal)
    return _of_frames(rows, wanted.frames)


def _of_source(rows: Rows, source: str | None) -> Rows:
    if source is None:
        return rows
    found = np.flatnonzero((rows["source_name"] == source) | (rows["source"] == source))
    if not len(found):
        names = rows["source_name"].tolist()
        raise ConfigError(f"--source {source}", expected=f"one of {_listed(names)}")
    return _taken(rows, found)


def _of_animal(rows: Rows, animal: int | None) -> Rows:
    if animal is None:
        return rows
    if animal not in rows["animal"]:
        raise ConfigError(
            f"--animal {animal}", expected=f"one of {_listed(rows['animal'].tolist())}"
        )
    return _taken(rows, np.flatnonzero(rows["animal"] == animal))


def _of_frames(rows: Rows, frames: FrameRange) -> Rows:
    numbers = rows["frame"].tolist()
    found = [row for row, frame in enumerate(numbers) if frame in frames]
    if not found:
        raise ConfigError(
            f"--frames {frames}", expected=f"predicted frames, {min(numbers)} to {max(numbers)}"
        )
    return _taken(rows, found)


def _only_one(option: str, values: list[Any], what: str) -> None:
    if len(set(values)) > 1:
        raise ConfigError(
            option,
            expected=f"one of the {len(set(values))} {what} for one file",
            found="none given",
            remedy=f"choose among {_listed(values)}",
        )


def _listed(values: Iterable[Any]) -> str:
    each = list(dict.fromkeys(values))
    more = f" and {len(each) - _MOST_NAMED} more" if len(each) > _MOST_NAMED else ""
    return ", ".join(str(value) for value in each[:_MOST_NAMED]) + more


def _taken(rows: Rows, which: Any) -> Rows:
    return {name: values[which] for name, values in rows.items()}


def _animation(rows: Rows, loaded: LoadedRegressor) -> Animation:
    animal = int(rows["animal"][0])
    return Animation(
        name=str(rows["source_name"][0]) + ("" if animal == 0 else f"_{animal + 1}"),
        model=loaded.model,
        body=loaded.config.body,
        params=params_of(rows),
        frames=rows["frame"],
        time_s=rows["time_s"],
        camera_px=rows["camera_px"].astype(np.float64),
        size_px=(int(rows["size_px"][0, 0]), int(rows["size_px"][0, 1])),
    )


def _open_run(predictions: Path, run: LoadedRegressor | Path | None) -> LoadedRegressor:
    """Return the network that the predictions were made with."""
    file = predictions / SETTINGS_FILE
    try:
        settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError:
        settings = {}
    named = run or settings.get("checkpoint")
    if named is None or (isinstance(named, str) and not Path(named).is_dir()):
        raise CheckpointError(
            f"{predictions}: the run whose body model it needs",
            found=f"nothing at {named}" if named else f"none named in {SETTINGS_FILE}",
            remedy="give the run with --run",
        )
    loaded = LoadedRegressor.open(named, device="cpu")
    expected = settings.get("body_model", loaded.model.content_hash)
    if not loaded.model.matches(expected):
        raise CheckpointError(
            f"--run {loaded.path}",
            expected=f"the body model that {predictions} was made with",
            found=f"another one, {loaded.model.name}",
        )
    return loaded
