"""Pictures and videos to SMIL parameters, joints and overlays, with a trained checkpoint.

Pictures are read and rows are written in threads beside the network. Every file that cannot be
read is reported with its reason and the rest is done. What a folder of results holds already is
not predicted again, so that the same command goes on after an interruption. Pictures that are not
square are padded to a square, as in training, or squares around boxes are cut out of them; pixels
in the results are those of the file.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from smil_ray.data.image_io import TURNED
from smil_ray.results.keypoints import Keypoints
from smil_ray.results.prediction.asking import (
    Ask,
    FrameReader,
    Loaded,
    boxless_note,
    look_closer,
)
from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.results.prediction.options import PredictOptions, Progress, Work
from smil_ray.results.prediction.output.finish import finish
from smil_ray.results.prediction.parts import PartStore, Results, RowSink
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.prediction.read_ahead import read_ahead
from smil_ray.results.prediction.rows import RowWriter
from smil_ray.results.prediction.settings import SETTINGS_FILE, check_same_settings, settings_of
from smil_ray.results.prediction.sources import Boxes, Plan, frames_of_all, make_plan
from smil_ray.results.prediction.video import FrameRange
from smil_ray.results.uncertainty.calibration import run_intervals
from smil_ray.training.checkpoint.loading import LoadedRegressor

PARTS = "parts"


@dataclass(frozen=True)
class PredictReport:
    """What `predict_images` did.

    Attributes:
        done: Names of results, those of an earlier call included.
        failed: File, frame or animal -> why there is no result.
        notes: What a person should know of the rest.
        found_done: How many results were there already.
    """

    done: tuple[str, ...]
    failed: dict[str, str]
    notes: tuple[str, ...] = ()
    found_done: int = 0


def predict_images(
    loaded: LoadedRegressor | str | Path,
    paths: Sequence[Path],
    out: Path,
    *,
    boxes: Boxes | None = None,
    camera: KnownCamera | None = None,
    keypoints: Keypoints | None = None,
    options: PredictOptions | None = None,
    progress: Progress | None = None,
) -> PredictReport:
    """Predict every animal of pictures and videos; see docs/prediction.md for what is written.

    Args:
        loaded: Network, its configuration and its body model, or a run or checkpoint folder.
        paths: Pictures and videos.
        out: Folder for the results; made where missing.
        boxes: Of each animal in the pictures; `auto` predicts on the whole picture, takes the
            box of the predicted animal, and predicts again; `none` shows the network whole
            pictures. None: `auto` for networks that were trained on crops, else `none`.
        camera: Of the pictures, where it is known.
        keypoints: Known places of joints, which networks trained with prompts take as an input.
        options: Everything else.
        progress: Shows how far it is.

    Raises:
        ConfigError: The network needs to know the camera, and none is given, or was not trained
            with keypoints, and some are; or `out` holds results of another network, other boxes,
            another camera or other keypoints.
        DataError: A file of boxes, cameras or keypoints names none of the images; results cannot
            be written.
    """
    loaded, options = LoadedRegressor.open(loaded), options or PredictOptions()
    predictor = Predictor.of(loaded)
    predictor.check_camera(camera is not None)
    if keypoints is not None:
        predictor.regressor.check_prompts()
    chosen = boxes or ("none" if loaded.crop.mode == "none" else "auto")
    store = _open_store(out, options.fresh)
    known = dict(store.entries())
    named = {key[0]: name for key, name in known.items()}
    plan = make_plan(paths, chosen, camera, named, keypoints)
    check_same_settings(out, settings_of(loaded, chosen, camera, keypoints))
    show = progress or _ignore
    work = Work(tuple(plan.sources), options, frozenset(known), chosen == "auto")
    _do(work, predictor, store, plan, show)
    stamps = {source.label: source.stamp for source in plan.sources}
    results = Results.of(store, stamps).ordered(list(stamps))
    wanted = _wanted(results, plan, options.frames)
    intervals, lack = run_intervals(loaded)
    finished = finish(wanted, plan, predictor, out, options, intervals, show)
    notes = (
        *_camera_notes(predictor, camera),
        *_crop_notes(loaded, chosen),
        *plan.notes,
        *_pixel_notes(wanted),
        *finished.notes,
        *filter(None, [lack]),
    )
    found_done = sum(key in known for key in wanted.keys)
    report = PredictReport(wanted.names, plan.failed, notes, found_done)
    finished.write_summary(report.done, report.failed, notes)
    return report


class Prediction:
    """One pass of the network over some work.

    Args:
        predictor: The network.
        work: What it is asked.
        sink: Where rows go.
        show: Is told how many frames were read.

    Attributes:
        failed: File, frame or animal -> why there is no row.
        n_frames: How many pictures and frames were read.
    """

    def __init__(
        self,
        predictor: Predictor,
        work: Work,
        sink: RowSink,
        show: Callable[[int], None] | None = None,
    ) -> None:
        self._predictor = predictor
        self._work = work
        self._sink = sink
        self._show = show or _ignore
        self.failed: dict[str, str] = {}
        self.n_frames = 0

    def run(self) -> None:
        """Ask the network about every animal."""
        options, twice = self._work.options, self._work.looks_twice
        reader = FrameReader(self._predictor, options.frames, self._work.done, keeps_pixels=twice)
        works = chain.from_iterable(reader.works(source) for source in self._work.sources)
        ahead = 2 * options.batch_size
        read = read_ahead(works, threads=options.threads, ahead=ahead)
        with RowWriter(self._sink, self._predictor) as writer:
            for asks, n_frames in self._batches(read):
                if twice:
                    asks = look_closer(asks, self._predictor, self.failed)
                if asks:
                    writer.put(asks, self._predictor.ask([ask.question for ask in asks]))
                self.n_frames += n_frames
                self._show(self.n_frames)

    def _batches(self, read: Iterator[Loaded]) -> Iterator[tuple[list[Ask], int]]:
        """Yield what is asked in batches, and how many frames were read for each."""
        waiting: list[Ask] = []
        n_frames, size = 0, self._work.options.batch_size
        for loaded in read:
            self.failed.update(loaded.failed)
            waiting += loaded.asks
            n_frames += 1
            while len(waiting) >= size:
                yield waiting[:size], n_frames
                waiting, n_frames = waiting[size:], 0
        if waiting or n_frames:
            yield waiting, n_frames


def _do(
    work: Work,
    predictor: Predictor,
    store: PartStore,
    plan: Plan,
    show: Progress,
) -> None:
    """Do the work here or elsewhere; failures and notes go into the plan."""
    total = frames_of_all(work.sources, work.options.frames)

    def count(n_read: int) -> None:
        show("predicting", n_read, max(total, n_read))

    if work.options.spread is None:
        prediction = Prediction(predictor, work, store, count)
        prediction.run()
        plan.failed.update(prediction.failed)
    else:
        n_read = 0
        for portion in work.options.spread(work):
            for rows in portion.rows:
                store.add(rows)
            plan.failed.update(portion.failed)
            n_read += portion.n_frames
            count(n_read)
    notes = [boxless_note(source, work.options.frames) for source in work.sources]
    plan.notes += [note for note in notes if note is not None]


def _open_store(out: Path, fresh: bool) -> PartStore:
    store = PartStore(out / PARTS)
    if fresh:
        store.clear()
        (out / SETTINGS_FILE).unlink(missing_ok=True)
        for overlay in (out / "overlays").glob("*"):
            overlay.unlink()
    return store


def _wanted(results: Results, plan: Plan, frames: FrameRange) -> Results:
    """Return the results of those frames and animals that are asked for now."""
    sources = {source.label: source for source in plan.sources}
    animals: dict[tuple[str, int], set[int]] = {}
    rows = []
    for row, (label, _, frame, animal) in enumerate(results.keys):
        source = sources[label]
        if source.video is not None and frame not in frames:
            continue
        if (label, frame) not in animals:
            animals[label, frame] = {number for number, _ in source.animals(frame)}
        if animal in animals[label, frame]:
            rows.append(row)
    return results.chosen(rows)


def _pixel_notes(results: Results) -> list[str]:
    """Return in how many pictures what was done to the stored pixels; each row has its own."""
    turned: set[str] = set()
    deep: set[str] = set()
    for rows in results.chunks(names=("source", "notes")):
        for source, text in zip(rows["source"].tolist(), rows["notes"].tolist(), strict=True):
            for note in filter(None, text.split("; ")):
                (turned if note.startswith(TURNED) else deep).add(source)
    found = []
    if turned:
        found.append(
            f"{len(turned)} turned upright, as EXIF says; pixels are those of the upright one"
        )
    if deep:
        found.append(f"{len(deep)} of more than 8 bits, each scaled by its own range")
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


def _ignore(*_: object) -> None:
    """Do nothing."""
