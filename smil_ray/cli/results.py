"""A trained network on held-out samples and on its own results: evaluate, report and others."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_command, add_device, add_run, count
from smil_ray.cli.labels import add_keypoint_arguments, keypoints_of
from smil_ray.cli.progress import progress_bar

if TYPE_CHECKING:
    from smil_ray.data.dataset import SmilDataset
    from smil_ray.training.checkpoint.loading import LoadedRegressor


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    evaluate = add_command(
        commands,
        "evaluate",
        _evaluate,
        "PCK, MPJPE and PA-MPJPE on held-out samples, beside two baselines.",
        "smil-ray evaluate runs/sweep/final --data demo.h5 --json metrics.json",
    )
    _add_network_and_data(evaluate, registered=True)
    _add_split(evaluate)
    evaluate.add_argument("--batch-size", type=count, default=16)
    evaluate.add_argument("--json", type=Path, help="write every figure to this file")
    evaluate.add_argument(
        "--overlays", type=Path, help="write best, median and worst predictions to this .png"
    )

    report = add_command(
        commands,
        "report",
        _report,
        "One HTML page about a run: figures, curves, joints, overlays, calibration, commands.",
        "smil-ray report runs/sweep/final --out report.html",
    )
    _add_network_and_data(report)
    _add_split(report)
    report.add_argument("--out", type=Path, help="the page (default: report.html in the run)")

    calibrate = add_command(
        commands,
        "calibrate",
        _calibrate,
        "90 % intervals of joints from held-out samples, kept in the run for its predictions.",
        "smil-ray calibrate runs/sweep/final",
    )
    _add_network_and_data(calibrate)
    calibrate.add_argument(
        "--split",
        default="val",
        choices=("val", "test", "all"),
        help="samples that intervals come from (default: val); all for data of their own",
    )

    refine = add_command(
        commands,
        "refine",
        _refine,
        "Fit what predict found to labelled joints, masks, and what the head's own heat maps saw.",
        "smil-ray refine runs/sweep/final results --keypoints labels.csv --out refined",
    )
    add_run(refine, registered=True)
    refine.add_argument("results", type=Path, help="a folder that predict wrote")
    refine.add_argument("--out", type=Path, required=True, help="folder for the refined results")
    refine.add_argument(
        "--masks",
        type=Path,
        metavar="DIR",
        help="silhouettes to fit as well: PNG files named as the column name of animals.csv, "
        "whatever is not black is the animal",
    )
    refine.add_argument(
        "--from-scratch",
        action="store_true",
        help="forget what was predicted, but for the square and the camera (default: begin there)",
    )
    add_keypoint_arguments(
        refine,
        "fitted to them, their other joints to the head's heat maps (default: to those alone)",
    )


def _add_split(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split", default="test", choices=("test", "val", "all"), help="samples (default: test)"
    )


def _add_network_and_data(parser: argparse.ArgumentParser, *, registered: bool = False) -> None:
    """Add the arguments that `_opened` reads."""
    add_run(parser, registered=registered)
    parser.add_argument("--data", type=Path, help="HDF5 file or folder (default: as in training)")
    parser.add_argument(
        "--source",
        metavar="NAME",
        help="which of the run's data.sources (default: the one that it was selected by)",
    )
    add_device(parser)


def _refine(arguments: argparse.Namespace) -> int:
    from smil_ray.results.refinement.refine import RefineOptions, refine_results
    from smil_ray.tracking.models.local import network_folder
    from smil_ray.training.checkpoint.loading import load_regressor

    loaded = load_regressor(network_folder(arguments.checkpoint))
    labels = keypoints_of(arguments, loaded.model.skeleton)
    console = Console()
    with progress_bar("refining", console) as update:
        report = refine_results(
            loaded,
            arguments.results,
            arguments.out,
            RefineOptions(labels, arguments.masks, arguments.from_scratch),
            progress=update,
        )
    before, after = report.error_px
    console.print(
        f"{report.n_accepted} of {report.n_fitted} got better; mean 2D distance "
        f"{before:.2f} became {after:.2f} px; results in {arguments.out}"
    )
    return 0


def _calibrate(arguments: argparse.Namespace) -> int:
    from smil_ray.results.uncertainty.calibration import calibrate, coverage_table, run_of

    loaded, dataset = _opened(arguments)
    check = "test" if arguments.split == "val" else None
    found = calibrate(loaded, dataset, split=arguments.split, check_split=check)
    console = Console()
    console.print(coverage_table(found))
    console.print(f"wrote {found.intervals.save(run_of(loaded))}")
    return 0


def _opened(arguments: argparse.Namespace) -> "tuple[LoadedRegressor, SmilDataset]":
    """Return the network, and the data that are given or that it was trained on."""
    from smil_ray.data.dataset import SmilDataset
    from smil_ray.errors import ConfigError
    from smil_ray.training.checkpoint.loading import load_regressor

    loaded = load_regressor(arguments.checkpoint, device=arguments.device)
    loaded = loaded.on_source(arguments.source)
    path = arguments.data or loaded.config.data.path
    if path is None:
        raise ConfigError("No data to evaluate on", remedy="give --data FILE.h5")
    dataset = SmilDataset.from_path(
        path, model=loaded.model, input_size=loaded.input_size, crop=loaded.crop
    )
    return loaded, dataset


def _evaluate(arguments: argparse.Namespace) -> int:
    from smil_ray.results.evaluate import evaluate, print_evaluation
    from smil_ray.results.prediction_sheet import write_prediction_sheet
    from smil_ray.tracking.models.local import network_folder

    arguments.checkpoint = network_folder(arguments.checkpoint)
    loaded, dataset = _opened(arguments)
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


def _report(arguments: argparse.Namespace) -> int:
    from smil_ray.results.report.run_page import write_run_report

    loaded, dataset = _opened(arguments)
    data = Path(arguments.data or str(loaded.config.data.path))
    page = write_run_report(loaded, dataset, data=data, split=arguments.split, path=arguments.out)
    Console(soft_wrap=True).print(f"wrote {page}")
    return 0
