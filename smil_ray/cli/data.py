"""Commands on data sets: synth, doctor."""

import argparse
import os
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import (
    Commands,
    add_command,
    count,
    count_or_zero,
    fraction,
)
from smil_ray.cli.progress import progress_bar


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    _add_synth(commands)
    _add_doctor(commands)


def _add_synth(commands: Commands) -> None:
    synth = add_command(
        commands,
        "synth",
        _synth,
        "Make a data set in replicAnt's format from the procedural insect.",
        "smil-ray synth demo_data --samples 400 --image-size 256 --seed 7",
    )
    synth.add_argument("out", type=Path, help="folder; NAME_00.json, .JPG, _ID.png go into it")
    synth.description = (
        f"{synth.description}\nThe files depend on the seed, not on the number of workers; "
        "started again after an\ninterruption, it makes only what is missing."
    )
    synth.add_argument("--samples", type=count, default=100, help="pictures (default 100)")
    synth.add_argument("--image-size", type=count, default=512, help="pixels (default 512)")
    synth.add_argument("--seed", type=count_or_zero, default=0, help="default 0")
    synth.add_argument("--name", help="name of the data set (default: of the folder)")
    synth.add_argument(
        "--occlusion",
        type=fraction,
        default=0.35,
        help="share of animals behind leaves, twigs or stones (default 0.35)",
    )
    synth.add_argument(
        "--out-of-frame",
        type=fraction,
        default=0.12,
        help="share of animals partly outside the picture (default 0.12)",
    )
    synth.add_argument(
        "--motion-blur", type=fraction, default=0.1, help="share of blurred pictures (default 0.1)"
    )
    synth.add_argument(
        "--noise", type=fraction, default=0.5, help="sensor noise, 0 to 1 (default 0.5)"
    )
    synth.add_argument(
        "--clutter", type=fraction, default=1.0, help="share of busy backgrounds (default all)"
    )
    synth.add_argument(
        "--lowest-view-deg",
        type=float,
        default=-35.0,
        help="least elevation of the camera above the animal; 60 is from above (default -35)",
    )
    synth.add_argument(
        "--least-fill",
        type=float,
        default=0.25,
        help="least share of the picture's width that the animal fills (default 0.25)",
    )
    synth.add_argument(
        "--largest-turn-deg",
        type=float,
        default=180.0,
        help="from above: how far the head may point away from the picture's top (default 180)",
    )
    synth.add_argument(
        "--pose-range",
        type=float,
        default=1.0,
        help="factor of the joint angles; 1 is as wide as replicAnt, 0.4 hardly moves (default 1)",
    )
    synth.add_argument(
        "--subjects", type=count, default=1, help="most animals a picture (default 1)"
    )
    synth.add_argument("--num-workers", type=count, help="processes (default: one a core)")


def _add_doctor(commands: Commands) -> None:
    doctor = add_command(
        commands,
        "doctor",
        _doctor,
        "Say what a trainer would trip over in a replicAnt data set. Exit code 1 if anything.",
        "smil-ray doctor demo_data --json findings.json --fix-list good.txt",
    )
    doctor.add_argument("data", type=Path, help="folder with replicAnt JSON and images")
    doctor.add_argument(
        "--model", default="builtin", help="`builtin` or a .pkl/.npz file that labels shall fit"
    )
    doctor.add_argument("--json", type=Path, help="write every finding to this file")
    doctor.add_argument("--fix-list", type=Path, help="write the names of good samples")
    doctor.add_argument("--limit", type=count, help="only the first N samples")
    doctor.add_argument(
        "--num-workers", type=count, help="processes (default: one a core, one for few samples)"
    )
    doctor.add_argument("--address", default="local", help="Ray cluster; `auto` for a running one")


def _synth(arguments: argparse.Namespace) -> int:
    from smil_ray.data.synthetic.samples import SynthOptions
    from smil_ray.orchestration.synth import synthesize

    options = SynthOptions(
        samples=arguments.samples,
        image_size=arguments.image_size,
        seed=arguments.seed,
        name=arguments.name or arguments.out.resolve().name,
        occlusion=arguments.occlusion,
        out_of_frame=arguments.out_of_frame,
        motion_blur=arguments.motion_blur,
        noise=arguments.noise,
        clutter=arguments.clutter,
        largest_turn_deg=arguments.largest_turn_deg,
        least_fill=arguments.least_fill,
        lowest_view_deg=arguments.lowest_view_deg,
        subjects=arguments.subjects,
        pose_range=arguments.pose_range,
    )
    workers = arguments.num_workers or os.cpu_count() or 1
    with progress_bar("rendering") as update:
        report = synthesize(arguments.out, options, workers, progress=update)
    Console().print(
        f"{arguments.samples} samples in {report.folder} "
        f"({report.written} new, {report.kept} from before, {report.seconds:.1f} s)"
    )
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.orchestration.doctor import examine_in_parallel

    with progress_bar("examining") as update:
        report = examine_in_parallel(
            arguments.data,
            SmilModel.open(arguments.model),
            num_workers=arguments.num_workers,
            address=arguments.address,
            progress=update,
            limit=arguments.limit,
        )
    Console(soft_wrap=True).print(report.table(), highlight=False, markup=False)
    if arguments.json is not None:
        arguments.json.write_text(report.to_json(), encoding="utf-8")
    if arguments.fix_list is not None:
        arguments.fix_list.write_text("\n".join([*report.good_names, ""]), encoding="utf-8")
    return report.exit_code
