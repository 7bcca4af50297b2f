"""`smil-ray compare`: which run is best by any validation metric, and how sure that is."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from smil_ray.cli.arguments import Commands, add_command, count

if TYPE_CHECKING:
    from smil_ray.results.ranking.comparison import ComparedRun
    from smil_ray.results.ranking.leaderboard import Leaderboard
    from smil_ray.results.ranking.records import TrialStatus
    from smil_ray.tracking.tracker_runs import TrackedRun

STATUSES: dict[str, "TrialStatus"] = {
    "FINISHED": "finished",
    "FAILED": "failed",
    "KILLED": "stopped",
}
"""MLflow's word for how a run ended -> ours."""
COMPARED = 10
"""So many configurations at most are compared sample by sample."""


def add_commands(commands: Commands) -> None:
    """Add the command of this module."""
    compare = add_command(
        commands,
        "compare",
        _compare,
        "Rank runs by any validation metric: table here, and report.html.",
        "smil-ray compare runs/tune_heads-20261122-101500 --metric pck@0.10_bbox",
    )
    compare.add_argument(
        "what",
        metavar="SWEEP|EXPERIMENT",
        help="a sweep's folder, a folder of runs, or the name of an MLflow experiment",
    )
    compare.add_argument("--metric", help="e.g. val/pa_mpjpe_pct_bl (default: the runs' own)")
    compare.add_argument(
        "--out",
        type=Path,
        help="the page (default: report.html in the folder, in this folder for an experiment)",
    )
    compare.add_argument("--uri", help="MLflow (default: MLFLOW_TRACKING_URI, or mlflow.db here)")
    compare.add_argument("--top", type=count, help="rows of the table (default: all)")
    compare.add_argument(
        "--no-samples",
        action="store_true",
        help="compute no errors of single samples where they are missing (no intervals then)",
    )


def _compare(arguments: argparse.Namespace) -> int:
    from smil_ray.orchestration.tune.board import is_sweep, read_board
    from smil_ray.results.ranking.comparison import board_of, by_metric
    from smil_ray.results.ranking.table import ranking_table
    from smil_ray.results.report.page import REPORT_FILE, write_report

    folder, console = Path(arguments.what), Console()
    with tempfile.TemporaryDirectory(prefix="smil_ray_compare_") as place:
        if is_sweep(folder):
            board = read_board(folder)
            if arguments.metric is not None:
                board = by_metric(board, folder, arguments.metric)
        else:
            runs = _shortened(_runs(arguments.what, arguments.uri, Path(place)))
            board = board_of(folder.name, runs, arguments.metric)
        if not arguments.no_samples:
            _measure(board, folder, console)
        console.print(ranking_table(board, arguments.top, width=console.width))
        out = arguments.out or (folder if folder.is_dir() else Path()) / REPORT_FILE
        write_report(folder, board=board, path=out)
    console.print(f"report: {out}", soft_wrap=True, highlight=False, markup=False)
    return 0 if board.ranked else 1


def _runs(what: str, uri: str | None, place: Path) -> "list[ComparedRun]":
    """Return the runs below a folder, or those of an experiment with this name."""
    from smil_ray.config import TrackingConfig
    from smil_ray.tracking.tracker import Tracker
    from smil_ray.tracking.tracker_runs import fetch_run, find_runs

    if Path(what).is_dir():
        return _runs_on_disk(Path(what))
    tracker = Tracker.from_config(TrackingConfig(uri=uri, experiment=what))
    return [
        _compared(run, run.folder or fetch_run(tracker, run.run_id, place))
        for run in find_runs(tracker)
        if run.kind != "sweep"
    ]


def _shortened(runs: "list[ComparedRun]") -> "list[ComparedRun]":
    """Return the runs without the sweep's name, where all are of one sweep."""
    sweeps = {run.name.rpartition("/")[0] for run in runs}
    if len(sweeps) > 1:
        return runs
    return [replace(run, name=run.name.rpartition("/")[2]) for run in runs]


def _runs_on_disk(folder: Path) -> "list[ComparedRun]":
    from smil_ray.errors import ConfigError
    from smil_ray.results.ranking.comparison import ComparedRun
    from smil_ray.tracking.run_dir import RunDir
    from smil_ray.tracking.sync.run import read_status

    found = []
    for path in sorted(folder.rglob("run.json")):
        run = RunDir.open(path.parent)
        if run.facts().get("kind") == "sweep":
            continue
        status, reason = read_status(run.path, "KILLED")
        state = "running" if run.is_in_use() else STATUSES[status]
        name = str(path.parent.relative_to(folder))
        name = folder.resolve().name if name == "." else name.replace("/trials/", "/")
        found.append(ComparedRun(name, run.path, state, reason))
    if not found:
        raise ConfigError(f"{folder} holds no run", expected="a sweep, or folders with run.json")
    return found


def _compared(run: "TrackedRun", folder: Path) -> "ComparedRun":
    from smil_ray.results.ranking.comparison import ComparedRun

    return ComparedRun(run.name, folder, STATUSES.get(run.status, "running"), run.reason)


def _measure(board: "Leaderboard", folder: Path, console: Console) -> None:
    """Compute the errors of single samples of the best runs where nobody has done it yet."""
    from smil_ray.errors import SmilRayError
    from smil_ray.results.ranking.sample_errors import SampleErrors
    from smil_ray.results.report.winner import measure_samples

    for config in board.ranked[:COMPARED]:
        for record in config.records:
            run = folder / record.folder
            if board.metric in SampleErrors.load(run).metrics:
                continue
            try:
                with _says(console, f"{record.name}: errors of single samples"):
                    measure_samples(run).save(run)
            except (SmilRayError, OSError) as error:
                console.print(f"no intervals for {record.name}: {error}", markup=False)


@contextmanager
def _says(console: Console, what: str) -> Iterator[None]:
    with console.status(what):
        yield
