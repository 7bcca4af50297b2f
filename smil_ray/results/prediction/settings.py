"""What a folder of results was made with, so that going on never mixes two kinds of results."""

import hashlib
import json
from pathlib import Path
from typing import Any

from smil_ray.errors import ConfigError
from smil_ray.results.keypoints import Keypoints
from smil_ray.results.prediction.boxes import BoxFile
from smil_ray.results.prediction.cameras import KnownCamera
from smil_ray.results.prediction.sources import Boxes
from smil_ray.tracking.run_dir import write_atomic
from smil_ray.training.checkpoint.files import WEIGHTS
from smil_ray.training.checkpoint.loading import LoadedRegressor

SETTINGS_FILE = "predict.json"
_FORMAT = 1


def settings_of(
    loaded: LoadedRegressor,
    boxes: Boxes,
    camera: KnownCamera | None,
    keypoints: Keypoints | None = None,
) -> dict[str, Any]:
    """Return what results depend on besides the pictures: network, boxes, camera, keypoints."""
    sums = loaded.meta.get("sha256", {})
    return {
        "format": _FORMAT,
        "checkpoint": str(loaded.path),
        "weights": sums.get(WEIGHTS, ""),
        "body_model": loaded.model.content_hash,
        "boxes": _hash(boxes.boxes) if isinstance(boxes, BoxFile) else boxes,
        "camera": None if camera is None else _hash(_numbers(camera)),
        "keypoints": None if keypoints is None else _hash(_places(keypoints)),
    }


def check_same_settings(out: Path, settings: dict[str, Any]) -> None:
    """Write the settings of a new folder of results, or compare those of an old one.

    Raises:
        ConfigError: They differ, or the file is none of ours.
    """
    file = out / SETTINGS_FILE
    if not file.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(settings, indent=2))
        return
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        different = [name for name in settings if known.get(name) != settings[name]]
    except (ValueError, AttributeError):
        known, different = {}, ["format"]
    different = [name for name in different if name != "checkpoint"]  # A run may be moved.
    if different:
        name = different[0]
        raise ConfigError(
            f"{out} holds results of another {name}",
            expected=settings[name],
            found=known.get(name),
            remedy="choose another --out, or give --fresh to begin anew",
        )


def _numbers(camera: KnownCamera) -> Any:
    given = camera.intrinsics_px
    by_name = {name: value.tolist() for name, value in camera.by_name.items()}
    return [camera.fov_deg, None if given is None else given.tolist(), by_name]


def _places(keypoints: Keypoints) -> Any:
    return {
        name: sorted([*which, xy.tolist()] for which, xy in places.items())
        for name, places in keypoints.places.items()
    }


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _plain(value: Any) -> Any:
    return [value.xywh, value.frame, value.animal]
