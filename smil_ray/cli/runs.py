"""Commands on runs that are there: rerun repeats one, sync and register send them to MLflow."""

import argparse
import json
import shlex
import tempfile
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_address, add_command
from smil_ray.config.addresses import absolute_place

URI_HELP = "MLflow (default: MLFLOW_TRACKING_URI, or mlflow.db in this folder)"


def add_commands(commands: Commands) -> None:
    """Add the commands of this module."""
    rerun = add_command(
        commands,
        "rerun",
        _rerun,
        "Repeat a run from what was tracked of it; say what is not as it was.",
        "smil-ray rerun 5e0c8f1d2a7b4c69 --set train.seed=14",
    )
    rerun.add_argument("first", metavar="RUN", help="MLflow's run identifier, or a run folder")
    rerun.add_argument("--output", type=Path, help="where the new run folder goes")
    rerun.add_argument("--data", type=Path, help="the data, where they have moved")
    rerun.add_argument("--set", action="append", default=[], metavar="A.B=C", help="change")
    rerun.add_argument("--uri", help=URI_HELP)
    add_address(rerun)
    rerun.add_argument("--execution", choices=("auto", "inline", "ray_train"), default="auto")
    rerun.add_argument(
        "--strict", action="store_true", help="train nothing unless everything is as it was"
    )
    sync = add_command(
        commands,
        "sync",
        _sync,
        "Send runs on the disk to MLflow: what it has is not sent again.",
        "smil-ray sync runs",
    )
    sync.add_argument(
        "folders", type=Path, nargs="+", metavar="RUN", help="run, sweep, or folder of them"
    )
    sync.add_argument("--uri", help="MLflow (default: where the run says, or MLFLOW_TRACKING_URI)")
    _add_register(commands)


def _add_register(commands: Commands) -> None:
    job = add_command(
        commands,
        "register",
        _register,
        "Give a run's network a name in MLflow, by which predict, serve and colleagues find it.",
        "smil-ray register runs/sweep/final --name ants --alias champion",
    )
    job.add_argument("checkpoint", type=Path, metavar="RUN", help="a run folder")
    job.add_argument("--name", help="(default: the sweep's or run's name without its date)")
    job.add_argument("--alias", help="e.g. champion; it moves here from the version that has it")
    job.add_argument("--uri", help="MLflow (default: where the run says, or MLFLOW_TRACKING_URI)")


def _register(arguments: argparse.Namespace) -> int:
    from smil_ray.config import TrackingConfig
    from smil_ray.tracking.models.registry import register_run
    from smil_ray.tracking.tracker import resolve_uri

    made = register_run(
        arguments.checkpoint, name=arguments.name, alias=arguments.alias, uri=arguments.uri
    )
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if made.moved_from is not None:
        console.print(f"{made.alias} was version {made.moved_from} until now")
    again = " (registered before)" if made.was_there else ""
    console.print(f"version {made.version} of {made.name}{again} at {made.uri}: {made.address}")
    known = resolve_uri(TrackingConfig())
    where = "" if made.uri == known else f"MLFLOW_TRACKING_URI={shlex.quote(made.uri)} "
    command = shlex.join(["smil-ray", "predict", made.address, "photo.jpg", "--out", "results"])
    console.print(f"predict: {where}{command}")
    command = shlex.join(["mlflow", "models", "serve", "-m", made.address])
    console.print(f"serve:   {where}{command} --env-manager local --port 5001")
    return 0


def _rerun(arguments: argparse.Namespace) -> int:
    from smil_ray.orchestration.rerun import (
        agreement,
        changes,
        find_original,
        rerun_config,
    )
    from smil_ray.orchestration.train.job import run_training
    from smil_ray.tracking.cost import recorded_cost
    from smil_ray.tracking.run_dir import RunDir
    from smil_ray.tracking.sync.live import track_run

    console = Console(soft_wrap=True, highlight=False, markup=False)
    with tempfile.TemporaryDirectory(prefix="smil_ray_rerun_") as place:
        origin = find_original(arguments.first, Path(place), uri=arguments.uri)
        overrides = list(arguments.set)
        if arguments.data is not None:
            overrides.append(f"data.path={json.dumps(absolute_place(arguments.data))}")
        config = rerun_config(origin, overrides, arguments.output)
        found = changes(origin, config)
        console.print("everything is as it was" if not found else "not as it was:")
        for change in found:
            console.print(f"  {change}")
        if found and arguments.strict:
            return 1
        name = f"rerun_{origin.facts.get('name', 'run')}"
        facts = {"rerun_of": origin.name}
        run = RunDir.create(config.run.output_dir, name, config, "train", facts=facts)
        console.print(f"run folder: {run.path}")
        execution = arguments.execution
        if execution == "auto":
            execution = "inline" if config.run.num_workers == 1 else "ray_train"
        with track_run(run.path, config.tracking), recorded_cost(run, config):
            outcome = run_training(
                config, address=arguments.address, execution=execution, run_dir=run
            )
        console.print(f"{outcome.status}. {agreement(origin.folder, run.path)}")
    return 0 if outcome.status == "finished" else 130


def _sync(arguments: argparse.Namespace) -> int:
    from smil_ray.tracking.sync.later import send_later

    report = send_later(arguments.folders, uri=arguments.uri)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    for place in report.in_use:
        console.print(f"left out, still being trained: {place}")
    where = ", ".join(report.servers) or "nowhere"
    noun = "run is" if len(report.sent) == 1 else "runs are"
    console.print(f"{len(report.sent)} {noun} complete at {where}")
    return 0
