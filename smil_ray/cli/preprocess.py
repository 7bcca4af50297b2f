"""The command preprocess."""

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from smil_ray.cli.arguments import (
    Commands,
    add_address,
    add_command,
    choose,
    count,
    count_or_zero,
    fraction,
    names,
)
from smil_ray.cli.labels import add_label_arguments, label_config
from smil_ray.cli.progress import progress_bar
from smil_ray.config.addresses import remote_address
from smil_ray.errors import ConfigError

NAMED_DROPS = 20
"""So many left out samples are named; `smil-ray inspect` and the file name all."""


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    job = add_command(
        commands,
        "preprocess",
        _preprocess,
        "Turn replicAnt folders or labelled photographs into one HDF5 file, in parallel.",
        "smil-ray preprocess demo_data demo.h5 --backbone vit_base_patch16_224 --num-workers 8",
    )
    job.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="INPUT",
        help="replicAnt folders, also s3:// or gs://, and labels: SLEAP, DeepLabCut, Lightning "
        "Pose, COCO, YOLO-pose, NWB, Label Studio",
    )
    job.add_argument("output", type=Path, metavar="OUTPUT.h5", help="also s3:// or gs://")
    job.description = (
        f"{job.description}\nA sample that cannot be used is left out, counted and named with its "
        "reason; the content\ndoes not depend on the number of workers or on interruptions."
    )
    job.add_argument(
        "--model", default="builtin", help="`builtin` or a .pkl/.npz file: joints and their order"
    )
    job.add_argument(
        "--backbone",
        "--backbone-name",
        default="vit_base_patch16_224",
        help="timm name; the image size follows from it (default vit_base_patch16_224)",
    )
    job.add_argument("--image-size", type=count, help="pixels, instead of the backbone's own size")
    job.add_argument(
        "--silhouette-threshold",
        type=fraction,
        default=0.0,
        help="drop samples whose mask covers less of the picture (default 0: keep all)",
    )
    job.add_argument(
        "--min-visible-keypoints",
        type=count_or_zero,
        default=5,
        help="drop samples with fewer (default 5)",
    )
    job.add_argument("--num-workers", type=count, help="processes (default: one a core)")
    job.add_argument(
        "--jpeg-quality", type=count, default=95, help="of stored pictures, 1 to 100 (default 95)"
    )
    job.add_argument(
        "--chunk-size",
        type=count,
        help="samples a shard (default: 64 to 256, fewer where stored pictures are large)",
    )
    job.add_argument(
        "--ignored-joints",
        type=names,
        default=(),
        help="comma-separated names, marked as not visible",
    )
    job.add_argument(
        "--mask-dilation",
        type=count_or_zero,
        default=0,
        help="widen masks, native pixels (default 0)",
    )
    job.add_argument(
        "--crop",
        choices=("none", "bbox"),
        default="none",
        help="the whole picture, or a square around each animal, recommended for training "
        "(default none)",
    )
    only_bbox = "with --crop bbox: "
    job.add_argument(
        "--crop-margin",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help=f"{only_bbox}room around an animal, drawn between these shares of its box's longer "
        "side (default 0.2 0.5)",
    )
    job.add_argument(
        "--crop-shift",
        type=fraction,
        metavar="F",
        help=f"{only_bbox}how far a square may lie off the animal's centre, as a share of its "
        "box's longer side (default 0.1)",
    )
    job.add_argument(
        "--crops-per-sample",
        type=count,
        metavar="N",
        help=f"{only_bbox}squares of each animal, with different room and shift (default 1)",
    )
    job.add_argument(
        "--crop-seed", type=count_or_zero, help=f"{only_bbox}of room and shift (default 0)"
    )
    job.add_argument("--limit", type=count, help="only the first N samples")
    job.add_argument(
        "--only", type=Path, help="use only what this --fix-list or --json of the doctor passes"
    )
    job.add_argument(
        "--resume",
        action="store_true",
        help="after an interruption, with the same settings: do only what is missing",
    )
    job.add_argument(
        "--max-error-fraction",
        type=fraction,
        default=0.2,
        help="give up when more than this share of the files cannot be read (default 0.2)",
    )
    add_address(job)
    add_label_arguments(job)


def _crop(arguments: argparse.Namespace) -> dict[str, object]:
    """Return the settings of crops that were given; ConfigError where they need --crop bbox."""
    flags = {
        "--crop-margin": "margin",
        "--crop-shift": "shift",
        "--crops-per-sample": "per_sample",
        "--crop-seed": "seed",
    }
    found = {flag: getattr(arguments, flag[2:].replace("-", "_")) for flag in flags}
    given = {flag: value for flag, value in found.items() if value is not None}
    if given and arguments.crop != "bbox":
        raise ConfigError(f"{next(iter(given))} without --crop bbox", remedy="add --crop bbox")
    return {"mode": arguments.crop, **{flags[flag]: value for flag, value in given.items()}}


def _preprocess(arguments: argparse.Namespace) -> int:
    from smil_ray.data.filters import REASONS
    from smil_ray.data.hdf5.store import Hdf5Source, read_drops
    from smil_ray.models.backbones import backbone_spec
    from smil_ray.orchestration.preprocess.job import PreprocessOptions, preprocess

    size = arguments.image_size or backbone_spec(arguments.backbone).input_size
    options = choose(
        PreprocessOptions,
        model=arguments.model,
        size=size,
        backbone=arguments.backbone,
        silhouette_threshold=arguments.silhouette_threshold,
        min_visible_keypoints=arguments.min_visible_keypoints,
        num_workers=arguments.num_workers,
        jpeg_quality=arguments.jpeg_quality,
        chunk_size=arguments.chunk_size,
        ignored_joints=arguments.ignored_joints,
        mask_dilation=arguments.mask_dilation,
        crop=_crop(arguments),
        labels=label_config(arguments),
        limit=arguments.limit,
        only=arguments.only,
        resume=arguments.resume,
        max_error_fraction=arguments.max_error_fraction,
        address=arguments.address,
    )
    with progress_bar("preprocessing") as update:
        report = preprocess(
            arguments.inputs,
            arguments.output,
            options,
            progress=lambda state: update(state.done, state.total),
        )
    table = Table()
    table.add_column("what")
    table.add_column("samples", justify="right")
    table.add_row("kept", str(report.kept))
    for reason, number in sorted(report.dropped.items()):
        table.add_row(f"dropped: {REASONS.get(reason, reason)}", str(number))
    for note, number in sorted(report.notes.items()):
        table.add_row(f"note: {note}", str(number))
    console = Console()
    place = remote_address(arguments.output) or arguments.output
    title = f"{place}: {report.kept} samples at {size} px"
    console.print(title, highlight=False, markup=False, soft_wrap=True)
    console.print(table)
    for drop in read_drops(report.output)[:NAMED_DROPS]:
        why = drop.detail or REASONS.get(drop.reason, drop.reason)
        console.print(f"dropped {drop.name}: {why}", highlight=False, markup=False)
    if report.kept > 1 and len(set(Hdf5Source(report.output).groups)) == 1:
        console.print(
            "All samples are of one video or scene, which splits keep together: training will "
            "find none for validation. Label a second one, or give --group-by picture."
        )
    console.print(f"{report.seconds:.1f} s")
    return 0
