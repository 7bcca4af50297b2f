"""Ways in which files of a data set go bad, each with the reason it must be dropped for."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

Corruption = Callable[[Path, str], object]


def edit(change: Callable[[dict[str, Any]], object]) -> Corruption:
    """Return a corruption that changes the parsed `iterationData`."""

    def corrupt(folder: Path, stem: str) -> None:
        path = folder / f"{stem}.json"
        document = json.loads(path.read_bytes())
        change(document["iterationData"])
        path.write_text(json.dumps(document))

    return corrupt


def cut(suffix: str, share: float) -> Corruption:
    def corrupt(folder: Path, stem: str) -> None:
        path = folder / f"{stem}{suffix}"
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])

    return corrupt


def zero_middle(folder: Path, stem: str) -> None:
    path = folder / f"{stem}.JPG"
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
    path.write_bytes(data)


def folder_in_its_place(folder: Path, stem: str) -> None:
    (folder / f"{stem}.JPG").unlink()
    (folder / f"{stem}.JPG").mkdir()


def other_mask(size: int, *, square: int = 0) -> Corruption:
    """Return a corruption that writes a mask of `size` px with an animal of `square` px."""

    def corrupt(folder: Path, stem: str) -> None:
        ids = np.zeros((size, size, 4), dtype=np.uint8)
        ids[:square, :square, 2] = 1
        cv2.imwrite(str(folder / f"{stem}_ID.png"), ids)

    return corrupt


def second_file(folder: Path, stem: str) -> None:
    """Write the same sample again under a suffix that only differs in its case."""
    shutil.copy(folder / f"{stem}.json", folder / f"{stem}.JSON")


def subject(data: dict[str, Any]) -> dict[str, Any]:
    return next(iter(data["subject Data"][0].values()))


def joint(data: dict[str, Any]) -> dict[str, Any]:
    return subject(data)["keypoints"]["b_h"]


DROPPED: dict[str, tuple[Corruption, str]] = {
    "truncated JPEG": (cut(".JPG", 0.6), "image_damaged"),
    "JPEG with a zeroed middle": (zero_middle, "image_damaged"),
    "empty JPEG": (cut(".JPG", 0.0), "image_unreadable"),
    "directory named like a picture": (folder_in_its_place, "image_unreadable"),
    "text named like a picture": (
        lambda folder, stem: (folder / f"{stem}.JPG").write_text("<html>"),
        "image_unreadable",
    ),
    "no picture": (lambda folder, stem: (folder / f"{stem}.JPG").unlink(), "image_missing"),
    "JSON cut in half": (cut(".json", 0.5), "json_unreadable"),
    "zero-byte JSON": (cut(".json", 0.0), "json_unreadable"),
    "NaN": (edit(lambda d: joint(d)["3DPos"].update(x=float("nan"))), "non_finite"),
    "number beyond all sense": (edit(lambda d: joint(d)["3DPos"].update(z=1e30)), "non_finite"),
    "missing camera": (edit(lambda d: d.pop("camera")), "camera_missing"),
    "skewed camera": (
        edit(lambda d: d["camera"]["View Matrix"]["xPlane"].update(x=3.0)),
        "camera_invalid",
    ),
    "empty subject data": (edit(lambda d: d.update({"subject Data": []})), "subject_missing"),
    "joints of another animal": (
        edit(lambda d: subject(d).update(keypoints={"nose": {"2DPos": {"x": 1, "y": 1}}})),
        "no_known_joint",
    ),
    "text for a number": (edit(lambda d: joint(d)["2DPos"].update(x="left")), "json_structure"),
    "2D that contradicts 3D": (
        edit(lambda d: joint(d)["2DPos"].update(x=joint(d)["2DPos"]["x"] + 3.0)),
        "reprojection",
    ),
    "quaternion of another length": (
        edit(lambda d: joint(d)["quaternion"].update(x=3.0)),
        "bad_rotation",
    ),
    "mask of another size": (other_mask(32), "mask_size"),
    "mask cut": (cut("_ID.png", 0.5), "mask_unreadable"),
    "mask of another animal": (other_mask(128, square=12), "mask_disagrees"),
}
"""What makes a sample unusable."""

MISFITS: dict[str, tuple[Corruption, str]] = {
    "missing joint": (edit(lambda d: subject(d)["keypoints"].pop("b_h")), "missing joints"),
    "unknown joint": (edit(lambda d: subject(d)["keypoints"].update(tail={})), "unknown joints"),
    "wrong betas": (edit(lambda d: subject(d).update({"shape betas": [0.0] * 13})), "shape betas"),
}
"""What marks a label as absent; the kind that the doctor calls it, with which its note begins."""
