"""The command that makes a synthetic data set."""

import argparse
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import (
    Commands,
    add_address,
    add_command,
    count,
    count_or_zero,
    fraction,
)
from smil_ray.cli.progress import progress_bar


def add_commands(commands: Commands) -> None:
    """Add `synth`."""
    synth = add_command(
        commands,
        "synth",
        _synth,
        "Make a data set in replicAnt's format from the procedural insect or any body model.",
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
    _add_animal(synth)
    _add_view(synth)
    synth.add_argument("--num-workers", type=count, help="processes (default: one a core)")
    add_address(synth)


def _add_animal(synth: argparse.ArgumentParser) -> None:
    animal = synth.add_argument_group("animal")
    animal.add_argument(
        "--model", default="builtin", help="`builtin` or a .pkl/.npz file (SMIL, SMAL or SMPL)"
    )
    animal.add_argument(
        "--pose-range",
        type=float,
        default=1.0,
        help="factor of the joint angles; 1 is as wide as replicAnt, 0.4 hardly moves (default 1)",
    )
    animal.add_argument(
        "--joint-limits",
        type=Path,
        metavar="FILE.yaml",
        help="limits in degrees by joint name, in place of the model's own (docs/synthetic.md)",
    )
    animal.add_argument(
        "--pose-from",
        type=Path,
        metavar="DATA",
        help="draw from the poses of an HDF5 file or replicAnt folder instead",
    )
    animal.add_argument(
        "--pose-spread",
        type=fraction,
        default=0.3,
        help="how far from those poses, as a share of the way to another (default 0.3)",
    )
    animal.add_argument(
        "--subjects", type=count, default=1, help="most animals a picture (default 1)"
    )


def _add_view(synth: argparse.ArgumentParser) -> None:
    view = synth.add_argument_group("picture")
    view.add_argument(
        "--domain",
        choices=("default", "lab"),
        default="default",
        help="how everything looks; lab: other surfaces, grounds, lamps and cameras, JPEG 60",
    )
    view.add_argument(
        "--occlusion",
        type=fraction,
        default=0.35,
        help="share of animals behind leaves, twigs or stones (default 0.35)",
    )
    view.add_argument(
        "--out-of-frame",
        type=fraction,
        default=0.12,
        help="share of animals partly outside the picture (default 0.12)",
    )
    view.add_argument(
        "--motion-blur", type=fraction, default=0.1, help="share of blurred pictures (default 0.1)"
    )
    view.add_argument(
        "--noise", type=fraction, default=0.5, help="sensor noise, 0 to 1 (default 0.5)"
    )
    view.add_argument(
        "--clutter", type=fraction, default=1.0, help="share of busy backgrounds (default all)"
    )
    view.add_argument(
        "--lowest-view-deg",
        type=float,
        default=-35.0,
        help="least elevation of the camera above the animal; 60 is from above (default -35)",
    )
    view.add_argument(
        "--least-fill",
        type=float,
        default=0.25,
        help="least share of the picture's width that the animal fills (default 0.25)",
    )
    view.add_argument(
        "--largest-turn-deg",
        type=float,
        default=180.0,
        help="from above: how far the head may point away from the picture's top (default 180)",
    )


def _synth(arguments: argparse.Namespace) -> int:
    from smil_ray.data.synthetic.samples import SynthOptions
    from smil_ray.orchestration.synth import synthesize

    given = {
        key: value for key, value in vars(arguments).items() if key in SynthOptions.model_fields
    }
    given["name"] = arguments.name or arguments.out.resolve().name
    options = SynthOptions.model_validate(
        {key: str(value) if isinstance(value, Path) else value for key, value in given.items()}
    )
    with progress_bar("rendering") as update:
        report = synthesize(
            arguments.out,
            options,
            arguments.num_workers,
            address=arguments.address,
            progress=update,
        )
    Console().print(
        f"{arguments.samples} samples in {report.folder} "
        f"({report.written} new, {report.kept} from before, {report.seconds:.1f} s)"
    )
    return 0
