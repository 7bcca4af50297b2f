"""What the `experiments/tune_*.py` scripts share: arguments, embedded data, the end of a sweep."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from smil_ray.config import Config
from smil_ray.config.addresses import absolute_place, remote_address
from smil_ray.config.reading import read_yaml, sweep_from_dict
from smil_ray.config.sweep import SWEEP_FILE, SweepConfig
from smil_ray.errors import ConfigError, SmilRayError
from smil_ray.orchestration.tune._ending import print_outcome

LATEST = Path("latest")
EMBEDDED_SIZE = 128
"""Edge in pixels of the embedded pictures, and what networks see of them: enough to learn from."""


def tune_main(
    description: str | None, config: Path, argv: Sequence[str] | None = None, *, samples: int = 400
) -> int:
    """Run a sweep from the command line; return the exit code.

    Args:
        description: The script's docstring: question, command, time, expectation.
        config: The YAML file of the search space.
        argv: Arguments; None takes the command line's.
        samples: Size of the embedded data set that is used without `--data`.
    """
    arguments = _parser(description, config, samples).parse_args(argv)
    try:
        return _tune(arguments)
    except SmilRayError as error:
        sys.stderr.write(f"{Path(sys.argv[0]).name}: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; go on with --resume\n")
        return 130


def _parser(description: str | None, config: Path, samples: int) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="HDF5 file, also s3:// or gs://; default: embedded data")
    add(
        "--config",
        type=Path,
        default=config,
        help=f"the search, see docs/search.md (default: {config.name})",
    )
    add("--set", action="append", default=[], metavar="A.B=C", help="setting of every trial")
    add(
        "--trials",
        "--max-trials",
        type=int,
        metavar="N",
        help="number of configurations; of a grid, the first N",
    )
    add(
        "--max-hours",
        type=float,
        metavar="H",
        help="hours that the search may take, earlier sessions included; then no trial begins, "
        "running ones end at their next epoch, and the winner so far is still trained "
        "(--final-epochs 0: not); --resume with more hours goes on with all of them",
    )
    add(
        "--max-gpu-hours",
        type=float,
        metavar="H",
        help="the same for the device hours of all trials: GPUs, or CPU cores without one",
    )
    add("--execution", choices=("auto", "inline", "ray_train"), help="how trials run")
    add(
        "--final-epochs",
        type=int,
        metavar="N",
        help="epochs of the winner's last training; 0: it stays as its trial left it",
    )
    add(
        "--address",
        metavar="local|auto|HOST:PORT",
        help="Ray cluster (default: what RAY_ADDRESS names, else a Ray for this sweep alone)",
    )
    add(
        "--output",
        "--storage",
        type=Path,
        default=Path("runs"),
        help="where the sweep's folder is made: a folder that all machines see, or s3:// or gs://",
    )
    add(
        "--resume",
        type=Path,
        nargs="?",
        const=LATEST,
        metavar="SWEEP",
        help="go on with an interrupted sweep; without a folder, with the newest one",
    )
    add(
        "--repair-journal",
        action="store_true",
        help="with --resume: set damaged lines of the sweep's journal aside and go on with the "
        "others; trials whose start is lost are run again",
    )
    add("--samples", type=int, default=samples, help="size of the embedded data set")
    return parser


def _tune(arguments: argparse.Namespace) -> int:
    # Imported late, so that --help and a misspelled setting answer at once.
    console = Console(soft_wrap=True)
    from smil_ray.orchestration.tune.checks import check_sweep
    from smil_ray.orchestration.tune.search.space import base_config

    resume = _resumed(arguments)
    if arguments.repair_journal:
        _repair_journal(resume, console)
    sweep = read_sweep(arguments, resume)
    base = base_config(sweep, arguments.set)
    check_sweep(sweep, base)
    from smil_ray.orchestration.cluster import start_ray
    from smil_ray.orchestration.tune.job import SLOTS, TRIAL_SLOT, SweepHooks, run_sweep
    from smil_ray.orchestration.tune.parents import settings_of_parent
    from smil_ray.results.report.page import write_report
    from smil_ray.results.report.winner import evaluate_winner, measure_samples

    with start_ray(arguments.address, resources={TRIAL_SLOT: SLOTS}, dashboard=True):
        data = arguments.data or base.data.path
        embedded: list[str] = []
        if data is None and not base.data.sources:
            if remote_address(arguments.output) is not None:
                raise ConfigError("--data is missing", remedy="name a file in the object store")
            data = embedded_data(arguments.output, arguments.samples, console)
            embedded.append(f"model.backbone.input_size={EMBEDDED_SIZE}")
        parents = settings_of_parent(sweep, base)
        base = base_config(sweep, [*parents, *arguments.set])
        outcome = run_sweep(
            sweep,
            [*embedded, *parents, *arguments.set, *fitting_settings(base, data, console)],
            data=data,
            address=arguments.address,
            resume=resume,
            output_dir=arguments.output,
            hooks=SweepHooks(
                evaluate=evaluate_winner,
                sample_errors=measure_samples,
                report=write_report,
                notify=lambda line: console.print(escape(line)),
            ),
        )
    print_outcome(outcome, console)
    if outcome.leaderboard.interrupted:
        return 130
    return 0 if outcome.best is not None else 1


def _repair_journal(sweep: Path | None, console: Console) -> None:
    from smil_ray.orchestration.tune.journal import Journal
    from smil_ray.tracking.run_dir import RunDir

    if sweep is None:
        raise ConfigError("--repair-journal", remedy="say which sweep: --resume SWEEP")
    with RunDir.open(sweep).lock():
        problems = Journal(sweep).repair()
    for problem in problems:
        console.print(escape(f"journal, set aside: {problem}"))
    if not problems:
        console.print("journal: nothing is damaged")


def read_sweep(arguments: argparse.Namespace, resume: Path | None) -> SweepConfig:
    """Return the sweep of the YAML file, or of the one to resume, under the command line's."""
    path = arguments.config if resume is None else resume / SWEEP_FILE
    values = read_yaml(path)
    for key in ("trials", "execution", "final_epochs", "max_hours", "max_gpu_hours"):
        if getattr(arguments, key) is not None:
            values[key] = getattr(arguments, key)
    return sweep_from_dict(values, source=str(path))


