"""The command joint-map, and the arguments that say what labels of photographs mean."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from smil_ray.cli.arguments import Commands, add_command

if TYPE_CHECKING:
    from smil_ray.config import LabelConfig
    from smil_ray.core.skeleton import Skeleton
    from smil_ray.results.keypoints import Keypoints

PIXEL_ORIGINS = ("auto", "centre", "corner")
GROUPS = ("video", "picture")
SAMPLE_SETTINGS = ("group_by", "fov_deg")
"""Settings that only samples made of labels have."""


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    job = add_command(
        commands,
        "joint-map",
        _joint_map,
        "Draft which labelled point is which joint of the body model, as YAML to be finished.",
        "smil-ray joint-map project.slp --model ant.npz --out joints.yaml",
    )
    job.add_argument(
        "labels", type=Path, metavar="LABELS", help="file of labels, or a project's folder"
    )
    job.add_argument(
        "--model", default="builtin", help="`builtin` or a .pkl/.npz file whose joints are meant"
    )
    job.add_argument("--out", type=Path, help="file to write (default: the terminal)")


def add_label_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that `label_config` reads."""
    group = parser.add_argument_group("labels of photographs (docs/labels.md)")
    _add_reading(group)
    group.add_argument(
        "--group-by",
        choices=GROUPS,
        default="video",
        help="what splits keep together: the frames of a video or folder (default), or of nothing",
    )
    group.add_argument(
        "--fov-deg",
        type=float,
        help="full vertical field of view of the whole pictures, if it is known",
    )


def add_keypoint_arguments(parser: argparse.ArgumentParser, meaning: str) -> None:
    """Add `--keypoints` and what `keypoints_of` reads beside it."""
    group = parser.add_argument_group("known places of joints (docs/prediction.md)")
    group.add_argument(
        "--keypoints",
        type=Path,
        metavar="FILE",
        help="labels that preprocess reads, or CSV: rows of predictions.csv, or file,joint,x,y "
        f"(pixels), with frame and animal where needed; {meaning}",
    )
    _add_reading(group)


def keypoints_of(arguments: argparse.Namespace, skeleton: "Skeleton") -> "Keypoints | None":
    """Return what `add_keypoint_arguments` parsed, None without `--keypoints`.

    Raises:
        ConfigError: The joint map cannot be read, or names what does not exist.
        DataError: The file cannot be read.
    """
    from smil_ray.results.keypoints import read_keypoints

    if arguments.keypoints is None:
        return None
    return read_keypoints(arguments.keypoints, skeleton, label_config(arguments))


def _add_reading(group: "argparse._ArgumentGroup") -> None:
    group.add_argument(
        "--joint-map",
        type=Path,
        metavar="MAP.yaml",
        help="which point is which joint; `smil-ray joint-map` drafts it (default: equal names)",
    )
    group.add_argument(
        "--pictures",
        type=Path,
        metavar="DIR",
        help="where pictures and videos are, if not where the labels say",
    )
    group.add_argument(
        "--pixel-origin",
        choices=PIXEL_ORIGINS,
        default="auto",
        help="where the point (0, 0) lies in the top left pixel (default: as the format has it)",
    )


def label_config(arguments: argparse.Namespace) -> "LabelConfig":
    """Return what `add_label_arguments` or `add_keypoint_arguments` parsed.

    Raises:
        ConfigError: The map cannot be read, or a value is none of those allowed.
    """
    from smil_ray.cli.arguments import choose
    from smil_ray.config import LabelConfig
    from smil_ray.data.labels.joint_map import read_joint_map

    given = None if arguments.joint_map is None else read_joint_map(arguments.joint_map)
    pictures = None if arguments.pictures is None else str(arguments.pictures.absolute())
    samples = {name: getattr(arguments, name) for name in SAMPLE_SETTINGS if name in arguments}
    return choose(
        LabelConfig,
        joint_map=given,
        pictures=pictures,
        pixel_origin=arguments.pixel_origin,
        **samples,
    )


def _joint_map(arguments: argparse.Namespace) -> int:
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.config import LabelConfig
    from smil_ray.data.labels.entries import read_labels
    from smil_ray.data.labels.joint_map import draft

    found = read_labels(arguments.labels, LabelConfig())
    skeleton = SmilModel.open(arguments.model).skeleton
    text = draft(found.node_names, skeleton, str(arguments.labels))
    if arguments.out is None:
        print(text, end="")  # noqa: T201 - the command's output
    else:
        arguments.out.write_text(text, encoding="utf-8")
    return 0
