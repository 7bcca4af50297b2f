"""Pictures in memory, with boxes and a camera as a notebook has them, to questions."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8

from smil_ray.errors import ConfigError, DataError
from smil_ray.results.prediction.boxes import Box
from smil_ray.results.prediction.cameras import KnownCamera, unknown_camera
from smil_ray.results.prediction.predictor import Predictor, Question
from smil_ray.results.prediction.views import Picture

Boxes = Literal["auto"] | Sequence[Any] | np.ndarray | None


def questions_of(
    predictor: Predictor,
    images: Sequence[UInt8[np.ndarray, "_h _w 3"]],
    box: Boxes = None,
    *,
    fov_deg: float | None = None,
    intrinsics: Sequence[Any] | None = None,
) -> list[Question]:
    """Return what to ask the network; see `SMILImageRegressor.predict_from_image`.

    Raises:
        DataError: A box is not usable.
        ConfigError: The camera is not usable, or the network needs it and it is not given.
    """
    camera = _camera(fov_deg, intrinsics)
    pictures = [Picture(Path(f"image {number}"), rgb) for number, rgb in enumerate(images)]
    whole = [
        Question(
            p, p.whole, unknown_camera(p.size_px) if camera is None else camera.pixels(p.size_px)
        )
        for p in pictures
    ]
    if box is None:
        return whole
    if isinstance(box, str):
        if box != "auto":
            raise ConfigError("box", expected="auto, or x, y, width, height", found=repr(box))
        return [
            predictor.closer(question, predictor.box_of(answer, question.picture))
            for question, answer in zip(whole, predictor.answer(whole), strict=True)
        ]
    return [
        predictor.closer(question, each.inside(question.picture.size_px))
        for question, each in zip(whole, _boxes(box, len(whole)), strict=True)
    ]


def _boxes(values: Sequence[Any] | np.ndarray, n_images: int) -> list[Box]:
    try:
        rows = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        rows = np.zeros(0)
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.shape != (n_images, 4):
        raise DataError(
            "box",
            expected=f"x, y, width, height (pixels) for each of {n_images} images",
            found=f"an array of shape {np.shape(values)}",
        )
    return [
        Box((row[0], row[1], row[2], row[3]), f"box of image {number}")
        for number, row in enumerate(rows.tolist())
    ]


def _camera(fov_deg: float | None, intrinsics: Sequence[Any] | None) -> KnownCamera | None:
    if fov_deg is not None and intrinsics is not None:
        raise ConfigError("fov_deg and intrinsics", expected="one of them", found="both")
    if fov_deg is not None:
        return KnownCamera.from_fov(fov_deg, "fov_deg")
    return None if intrinsics is None else KnownCamera.from_pixels(intrinsics, "intrinsics")
