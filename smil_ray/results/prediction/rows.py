"""Answers as rows of arrays that a file can hold, and back."""

import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np
import torch

from smil_ray.core.params import SmilParams
from smil_ray.results.prediction.asking import Ask
from smil_ray.results.prediction.parts import Rows, RowSink, stacked
from smil_ray.results.prediction.predictor import Answers, Predictor

ROWS_A_PART = 512
SECONDS_A_PART = 20.0
_MOST_WAITING = 4
PARAMETERS = (
    *("global_rot", "joint_rot", "betas", "trans", "fov", "log_beta_scales", "betas_trans"),
)
"""What a row holds of `SmilParams`; axis-angle, in the camera frame."""


def rows_of(asks: Sequence[Ask], answers: Answers) -> Rows:
    """Return the rows of a batch; everything refers to whole pictures.

    Besides `PARAMETERS` and the keys: `name`, `time_s`, `size_px`, `notes`, `window` (left, top,
    side of the square that was seen), `camera_px` (fx, fy, cx, cy), `joints_3d` (camera
    coordinates, model units), `joints_2d_px`, and of networks with heat maps `keypoints_px` (where
    each joint was seen) and `keypoint_scale_px`.
    """
    params = answers.params.with_representation("axis_angle").as_dict()
    pictures = [ask.question.picture for ask in asks]
    windows = [ask.question.window for ask in asks]
    rows: Rows = {
        "name": np.array([_name(ask) for ask in asks]),
        "source_name": np.array([ask.source.name for ask in asks]),
        "source": np.array([ask.source.label for ask in asks]),
        "stamp": np.array([ask.source.stamp for ask in asks]),
        "frame": np.array([ask.frame for ask in asks], dtype=np.int64),
        "animal": np.array([ask.animal for ask in asks], dtype=np.int32),
        "time_s": np.array([_time_s(ask) for ask in asks]),
        "size_px": np.array([picture.size_px for picture in pictures], dtype=np.int32),
        "notes": np.array(["; ".join(picture.notes) for picture in pictures]),
        "window": np.array([[w.left, w.top, w.side] for w in windows], dtype=np.int32),
        "camera_px": answers.camera_px,
        "joints_3d": answers.joints.astype(np.float32),
        "joints_2d_px": answers.joints_px.astype(np.float32),
    }
    rows |= {name: params[name].numpy() for name in PARAMETERS if name in params}
    seen, scale = answers.params.keypoint_xy, answers.params.keypoint_scale
    if seen is not None and scale is not None:
        sides = np.array([picture.whole.side for picture in pictures], dtype=np.float32)
        places = [p.whole.pixels(xy) for p, xy in zip(pictures, seen.numpy(), strict=True)]
        rows["keypoints_px"] = np.stack(places).astype(np.float32)
        rows["keypoint_scale_px"] = sides[:, None] * scale.numpy()
    return rows


def params_of(rows: Rows) -> SmilParams:
    """Return the parameters of rows, in the camera frame."""
    known = {name: torch.from_numpy(rows[name]) for name in PARAMETERS if name in rows}
    n = len(rows["frame"])
    return SmilParams(cam_rot=torch.eye(3).repeat(n, 1, 1), cam_trans=torch.zeros(n, 3), **known)


class RowWriter:
    """Poses bodies and writes rows in a thread of its own; use it in a `with` block.

    Leaving the block, also by an error, writes what is there.

    Args:
        store: Where rows go.
        predictor: Poses the bodies.
    """

    def __init__(self, store: RowSink, predictor: Predictor) -> None:
        self._store = store
        self._predictor = predictor
        self._pool = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()
        self._rows: list[Rows] = []
        self._written = time.monotonic()

    def __enter__(self) -> "RowWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pool.shutdown(wait=True)
        self._flush()
        for future in self._waiting:
            future.result()

    def put(self, asks: Sequence[Ask], params: SmilParams) -> None:
        """Take the parameters that the network gave for these asks.

        Raises:
            DataError: Earlier rows could not be written.
        """
        while len(self._waiting) >= _MOST_WAITING:
            self._waiting.popleft().result()
        self._waiting.append(self._pool.submit(self._add, list(asks), params))

    def _add(self, asks: list[Ask], params: SmilParams) -> None:
        answers = self._predictor.answers(params, [ask.question for ask in asks])
        self._rows.append(rows_of(asks, answers))
        count = sum(len(rows["frame"]) for rows in self._rows)
        if count >= ROWS_A_PART or time.monotonic() - self._written > SECONDS_A_PART:
            self._flush()

    def _flush(self) -> None:
        rows, self._rows = self._rows, []
        self._written = time.monotonic()
        if rows:
            self._store.add(stacked(rows))


def _name(ask: Ask) -> str:
    place = "" if ask.source.video is None else f"_{ask.frame:06d}"
    return ask.source.name + place + ("" if ask.animal == 0 else f"_{ask.animal + 1}")


def _time_s(ask: Ask) -> float:
    return float("nan") if ask.source.video is None else ask.source.video.time_s(ask.frame)
