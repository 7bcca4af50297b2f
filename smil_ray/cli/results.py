"""Commands on a trained network: evaluate, predict."""

import argparse
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_command, count
from smil_ray.cli.progress import progress_bar

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
    from smil_ray.results.predict import find_images, predict_images
    from smil_ray.training.checkpoint.loading import load_regressor

    loaded = load_regressor(arguments.checkpoint)
    paths = find_images(arguments.images)
    console = Console()
    with progress_bar("predicting", console) as update:
        report = predict_images(
            loaded, paths, arguments.out, batch_size=arguments.batch_size, progress=update
        )
    console.print(f"{len(report.done)} of {len(paths)} images done; results in {arguments.out}")
    for path, reason in report.failed.items():
        console.print(f"failed: {path}: {reason}", markup=False)
    return 1 if report.failed else 0
