"""A tiny replicAnt data set, written with Unreal's formulas and none of the package's own."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from smil_ray.core.skeleton import Skeleton

JOINTS = ("b_t", "b_a_1", "b_h", "l_1_co_l", "l_1_co_r", "l_1_tr_l")
PARENTS = (-1, 0, 0, 0, 0, 3)


@dataclass(frozen=True)
class TinyBody:
    """What reading needs of a body model."""

    skeleton: Skeleton = field(default_factory=lambda: Skeleton(JOINTS, PARENTS))
    n_betas: int = 3
    body_length: float = 1.5


def axes(names: str, values: Any) -> dict[str, float]:
    return dict(zip(names, map(float, values), strict=True))


def unreal_camera(width: int, height: int, seed: int) -> tuple[dict, np.ndarray]:
    """Return the camera's JSON and its 4x4 projection [X 1] P = (hx, hy, hz, hw)."""
    rng = np.random.default_rng(seed)
    pitch, yaw, roll = np.radians(rng.uniform(-60, 60, 3))
    fov = 40.0
    turn = np.array([[np.cos(yaw), np.sin(yaw), 0], [-np.sin(yaw), np.cos(yaw), 0], [0, 0, 1]])
    tilt = np.array(
        [[np.cos(pitch), 0, np.sin(pitch)], [0, 1, 0], [-np.sin(pitch), 0, np.cos(pitch)]]
    )
    bank = np.array([[1, 0, 0], [0, np.cos(roll), -np.sin(roll)], [0, np.sin(roll), np.cos(roll)]])
    forward, right, up = bank @ tilt @ turn
    location = -60.0 * forward + rng.normal(size=3)
    view = np.eye(4)
    view[:3, :3] = np.array([right, up, forward]).T
    view[3, :3] = -location @ view[:3, :3]
    focal = 1.0 / np.tan(np.radians(fov) / 2)
    lens = np.zeros((4, 4))
    lens[0, 0], lens[1, 1], lens[3, 2], lens[2, 3] = focal, focal * width / height, 10.0, 1.0
    projection = view @ lens
    planes = ("xPlane", "yPlane", "zPlane", "wPlane")
    camera = {
        "Location": axes("xyz", location),
        "Rotation": {
            k: float(np.degrees(v))
            for k, v in zip(("pitch", "yaw", "roll"), (pitch, yaw, roll), strict=True)
        },
        "FOV": fov,
        "View Matrix": {p: axes("xyzw", row) for p, row in zip(planes, view, strict=True)},
        "View Projection Matrix": {
            p: axes("xyzw", row) for p, row in zip(planes, projection, strict=True)
        },
    }
    return camera, projection


def subject(projection: np.ndarray, width: int, height: int, seed: int) -> dict:
    """Return one subject's JSON, its joints within 8 cm of the world's origin."""
    rng = np.random.default_rng(seed)
    keypoints = {}
    corners = []
    for name in JOINTS:
        point = rng.uniform(-8, 8, 3)
        hx, hy, _, hw = np.append(point, 1.0) @ projection
        pixel = (1 + hx / hw) * width / 2, (1 - hy / hw) * height / 2
        corners.append(pixel)
        local, world = (q / np.linalg.norm(q) for q in rng.normal(size=(2, 4)))
        keypoints[name] = {
            "2DPos": axes("xy", pixel),
            "3DPos": axes("xyz", point),
            "quaternion": axes("xyzw", local),
            "globalRotation": axes("xyzw", world),
        }
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return {
        "2DBounds": {"xmin": low[0], "ymin": low[1], "xmax": high[0], "ymax": high[1]},
        "keypoints": keypoints,
        "shape betas": [0.5, -0.25, 0.125],
        "ScaleWeights": [1.0, 2.0, 3.0],
        "TranslationWeights": [-1.0, -2.0, -3.0],
    }


def frame(width: int = 96, height: int = 96, *, seed: int = 0, ids: tuple = ("1",)) -> dict:
    """Return the JSON document of a frame."""
    camera, projection = unreal_camera(width, height, seed)
    subjects = [
        {key: subject(projection, width, height, 100 * seed + index)}
        for index, key in enumerate(ids)
    ]
    return {"iterationData": {"iteration": 0, "camera": camera, "subject Data": subjects}}


def first(document: dict) -> dict:
    """Return the first subject's fields, to be changed in place."""
    return next(iter(document["iterationData"]["subject Data"][0].values()))


def write(
    folder: Path, stem: str, document: dict, size: tuple[int, int] = (96, 96), *, mask: bool = True
) -> Path:
    """Write JSON, JPG and ID mask of one frame; return the JSON's path."""
    folder.mkdir(parents=True, exist_ok=True)
    width, height = size
    path = folder / f"{stem}.json"
    path.write_text(json.dumps(document))
    seed = int.from_bytes(stem.encode(), "little") % 2**32
    noise = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / f"{stem}.JPG"), noise)
    if mask:
        ids = np.zeros((height, width, 4), dtype=np.uint8)
        ids[..., 3] = 255
        for entry in document["iterationData"]["subject Data"]:
            for key, fields in entry.items():
                points = [[p["2DPos"]["x"], p["2DPos"]["y"]] for p in fields["keypoints"].values()]
                hull = cv2.convexHull(np.round(points).astype(np.int32))
                cv2.fillConvexPoly(ids, hull, (0, 0, int(key), 255))
        cv2.imwrite(str(folder / f"{stem}_ID.png"), ids)
    return path
