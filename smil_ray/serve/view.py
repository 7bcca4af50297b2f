"""An animal in a picture as the page shows it: plain numbers, and pictures as data addresses."""

from typing import Any

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from smil_ray.data.image_io import encode_jpeg
from smil_ray.render.overlay import draw_mesh
from smil_ray.results.pages import data_address
from smil_ray.results.prediction.predictor import Answer
from smil_ray.serve.animal import angles_of
from smil_ray.serve.session import Session

SHOWN_SIZE = 1024
"""Longer side of pictures that the page gets."""


def view_of(session: Session, number: int, frame: int) -> dict[str, Any]:
    """Return what the page shows of a picture or frame.

    `joints_px` and `told` are pixels of the whole picture, `vertices` and `joints` camera
    coordinates (x left, y up, z forward; model units) about the animal's middle, `angles` degrees.

    Raises:
        DataError: There is no such picture, or the animal is outside of it.
    """
    picture, answer = session.find(number, frame)
    names = session.predictor.model.skeleton.joint_names
    told = session.files[number].told.get(frame)
    moved = [] if told is None else np.flatnonzero(np.isfinite(told).all(axis=1)).tolist()
    small = _shrunk(picture.rgb)
    vertices = answer.vertices()
    middle = vertices.mean(axis=0)
    return {
        "size_px": picture.size_px,
        "picture": _address(small),
        "overlay": _address(_with_mesh(session, small, picture.size_px, answer)),
        "joints_px": _numbers(answer.joints_px()),
        "vertices": _numbers((vertices - middle).ravel()),
        "joints": _numbers(answer.joints - middle),
        "angles": [
            {"joint": joint, "angle": kind, "value_deg": round(value, 2)}
            for joint, kind, value in angles_of(session.predictor, answer.params)
        ],
        "told": {} if told is None else {names[j]: told[j].tolist() for j in moved},
    }


def _shrunk(rgb: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "rows columns 3"]:
    scale = min(1.0, SHOWN_SIZE / max(rgb.shape[:2]))
    if scale == 1.0:
        return rgb
    height, width = (max(1, round(side * scale)) for side in rgb.shape[:2])
    return cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA)


def _with_mesh(
    session: Session, rgb: np.ndarray, size_px: tuple[int, int], answer: Answer
) -> UInt8[np.ndarray, "h w 3"]:
    faces = session.predictor.model.faces.cpu().numpy()
    return draw_mesh(rgb, answer.vertices(), faces, answer.camera_px / np.tile(size_px, 2))


def _address(rgb: UInt8[np.ndarray, "h w 3"]) -> str:
    return data_address("image/jpeg", encode_jpeg(rgb, 90))


def _numbers(values: Float[np.ndarray, "*axes"]) -> list[Any]:
    """Return numbers that JSON has: those that are not finite are null."""
    rounded = np.round(values.astype(np.float64), 4)
    plain = rounded.astype(object)
    plain[~np.isfinite(rounded)] = None
    return plain.tolist()
