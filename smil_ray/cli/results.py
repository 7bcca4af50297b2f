"""Commands on a trained network: evaluate, predict."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_command, count, positive
from smil_ray.cli.progress import progress_bar

if TYPE_CHECKING:
    from smil_ray.results.prediction.cameras import KnownCamera

CHECKPOINT_HELP = "a run folder (its best checkpoint is used) or a checkpoint folder"


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    evaluate = add_command(
        commands,
        "evaluate",
        _evaluate,
        "PCK, MPJPE and PA-MPJPE on held-out samples, beside two baselines.",
        "smil-ray evaluate runs/sweep/final --data demo.h5 --json metrics.json",
    )
    evaluate.add_argument("checkpoint", type=Path, help=CHECKPOINT_HELP)
    evaluate.add_argument(
        "--data", type=Path, help="HDF5 file or folder (default: as in training)"
    )
    evaluate.add_argument("--split", default="test", choices=("test", "val", "all"))
    evaluate.add_argument("--batch-size", type=count, default=16)
    evaluate.add_argument("--json", type=Path, help="write every figure to this file")
    evaluate.add_argument(
        "--overlays", type=Path, help="write best, median and worst predictions to this .png"
    )

    predict = add_command(
        commands,
        "predict",
        _predict,
        "Parameters (.npz, .json), joints (CSV) and overlay for each image.",
        "smil-ray predict runs/sweep/final photo.jpg more_photos/ --out results",
    )
    predict.add_argument("checkpoint", type=Path, help=CHECKPOINT_HELP)
    predict.add_argument("images", type=Path, nargs="+", help="image files or folders")
    predict.add_argument("--out", type=Path, required=True, help="folder for the results")
    predict.add_argument("--batch-size", type=count, default=8)
    predict.add_argument(
        "--box",
        metavar="FILE|auto|none",
        help="squares for the network: around boxes of a CSV (file,x,y,w,h; pixels) or COCO file, "
        "around the animal that it finds in the whole image, or the whole image (default: auto "
        "for networks trained on crops, else none)",
    )
    camera = predict.add_mutually_exclusive_group()
    camera.add_argument(
        "--fov-deg", type=positive, help="full vertical field of view of the images, if known"
    )
    camera.add_argument(
        "--intrinsics",
        nargs="+",
        metavar=("FX FY CX CY", "FILE"),
        help="calibrated camera of the images, pixels: four numbers, or a JSON file (fx, fy, cx, "
        "cy or camera_matrix), or a CSV file (file,fx,fy,cx,cy)",
    )


def _evaluate(arguments: argparse.Namespace) -> int:
    from smil_ray.data.dataset import SmilDataset
    from smil_ray.errors import ConfigError
    from smil_ray.results.evaluate import evaluate, print_evaluation
    from smil_ray.results.prediction_sheet import write_prediction_sheet
    from smil_ray.training.checkpoint.loading import load_regressor

    loaded = load_regressor(arguments.checkpoint)
    path = arguments.data or loaded.config.data.path
    if path is None:
        raise ConfigError("No data to evaluate on", remedy="give --data FILE.h5")
    dataset = SmilDataset.from_path(
        path, model=loaded.model, input_size=loaded.input_size, crop=loaded.crop
    )
    evaluation = evaluate(loaded, dataset, split=arguments.split, batch_size=arguments.batch_size)
    console = Console()
    print_evaluation(evaluation, console)
    if arguments.json is not None:
        evaluation.write_json(arguments.json)
        console.print(f"wrote {arguments.json}")
    if arguments.overlays is not None:
        write_prediction_sheet(loaded, dataset, arguments.overlays, split=arguments.split)
        console.print(f"wrote {arguments.overlays}")
    return 0


def _predict(arguments: argparse.Namespace) -> int:
    from smil_ray.results.prediction.boxes import read_boxes
    from smil_ray.results.prediction.images import find_images
    from smil_ray.results.prediction.predict import predict_images
    from smil_ray.training.checkpoint.loading import load_regressor

    box = arguments.box
    boxes = read_boxes(Path(box)) if box not in (None, "auto", "none") else box
    camera = _camera(arguments)
    loaded = load_regressor(arguments.checkpoint)
    images = find_images(arguments.images)
    console = Console()
    with progress_bar("predicting", console) as update:
        report = predict_images(
            loaded,
            images.paths,
            arguments.out,
            boxes=boxes,
            camera=camera,
            batch_size=arguments.batch_size,
            progress=update,
        )
    total = len(report.done) + len(report.failed)
    things = "images" if total == len(images.paths) else "animals"
    console.print(f"{len(report.done)} of {total} {things} done; results in {arguments.out}")
    for note in (*report.notes, *images.notes()):
        console.print(f"note: {note}", markup=False)
    for path, reason in report.failed.items():
        console.print(f"failed: {path}: {reason}", markup=False)
    return 1 if report.failed else 0


def _camera(arguments: argparse.Namespace) -> "KnownCamera | None":
    """Return the camera that was given; ConfigError or DataError where it is not usable."""
    from smil_ray.results.prediction.cameras import KnownCamera

    if arguments.fov_deg is not None:
        return KnownCamera.from_fov(arguments.fov_deg)
    given = arguments.intrinsics
    if given is None:
        return None
    return KnownCamera.read(Path(given[0])) if len(given) == 1 else KnownCamera.from_pixels(given)
