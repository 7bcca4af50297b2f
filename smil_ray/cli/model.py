"""Commands about the body model: convert-model, show-model, check-ground-truth."""

import argparse
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from smil_ray.cli.arguments import Commands, add_command, add_device, count, positive


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    convert = add_command(
        commands,
        "convert-model",
        _convert_model,
        "Turn a SMIL/SMAL/SMPL .pkl into the safe .npz form.",
        "smil-ray convert-model SMILy_STICK.pkl SMILy_STICK.npz",
    )
    convert.add_argument("source", type=Path, metavar="IN.pkl")
    convert.add_argument("target", type=Path, metavar="OUT.npz")
    convert.add_argument(
        "--body-chain",
        metavar="A,B,...",
        help="joints along the trunk, end to end, whose length is 100 %% in percentages of body "
        "length; joints between those named may be left out (default: as the model says, or by "
        "the joints' names)",
    )

    show = add_command(
        commands,
        "show-model",
        _show_model,
        "Print joints, tree and counts of a body model; write a picture and a mesh.",
        "smil-ray show-model builtin --out model",
    )
    show.add_argument("model", help="`builtin` or a .pkl/.npz file")
    show.add_argument("--out", type=Path, help="folder for NAME.png and NAME.obj")

    check = add_command(
        commands,
        "check-ground-truth",
        _check_ground_truth,
        "Feed a data set's own parameters through body model, camera and losses.",
        "smil-ray check-ground-truth --data demo.h5 --test-3d-keypoints --sample-index 5",
    )
    check.add_argument("--data", type=Path, required=True, help="HDF5 file or replicAnt folder")
    check.add_argument(
        "--model", help="`builtin` or a .pkl/.npz file (default: what the data were made with)"
    )
    check.add_argument(
        "--sample-index", type=int, help="only this sample (default: all, up to 100)"
    )
    check.add_argument(
        "--test-3d-keypoints", action="store_true", help="3D joints must be within tolerance too"
    )
    check.add_argument(
        "--tolerance-3d-keypoints", type=positive, default=0.1, help="model units (default 0.1)"
    )
    check.add_argument(
        "--rest-joints",
        choices=("auto", "regressed", "static"),
        default="auto",
        help="joints before posing: regressed from the shape, static as in the model file, or "
        "auto: as the model file says (data that morph the skin and keep the bones need static)",
    )
    check.add_argument("--limit", type=count, default=100, help="most samples to check")
    check.add_argument("--plots", type=Path, help="folder for keypoint-alignment pictures")
    add_device(check)


def _convert_model(arguments: argparse.Namespace) -> int:
    from smil_ray.body.model_file.reading import read_model_file, write_npz

    model = read_model_file(arguments.source)
    if arguments.body_chain is not None:
        chain = tuple(name.strip() for name in arguments.body_chain.split(","))
        model = replace(model, skeleton=replace(model.skeleton, named_chain=chain))
    write_npz(model, arguments.target)
    console = Console(soft_wrap=True, markup=False, highlight=False)
    joints = len(model.skeleton.joint_names)
    console.print(f"{arguments.target}: {joints} joints, safe to share and load")
    console.print(f"100 % of body length: {model.skeleton.describe_chain()}")
    return 0


def _show_model(arguments: argparse.Namespace) -> int:
    from smil_ray.body.describe import describe
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.results.pictures import write_model_sheet

    model = SmilModel.open(arguments.model)
    console = Console(soft_wrap=True)
    console.print(describe(model), highlight=False, markup=False)
    if arguments.out is not None:
        for path in write_model_sheet(model, arguments.out):
            console.print(f"wrote {path}")
    return 0


def _check_ground_truth(arguments: argparse.Namespace) -> int:
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.config import BodyConfig, Config
    from smil_ray.data.dataset import SmilDataset
    from smil_ray.data.image_io import write_png
    from smil_ray.results.ground_truth import check_ground_truth, draw_alignment
    from smil_ray.training.data_body_model import body_model_of

    model = SmilModel.open(arguments.model or body_model_of(arguments.data))
    dataset = SmilDataset.from_path(arguments.data, model=model)
    index = arguments.sample_index
    indices = range(min(len(dataset), arguments.limit)) if index is None else [index]
    checks = check_ground_truth(
        dataset,
        model,
        indices,
        test_3d=arguments.test_3d_keypoints,
        tolerance_3d=arguments.tolerance_3d_keypoints,
        config=Config(body=BodyConfig(rest_joints=arguments.rest_joints)),
        device=arguments.device,
    )
    table = Table(title=f"ground truth of {arguments.data} through {model.name}")
    for heading in ("sample", "parameter loss", "2D error [px]", "largest 3D error", "verdict"):
        table.add_column(heading, justify="left" if heading == "sample" else "right")
    for check in checks:
        table.add_row(
            check.name,
            f"{check.parameter_loss:.2g}",
            f"{check.error_2d_px:.3g}",
            f"{check.largest_3d:.3g}",
            "ok" if check.passed else "[red]FAILED[/red]",
        )
    console = Console()
    console.print(table)
    failed = [check for check in checks if not check.passed]
    console.print(f"{len(checks) - len(failed)} of {len(checks)} samples passed")
    if failed:
        console.print(
            "Parameters without loss whose joints lie elsewhere belong to another body: name the "
            "model that the data were made with (--model), or try --rest-joints static."
        )
    if arguments.plots is not None:
        for position, check in zip(indices, checks, strict=True):
            path = arguments.plots / f"alignment_{position:05d}.png"
            write_png(path, draw_alignment(dataset, position, check))
        console.print(f"wrote {len(checks)} pictures to {arguments.plots}")
    return 1 if failed else 0
