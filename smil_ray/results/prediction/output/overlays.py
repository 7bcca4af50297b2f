"""Overlays: pictures beside themselves under mesh and joints, videos under mesh and joints."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.image_io import write_png
from smil_ray.data.replicant.coordinates import Window
from smil_ray.render.overlay import PREDICTED_COLOR, draw_keypoints, draw_mesh, draw_radii
from smil_ray.results.prediction.output.intervals import Intervals
from smil_ray.results.prediction.parts import Key, Results, Rows, stacked
from smil_ray.results.prediction.predictor import Predictor
from smil_ray.results.prediction.read_ahead import read_ahead
from smil_ray.results.prediction.rows import params_of
from smil_ray.results.prediction.sources import Source
from smil_ray.results.prediction.video import FrameRange, VideoWriter, read_frames
from smil_ray.results.prediction.views import open_picture

OVERLAY_SIZE = 1024
_RATE_IF_UNKNOWN = 25.0
_CHUNK = 16


class OverlayWriter:
    """Draws what was predicted.

    Args:
        predictor: Poses the bodies.
        intervals: Of joints, if they are known.
        threads: How many pictures are drawn at the same time.
    """

    def __init__(
        self, predictor: Predictor, intervals: Intervals | None = None, threads: int = 2
    ) -> None:
        self._predictor = predictor
        self._model: SmilModel = predictor.model
        self._intervals = intervals
        self._threads = threads

    def write(
        self,
        results: Results,
        sources: Mapping[str, Source],
        frames: FrameRange,
        out: Path,
        progress: Callable[[int], None],
    ) -> None:
        """Write `NAME.png` for each picture and `NAME.mp4` for each video.

        Those of pictures that were drawn since the picture was predicted stay as they are.

        Args:
            results: By source and frame.
            sources: By label.
            frames: Which frames of videos were wanted.
            out: Folder.
            progress: Called with how many pictures or frames were drawn more.
        """
        out.mkdir(exist_ok=True)
        rows = _by_source(results)
        pictures = [s for s in sources.values() if s.video is None and s.label in rows]
        works = (
            partial(self._draw_picture, source, rows[source.label], out) for source in pictures
        )
        for _ in read_ahead(works, threads=self._threads, ahead=4 * self._threads):
            progress(1)
        for source in sources.values():
            if source.video is not None and source.label in rows:
                self._draw_video(source, rows[source.label], frames, out, progress)

    def _draw_picture(self, source: Source, results: Results, out: Path) -> None:
        path = out / f"{source.name}.png"
        if path.exists() and path.stat().st_mtime_ns >= results.written_ns():
            return
        picture = open_picture(source.path)
        animals = next(results.chunks())
        plain = _shrunk(picture.rgb)
        drawn = self._drawn(plain, picture.size_px, animals)
        partial_path = path.with_name(f".{path.stem}.partial.png")
        write_png(partial_path, np.concatenate([plain, drawn], axis=1))
        partial_path.replace(path)

    def _draw_video(
        self,
        source: Source,
        results: Results,
        frames: FrameRange,
        out: Path,
        progress: Callable[[int], None],
    ) -> None:
        assert source.video is not None
        rate = (source.video.fps or _RATE_IF_UNKNOWN) / frames.step
        writer: VideoWriter | None = None
        by_frame = _Frames(results)
        works = (
            partial(self._draw_frame, rgb, by_frame.take(frame))
            for frame, rgb in read_frames(source.path, frames)
        )
        for drawn in read_ahead(works, threads=self._threads, ahead=4 * self._threads):
            if writer is None:
                size = (drawn.shape[1], drawn.shape[0])
                writer = VideoWriter(out / f"{source.name}.mp4", rate, size)
            writer.add(drawn)
            progress(1)
        if writer is not None:
            writer.close()

    def _draw_frame(
        self, rgb: UInt8[np.ndarray, "h w 3"], animals: Rows | None
    ) -> UInt8[np.ndarray, "rows columns 3"]:
        small = _shrunk(rgb)
        height, width = (side - side % 2 for side in small.shape[:2])  # As MPEG-4 needs them.
        small = np.ascontiguousarray(small[:height, :width])
        if animals is None:
            return small
        return self._drawn(small, (rgb.shape[1], rgb.shape[0]), animals)

    def _drawn(
        self, image: np.ndarray, size_px: tuple[int, int], animals: Rows
    ) -> UInt8[np.ndarray, "h w 3"]:
        """Return the picture under all animals of a frame."""
        height, width = image.shape[:2]
        scale = _scale(size_px)
        vertices = self._predictor.posed(params_of(animals)).skin().cpu().numpy()
        radii = None if self._intervals is None else self._intervals(animals)[0]
        faces, skeleton = self._model.faces.cpu().numpy(), self._model.skeleton
        whole = Window.padded(*size_px)
        extent = np.array([width, height], dtype=np.float64)
        for row in range(len(vertices)):
            camera = animals["camera_px"][row] * scale / np.tile(extent, 2)
            image = draw_mesh(image, vertices[row], faces, camera)
            xy = animals["joints_2d_px"][row] * scale / extent
            if radii is not None:
                image = draw_radii(image, xy, radii[row] * scale / width)
            image = draw_keypoints(image, xy, skeleton=skeleton)
            window = Window(*animals["window"][row].tolist())
            if window != whole:
                image = _with_square(image, window, scale)
        return image


class _Frames:
    """The animals of one frame after the other."""

    def __init__(self, results: Results) -> None:
        self._keys: tuple[Key, ...] = results.keys
        self._rows = self._each(results)
        self._next = 0

    def take(self, frame: int) -> Rows | None:
        """Return the animals of a frame, None if there are none; frames are asked for in order."""
        found: list[Rows] = []
        while self._next < len(self._keys) and self._keys[self._next][2] <= frame:
            row = next(self._rows)
            if self._keys[self._next][2] == frame:
                found.append(row)
            self._next += 1
        return stacked(found) if found else None

    @staticmethod
    def _each(results: Results) -> Iterator[Rows]:
        for chunk in results.chunks(_CHUNK):
            for row in range(len(chunk["frame"])):
                yield {name: values[row : row + 1] for name, values in chunk.items()}


def _by_source(results: Results) -> dict[str, Results]:
    found: dict[str, list[int]] = {}
    for row, key in enumerate(results.keys):
        found.setdefault(key[0], []).append(row)
    return {source: results.chosen(rows) for source, rows in found.items()}


def _shrunk(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    height, width = rgb.shape[:2]
    scale = _scale((width, height))
    if scale == 1.0:
        return rgb
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(rgb, size, interpolation=cv2.INTER_AREA)


def _scale(size_px: tuple[int, int]) -> float:
    """Return pixels of the overlay per pixel of the picture."""
    return min(1.0, OVERLAY_SIZE / max(size_px))


def _with_square(
    image: UInt8[np.ndarray, "h w 3"], window: Window, scale: float
) -> UInt8[np.ndarray, "h w 3"]:
    low = np.array([window.left, window.top], dtype=np.float64)
    corners: Float[np.ndarray, "2 2"] = np.stack([low, low + window.side]) * scale
    left, top, right, bottom = np.round(corners).astype(int).ravel().tolist()
    thickness = max(1, max(image.shape[:2]) // 400)
    return cv2.rectangle(image, (left, top), (right, bottom), PREDICTED_COLOR, thickness)
