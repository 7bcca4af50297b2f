"""Known places of joints in pictures and videos: labels, or predictions that were corrected."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from smil_ray.config import LabelConfig
from smil_ray.core.skeleton import Skeleton
from smil_ray.data.labels.entries import read_labels
from smil_ray.data.labels.joint_map import JointMap, resolve
from smil_ray.errors import DataError
from smil_ray.results.prediction.boxes import table_rows
from smil_ray.results.prediction.images import match_names

Places = Mapping[tuple[int, int], Float[np.ndarray, "n_joints 2"]]
"""Frame (0 of a picture) and animal -> where its joints are; see `Keypoints`."""
TABLES = (("file", "x", "y"), ("source", "x_px", "y_px"))
"""Columns of tables for name, x and y: those written by hand, and those of `predict`."""


@dataclass(frozen=True)
class Keypoints:
    """Known places of joints.

    Attributes:
        path: The file that they are from.
        places: Name of a picture or video, which is the end of its path -> its animals' joints;
            pixels of the whole picture, continuous from its corner, NaN where not known.
    """

    path: Path
    places: Mapping[str, Places]

    def of_images(self, paths: Sequence[Path]) -> dict[Path, Places]:
        """Return what is known of each of the images `paths`, if anything is.

        Raises:
            DataError: A name means several images, or no name means any.
        """
        names = match_names(self.places, paths, str(self.path))
        return {path: self.places[name] for path, name in names.items()}


def read_keypoints(path: Path, skeleton: Skeleton, config: LabelConfig | None = None) -> Keypoints:
    """Return the joints of a table or of a file of labels.

    Tables are CSV, `file,joint,x,y` or rows of `predictions.csv` (`source,joint,x_px,y_px`), with
    `frame` and `animal` where needed. Any other file is read as labels; animals are numbered as
    they come in a frame.

    Args:
        path: The file.
        skeleton: Of the body model.
        config: How labels are meant: joint map, folder of pictures, origin of pixels.

    Raises:
        DataError: It cannot be read, a column is missing, or nothing in it is a joint.
        ConfigError: A joint is not the body model's.
    """
    config = config or LabelConfig()
    if _is_table(path):
        return Keypoints(path, _of_table(path, skeleton, config.joint_map))
    return Keypoints(path, _of_labels(path, skeleton, config))


def _is_table(path: Path) -> bool:
    """Return whether a file is CSV, but not DeepLabCut's."""
    if path.suffix.lower() != ".csv":
        return False
    return not _content(path).lstrip(b"\xef\xbb\xbf").startswith(b"scorer")


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read as keypoints", found=error.strerror) from error


def _of_table(path: Path, skeleton: Skeleton, joint_map: JointMap | None) -> dict[str, Places]:
    data = _content(path)
    is_predicted = b"x_px" in data.split(b"\n", 1)[0]
    file, x, y = TABLES[is_predicted]
    rows = table_rows(path, data, (x, y), ("frame", "animal"), ("joint",), named_by=file)
    names = tuple(dict.fromkeys(row["joint"] for row in rows))
    if joint_map is None:
        skeleton.mask(names, f"{path}: joint")
    joints = {names[n]: j for n, j in resolve(names, skeleton, joint_map, str(path)).items()}
    found: dict[str, dict[tuple[int, int], np.ndarray]] = {}
    for row in rows:
        which = (row["frame"] or 0, row["animal"] or 0)
        places = found.setdefault(row[file], {}).setdefault(which, _unknown(skeleton))
        if row["joint"] in joints:
            places[joints[row["joint"]]] = row[x], row[y]
    return {name: dict(places) for name, places in found.items()}


def _of_labels(path: Path, skeleton: Skeleton, config: LabelConfig) -> dict[str, Places]:
    labels = read_labels(path, config)
    problems = [frame.problem for frame in labels.frames if frame.problem is not None]
    if len(problems) == len(labels.frames):
        raise DataError(
            problems[0][1],
            remedy="give --pictures DIR, the folder that the labels' pictures are in",
        )
    joints = resolve(labels.node_names, skeleton, config.joint_map, str(path))
    found: dict[str, dict[tuple[int, int], np.ndarray]] = {}
    for frame in labels.frames:
        number = 0 if frame.video is None else frame.index
        for animal, labelled in enumerate(frame.animals):
            places = _unknown(skeleton)
            places[list(joints.values())] = labelled.points_px[list(joints)]
            found.setdefault(frame.file_name, {})[number, animal] = places
    return {name: dict(places) for name, places in found.items()}


def _unknown(skeleton: Skeleton) -> Float[np.ndarray, "n_joints 2"]:
    return np.full((skeleton.n_joints, 2), np.nan)