def fitting_settings(base: Config, data: Path | str | None, console: Console) -> list[str]:
    """Return overrides that fit defaults to the data: its body model, no loss without labels.

    Args:
        base: What trials vary.
        data: The data set; None: the sources that `base` names.
        console: Where is said what was changed.
    """
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.losses.labels import metric_for_labels, weights_for_labels
    from smil_ray.training.assemble import open_data
    from smil_ray.training.data_body_model import with_body_model_of_data

    section = base.data.with_absolute_paths()
    if data is not None:
        section = base.data.model_copy(update={"path": absolute_place(data)})
    config = with_body_model_of_data(base.model_copy(update={"data": section}))
    overrides = []
    if config.body.model != base.body.model:
        console.print(f"body model of the data: {escape(config.body.model)}")
        overrides.append(f"body.model={json.dumps(config.body.model)}")
    dataset = open_data(config, SmilModel.open(config.body.model))
    config, reason = metric_for_labels(config, dataset.presence_counts())
    if reason:
        console.print(reason, highlight=False)
        overrides.append(f"train.select_metric={config.train.select_metric}")
        overrides.append(f"train.select_mode={config.train.select_mode}")
    config, absent = weights_for_labels(config, dataset.presence_counts())
    if absent:
        console.print(f"no labels in the data for the loss terms: {', '.join(absent)}")
        overrides.append(f"loss.base_weights={json.dumps(config.loss.base_weights)}")
    return overrides


def embedded_data(folder: Path, samples: int, console: Console) -> Path:
    """Return an HDF5 file of synthetic insects below `folder`, made if it is not there yet."""
    from smil_ray.config import CropConfig
    from smil_ray.data.synthetic.samples import EASY_VIEW, SynthOptions
    from smil_ray.orchestration.preprocess.job import preprocess
    from smil_ray.orchestration.preprocess.plan import PreprocessOptions
    from smil_ray.orchestration.synth import synthesize

    place = folder.absolute() / f"embedded_insects_{samples}"
    output = place / f"data_{EMBEDDED_SIZE}.h5"
    if output.is_file():
        console.print(f"data: {output} (made earlier)")
        return output
    console.print(f"data: {samples} synthetic insects in replicAnt's format -> {output}")
    pictures = place / "replicant"
    synthesize(pictures, SynthOptions(samples=samples, **EASY_VIEW))
    options = PreprocessOptions(size=EMBEDDED_SIZE, crop=CropConfig(mode="bbox"), resume=True)
    report = preprocess([pictures], output, options)
    console.print(f"data: {report.kept} samples kept, {sum(report.dropped.values())} left out")
    return output


def _resumed(arguments: argparse.Namespace) -> Path | None:
    """Return the folder of the sweep to go on with; the newest one if none is named."""
    from smil_ray.orchestration.tune.folder import local_sweep, newest_sweep

    if arguments.resume is None:
        return None
    if arguments.resume != LATEST:
        return local_sweep(arguments.resume)
    return newest_sweep(arguments.output, read_yaml(arguments.config).get("name", "sweep"))
