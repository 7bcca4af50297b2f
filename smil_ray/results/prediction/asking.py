"""From pictures and frames to questions: read in threads, boxes cut out, failures named."""

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from smil_ray.data.replicant.files import check_name
from smil_ray.errors import DataError
from smil_ray.results.prediction.boxes import Box
from smil_ray.results.prediction.cameras import unknown_camera
from smil_ray.results.prediction.parts import Key
from smil_ray.results.prediction.predictor import Predictor, Question
from smil_ray.results.prediction.sources import Source
from smil_ray.results.prediction.video import FrameRange, read_frames
from smil_ray.results.prediction.views import Picture, open_picture


@dataclass(frozen=True)
class Ask:
    """One animal of a frame and what the network is asked about it."""

    source: Source
    frame: int
    animal: int
    question: Question

    @property
    def label(self) -> str:
        """How it is called in messages."""
        return self.source.label_of(self.frame, self.animal)


@dataclass
class Loaded:
    """What came of one picture or frame.

    Attributes:
        asks: One for each animal whose box is usable.
        failed: What is not, and why.
    """

    asks: list[Ask] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


class FrameReader:
    """Opens the frames of sources that are not done yet.

    Args:
        predictor: Says which square is seen, and how large.
        frames: Which frames of videos are wanted.
        done: Keys of what is not to be done again.
        keeps_pixels: Whether the whole picture is needed after its square was cut out.
    """

    def __init__(
        self, predictor: Predictor, frames: FrameRange, done: Set[Key], *, keeps_pixels: bool
    ) -> None:
        self._predictor = predictor
        self._frames = frames
        self._done = done
        self._keeps_pixels = keeps_pixels

    def works(self, source: Source) -> Iterator[Callable[[], Loaded]]:
        """Yield what is to be done for each frame of a source; a video is decoded meanwhile."""
        if source.video is None:
            if self._missing(source, 0):
                yield partial(self._load_picture, source)
            return
        try:
            for frame, rgb in read_frames(source.path, self._frames, _Skipped(self, source)):
                yield partial(self._load, source, frame, Picture(source.path, rgb))
        except DataError as error:
            failed = Loaded(failed={source.label: str(error)})
            yield lambda: failed

    def is_done(self, source: Source, frame: int) -> bool:
        """Return whether nothing is left to do in a frame."""
        return not self._missing(source, frame)

    def _missing(self, source: Source, frame: int) -> list[tuple[int, Box | None]]:
        return [
            (animal, box)
            for animal, box in source.animals(frame)
            if (source.label, source.stamp, frame, animal) not in self._done
        ]

    def _load_picture(self, source: Source) -> Loaded:
        try:
            check_name(source.path)
            picture = open_picture(source.path)
        except DataError as error:
            return Loaded(failed={source.label: str(error)})
        return self._load(source, 0, picture)

    def _load(self, source: Source, frame: int, picture: Picture) -> Loaded:
        loaded = Loaded()
        for animal, box in self._missing(source, frame):
            try:
                question = self._question(source, picture, box, source.told.get((frame, animal)))
            except DataError as error:
                loaded.failed[source.label_of(frame, animal)] = str(error)
            else:
                loaded.asks.append(Ask(source, frame, animal, question))
        return loaded

    def _question(
        self, source: Source, picture: Picture, box: Box | None, told_px: np.ndarray | None
    ) -> Question:
        size = picture.size_px
        camera = unknown_camera(size) if source.camera is None else source.camera.pixels(size)
        question = Question(picture, picture.whole, camera, told_px=told_px)
        if box is not None:
            question = self._predictor.closer(question, box.inside(size))
        question = question.with_view(self._predictor.input_size)
        if self._keeps_pixels:
            return question
        return replace(question, picture=picture.without_pixels())


class _Skipped:
    """The frames of a source in which nothing is left to do, as a container."""

    def __init__(self, reader: FrameReader, source: Source) -> None:
        self._reader = reader
        self._source = source

    def __contains__(self, frame: object) -> bool:
        return isinstance(frame, int) and self._reader.is_done(self._source, frame)


def look_closer(asks: list[Ask], predictor: Predictor, failed: dict[str, str]) -> list[Ask]:
    """Return the asks again, each for the square around the animal that was found.

    Those whose animal is outside its picture go into `failed`.
    """
    closer = []
    answers = predictor.answer([ask.question for ask in asks])
    for ask, answer in zip(asks, answers, strict=True):
        try:
            box = predictor.box_of(answer, ask.question.picture, ask.question.told_px)
        except DataError as error:
            failed[ask.label] = str(error)
            continue
        question = predictor.closer(ask.question, box).with_view(predictor.input_size)
        closer.append(replace(ask, question=question))
    return closer


def boxless_note(source: Source, frames: FrameRange) -> str | None:
    """Return how many wanted frames of a video have no box in the file of boxes."""
    if source.video is None or source.boxes is None:
        return None
    wanted = range(frames.start, source.video.n_frames, frames.step)
    lacking = sum(frame in frames and not source.animals(frame) for frame in wanted)
    return f"{source.label}: {lacking} frames without a box" if lacking else None
