"""Encoded pictures that somebody sends, and the tables that they get for an answer.

The numbers are those that `predict` writes for the same pictures in the same order.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from smil_ray.data.image_files.uploads import MAX_UPLOAD_PIXELS, check_upload
from smil_ray.data.image_io import read_upload
from smil_ray.errors import DataError
from smil_ray.results.prediction.asking import Ask, look_closer
from smil_ray.results.prediction.boxes import Box
from smil_ray.results.prediction.cameras import KnownCamera, unknown_camera
from smil_ray.results.prediction.options import PredictOptions
from smil_ray.results.prediction.output.intervals import intervals_of_rows
from smil_ray.results.prediction.output.tables import animal_table, joint_table
from smil_ray.results.prediction.parts import Rows, stacked
from smil_ray.results.prediction.predictor import Predictor, Question
from smil_ray.results.prediction.rows import PARAMETERS, rows_of
from smil_ray.results.prediction.sources import Source
from smil_ray.results.prediction.views import Picture
from smil_ray.results.uncertainty.calibration import run_intervals
from smil_ray.training.checkpoint.loading import LoadedRegressor

_NAMES = ("name", "source", "frame", "time_s", "animal")
"""Columns of results on the disk that one animal in each picture of a request does not need."""


@dataclass(frozen=True)
class SentPicture:
    """One picture of a request.

    Attributes:
        image: Encoded, as a file holds it.
        box: Left, top, width, height of the animal, pixels; None: as `predict` without `--box`.
        fov_deg: Full vertical field of view, None where it is not known.
    """

    image: bytes
    box: tuple[float, float, float, float] | None = None
    fov_deg: float | None = None


class PictureTables:
    """Answers requests with one network.

    Args:
        loaded: The network; intervals are those that its run keeps.
    """

    def __init__(self, loaded: LoadedRegressor) -> None:
        self._predictor = Predictor.of(loaded)
        self._looks_twice = loaded.crop.mode != "none"
        found, _ = run_intervals(loaded)
        self._intervals = None if found is None else intervals_of_rows(found)

    def joints(self, pictures: Sequence[SentPicture]) -> "pa.Table":
        """Return a line for each picture and joint.

        `picture` counts from 0; pixels are those of the whole picture, `x_cam`, `y_cam`, `z_cam`
        camera coordinates in model units. `confidence` and the intervals are there if the network
        and its run have them.

        Raises:
            DataError: A picture or a box cannot be used; which one is said.
            ConfigError: The network needs to know the camera, and it is not given.
        """
        rows = self._rows(pictures)
        names = self._predictor.model.skeleton.joint_names
        table = joint_table(rows, names, self._intervals)
        return _numbered(table, np.arange(len(pictures)).repeat(len(names)))

    def parameters(self, pictures: Sequence[SentPicture]) -> "pa.Table":
        """Return a line for each picture: its SMIL parameters, its camera, the square seen.

        Parameters are lists, rotations axis-angle, in the camera frame; see `joints` for errors.
        """
        rows = self._rows(pictures)
        table = _numbered(animal_table(rows, self._intervals), np.arange(len(pictures)))
        for name in PARAMETERS:
            if name in rows:
                table = table.append_column(name, pa.array(rows[name].tolist()))
        return table

    def _rows(self, pictures: Sequence[SentPicture]) -> Rows:
        if not pictures:
            raise DataError("request: no picture", expected="at least one row")
        pieces = [self._rows_of_batch(batch) for batch in _batches(pictures)]
        return stacked(pieces)

    def _rows_of_batch(self, batch: Sequence[tuple[int, SentPicture]]) -> Rows:
        predictor = self._predictor
        asks = [self._ask(number, picture) for number, picture in batch]
        boxless = [ask for ask, (_, sent) in zip(asks, batch, strict=True) if sent.box is None]
        if self._looks_twice and boxless:
            failed: dict[str, str] = {}
            found = look_closer(boxless, predictor, failed)
            for name in failed:
                raise DataError(
                    f"{name}: the animal is predicted outside of it", remedy="give its box"
                )
            closer = iter(found)
            asks = [
                next(closer) if sent.box is None else ask
                for ask, (_, sent) in zip(asks, batch, strict=True)
            ]
        asks = [_without_pixels(ask) for ask in asks]
        questions = [ask.question for ask in asks]
        return rows_of(asks, predictor.answers(predictor.ask(questions), questions))

    def _ask(self, number: int, sent: SentPicture) -> Ask:
        name = _name(number)
        read = read_upload(sent.image, name)
        picture = Picture(Path(name), read.rgb, read.notes)
        size = picture.size_px
        camera = unknown_camera(size)
        if sent.fov_deg is not None:
            camera = KnownCamera.from_fov(sent.fov_deg, f"{name}: fov_deg").pixels(size)
        question = Question(picture, picture.whole, camera)
        if sent.box is not None:
            question = self._predictor.closer(question, Box(sent.box, name).inside(size))
        question = question.with_view(self._predictor.input_size)
        return Ask(Source(Path(name), name, ""), 0, 0, question)


def _name(number: int) -> str:
    return f"picture {number}"


def _batches(pictures: Sequence[SentPicture]) -> Iterator[list[tuple[int, SentPicture]]]:
    """Yield numbered pictures as `predict` batches them, fewer where they are large.

    All are checked first, by their headers, so that nothing is computed for a bad request.
    """
    most = PredictOptions().batch_size
    pixels = []
    for number, sent in enumerate(pictures):
        header = check_upload(sent.image, _name(number))
        pixels.append(header.width * header.height)
    batch: list[tuple[int, SentPicture]] = []
    held = 0
    for number, sent in enumerate(pictures):
        if batch and (len(batch) == most or held + pixels[number] > MAX_UPLOAD_PIXELS):
            yield batch
            batch, held = [], 0
        batch.append((number, sent))
        held += pixels[number]
    yield batch


def _without_pixels(ask: Ask) -> Ask:
    question = ask.question
    return replace(ask, question=replace(question, picture=question.picture.without_pixels()))


def _numbered(table: "pa.Table", numbers: np.ndarray) -> "pa.Table":
    """Return a table with the number of the picture first, without columns that are empty."""
    empty = [name for name in table.column_names if table[name].null_count == len(table)]
    kept = table.drop_columns(list({*empty, *_NAMES} & set(table.column_names)))
    return kept.add_column(0, "picture", pa.array(numbers))
