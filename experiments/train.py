"""Train one network on one data set, as a Ray Train run.

Question: how well does this configuration predict my animal?
Command:  python experiments/train.py --data demo.h5 --set train.epochs=20
Needs:    a laptop for the small backbones; one GPU for the seed's (vit_large_patch16_224).
Expect:   val/pose_score falls below 1, the mean pose's; the end says whether PA-MPJPE does as
          well, and `smil-ray evaluate RUN` how surely.

`--set train.init_from=RUN` begins with the network of another run: on other data, at a lower rate.
A run that was interrupted goes on where it was when the same command is given again, and says so.
--fresh begins anew in a new folder; --resume RUN goes on with that one. A finished run is kept.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from smil_ray.cli.arguments import add_address
from smil_ray.cli.exit import INTERRUPTED, exit_code
from smil_ray.cli.main import kebab
from smil_ray.config import Config
from smil_ray.config.addresses import absolute_place, remote_address
from smil_ray.config.reading import load_config
from smil_ray.errors import ConfigError


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when trained, 2 with one sentence for a mistake."""
    arguments = _parser().parse_args(kebab(sys.argv[1:] if argv is None else argv))
    return exit_code("train.py", lambda: _train(arguments), remedy="go on with --resume RUN")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--data", "--data-path", type=Path, help="HDF5 file, also s3:// or gs://; replicAnt folder"
    )
    parser.add_argument("--config", type=Path, help="YAML file, e.g. configs/seed_baseline.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="override, may be repeated"
    )
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--resume", type=Path, metavar="RUN", help="go on with this run folder")
    which.add_argument(
        "--fresh",
        action="store_true",
        help="begin anew, whatever was interrupted",
    )
    add_address(parser)
    parser.add_argument("--execution", choices=("ray_train", "inline"), default="ray_train")
    parser.add_argument(
        "--output",
        "--storage",
        type=Path,
        help="where run folders go: a folder, or s3:// or gs:// (default: runs)",
    )
    shortcuts = parser.add_argument_group("shortcuts for --set")
    for flag, key in SHORTCUTS.items():
        shortcuts.add_argument(f"--{flag}", metavar="VALUE", help=key)
    return parser


SHORTCUTS = {
    "batch-size": "data.batch_size",
    "backbone": "model.backbone.name",
    "learning-rate": "optim.learning_rate",
    "num-epochs": "train.epochs",
}


def _train(arguments: argparse.Namespace) -> int:
    # Imported late, so that --help answers at once.
    from smil_ray.orchestration.train.job import TrainOptions, run_training
    from smil_ray.orchestration.train.resume import Start, choose_start
    from smil_ray.storage.mirror import address_of, local_run, push
    from smil_ray.tracking.cost import recorded_cost
    from smil_ray.tracking.run_dir import RunDir
    from smil_ray.tracking.sync.live import track_run

    if arguments.resume is not None:
        arguments.resume = local_run(arguments.resume)
    config = _config(arguments)
    if arguments.resume is None:
        start = choose_start(config, fresh=arguments.fresh)
    else:
        start = Start(arguments.resume, "")
    if start.reason:
        sys.stdout.write(f"{start.reason}\n")
    if start.resume is None:
        run = RunDir.create(config.run.output_dir, config.run.name or "train", config, "train")
    else:
        run = RunDir.open(start.resume)
    sys.stdout.write(f"run folder: {address_of(run.path) or run.path}\n")
    with track_run(run.path, config.tracking) as tracked:
        with recorded_cost(run, config):
            outcome = run_training(
                config,
                address=arguments.address,
                execution=arguments.execution,
                resume=start.resume,
                run_dir=run if start.resume is None else None,
                options=TrainOptions(announce=_say),
            )
        _print_outcome(outcome.status, outcome.reason, outcome.metrics)
        if outcome.status != "stopped":
            # Tracked until then, so that the network goes to MLflow with its intervals.
            _calibrate(run.path)
    if outcome.status == "stopped":
        place = address_of(run.path) or str(run.path)
        resume = shlex.join(["python", "experiments/train.py", "--resume", place])
        sys.stdout.write(f"go on with: {resume}\n")
        return INTERRUPTED
    push(run.path)
    place = address_of(run.path) or str(run.path)
    sys.stdout.write(f"evaluate it: {shlex.join(['smil-ray', 'evaluate', place])}\n")
    if tracked is not None:
        sys.stdout.write(f"compare:     {tracked.tracker.ui_command()}\n")
    return 0


def _calibrate(run: Path) -> None:
    """Keep the intervals of joints in the run, which its predictions will have."""
    from smil_ray.results.report.winner import open_run
    from smil_ray.results.uncertainty.calibration import calibrate_run, coverage_table

    found = calibrate_run(*open_run(run))
    if isinstance(found, str):
        _say(f"no intervals of joints: {found}")
    else:
        Console().print(coverage_table(found))


def _config(arguments: argparse.Namespace) -> Config:
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.losses.labels import metric_for_labels, weights_for_labels
    from smil_ray.training.assemble import open_data
    from smil_ray.training.data_body_model import with_body_model_of_data
    from smil_ray.training.warm_start import with_network_of_parent

    overrides = list(arguments.set)
    for flag, key in SHORTCUTS.items():
        value = getattr(arguments, flag.replace("-", "_"))
        overrides += [] if value is None else [f"{key}={value}"]
    if arguments.data is not None:
        overrides.append(f"data.path={json.dumps(absolute_place(arguments.data))}")
    if arguments.output is not None:
        place = remote_address(arguments.output) or str(arguments.output)
        overrides.append(f"run.output_dir={json.dumps(place)}")
    if arguments.resume is not None:
        if arguments.config is None:
            arguments.config = arguments.resume / "config.yaml"
        return load_config(arguments.config, overrides)
    config = load_config(arguments.config, overrides)
    config = config.model_copy(update={"data": config.data.with_absolute_paths()})
    if not config.data.paths:
        raise ConfigError(
            "No data to train on", remedy="give --data FILE.h5 or a replicAnt folder"
        )
    config = with_network_of_parent(config)
    default = config.body.model
    config = with_body_model_of_data(config)
    if config.body.model != default:
        sys.stdout.write(f"body model of the data: {config.body.model}\n")
    data = open_data(config, SmilModel.open(config.body.model))
    config, reason = metric_for_labels(config, data.presence_counts())
    if reason:
        sys.stdout.write(f"{reason}\n")
    config, absent = weights_for_labels(config, data.presence_counts())
    if absent:
        sys.stdout.write(f"no labels in the data for the loss terms: {', '.join(absent)}\n")
    return config


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _print_outcome(status: str, reason: str | None, metrics: dict[str, float]) -> None:
    from smil_ray.training.validation.mean_pose import verdict

    sys.stdout.write(f"{status}{f' ({reason})' if reason else ''}\n")
    for name, value in sorted(metrics.items()):
        if name.startswith("val/"):
            sys.stdout.write(f"  {name:32s} {value:.4g}\n")
    said = verdict(metrics)
    if said:
        sys.stdout.write(f"{said}\n")


if __name__ == "__main__":
    sys.exit(main())
