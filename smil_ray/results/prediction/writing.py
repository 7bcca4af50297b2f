"""The files of one prediction: parameters (.npz, .json), overlay (.png) and rows of joints.csv."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import orjson

from smil_ray.body.smil_model import SmilModel
from smil_ray.data.image_io import write_png
from smil_ray.data.replicant.coordinates import Window
from smil_ray.render.overlay import PREDICTED_COLOR, draw_keypoints, draw_mesh
from smil_ray.results.prediction.predictor import Answer, Question

OVERLAY_SIZE = 1024
COLUMNS = ("file", "joint", "x_px", "y_px", "x_cam", "y_cam", "z_cam", "result")


def write_answer(
    question: Question, answer: Answer, model: SmilModel, stem: Path
) -> list[list[object]]:
    """Write the files of one animal, names beginning with `stem`; return its rows of joints.csv.

    Everything refers to the whole picture, whatever square of it the network saw.

    Raises:
        DataError: The overlay cannot be written.
    """
    picture, window = question.picture, question.window
    crop = None if window == picture.whole else [window.left, window.top, window.side]
    joints, pixels = answer.joints, answer.joints_px()
    axis_angle = answer.params.with_representation("axis_angle").as_dict()
    values = {
        name: value[0].numpy()
        for name, value in axis_angle.items()
        if not name.startswith("keypoint_")
    }
    names = model.skeleton.joint_names
    arrays: dict[str, Any] = {
        "joint_names": np.array(names),
        "joints_3d": joints,
        "joints_2d_px": pixels,
        "camera_px": answer.camera_px,
        **_seen(answer, picture.whole),
        **values,
    }
    np.savez(_with_suffix(stem, ".npz"), **arrays)
    record = {
        "image": picture.path.name,
        "body_model": model.name,
        "frame": "camera (x left, y up, z forward)",
        "units": {
            "length": "model units",
            "rotation": "axis-angle radians",
            "fov": "degrees, of the picture padded to a square",
            "px": "pixels of the picture as it is shown",
        },
        "picture": {"size_px": list(picture.size_px), "notes": list(picture.notes)},
        "camera": _camera(answer, picture.size_px[1]),
        "crop_px": crop,
        "parameters": {name: value.tolist() for name, value in values.items()},
        "joint_names": names,
        "joints_3d": joints.tolist(),
        "joints_2d_px": pixels.tolist(),
        **{name: value.tolist() for name, value in _seen(answer, picture.whole).items()},
    }
    _with_suffix(stem, ".json").write_bytes(orjson.dumps(record, option=orjson.OPT_INDENT_2))
    write_png(_with_suffix(stem, "_overlay.png"), _overlay(question, answer, model))
    rows: list[list[object]] = []
    for name, pixel, point in zip(names, pixels, joints, strict=True):
        place = [*map(float, pixel), *map(float, point)]
        rows.append([picture.path.name, name, *place, stem.name])
    return rows


def _seen(answer: Answer, whole: Window) -> dict[str, np.ndarray]:
    """Return where heat maps saw each joint and how far off that may be; nothing without them.

    Distances r of the joint from there are distributed as r exp(-r / scale).
    """
    params = answer.params
    if params.keypoint_xy is None or params.keypoint_scale is None:
        return {}
    return {
        "keypoints_px": whole.pixels(params.keypoint_xy[0].numpy()),
        "keypoint_scale_px": whole.side * params.keypoint_scale[0].numpy(),
    }


def _camera(answer: Answer, height: int) -> dict[str, float]:
    fx, fy, cx, cy = map(float, answer.camera_px)
    fov = float(np.degrees(2.0 * np.arctan(0.5 * height / fy)))
    return {"fx_px": fx, "fy_px": fy, "cx_px": cx, "cy_px": cy, "vertical_fov_deg": fov}


def _overlay(question: Question, answer: Answer, model: SmilModel) -> np.ndarray:
    """Return the whole picture beside itself under mesh, joints and the square that was seen."""
    picture = question.picture
    whole = picture.whole
    size = min(OVERLAY_SIZE, whole.side)
    image = picture.cut(whole, size)
    intrinsics = whole.intrinsics_of_px(answer.camera_px)
    drawn = draw_mesh(image, answer.vertices(), model.faces.cpu().numpy(), intrinsics)
    drawn = draw_keypoints(drawn, whole.points(answer.joints_px()), skeleton=model.skeleton)
    if question.window != whole:
        drawn = _with_square(drawn, question.window, whole)
    return np.concatenate([image, drawn], axis=1)


def _with_square(image: np.ndarray, window: Window, whole: Window) -> np.ndarray:
    low = np.array([window.left, window.top], dtype=float)
    corners = whole.points(np.stack([low, low + window.side])) * image.shape[0]
    left, top, right, bottom = np.round(corners).astype(int).ravel().tolist()
    thickness = max(1, image.shape[0] // 400)
    return cv2.rectangle(image, (left, top), (right, bottom), PREDICTED_COLOR, thickness)


def _with_suffix(stem: Path, suffix: str) -> Path:
    """Append to a name that may itself hold dots."""
    return stem.with_name(stem.name + suffix)
