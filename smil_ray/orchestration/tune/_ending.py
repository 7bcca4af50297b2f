"""What a person reads when a sweep ends: ranking, figures of the winner, where everything is."""

import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from smil_ray.storage.mirror import address_of

if TYPE_CHECKING:
    from smil_ray.orchestration.tune.job import SweepOutcome


def print_outcome(outcome: "SweepOutcome", console: Console) -> None:
    """Print the ranking, how good the winner is, where everything is and what to do next."""
    from smil_ray.results.ranking.table import ranking_table

    console.print()
    table = Console()
    table.print(ranking_table(outcome.leaderboard, width=table.width))
    if outcome.final is not None and outcome.final.metrics:
        _print_held_out(outcome.final.metrics, outcome.leaderboard.metric, table)
    place = address_of(outcome.folder) or str(outcome.folder)
    lines = {"sweep folder": place}
    report = outcome.folder / "report.html"
    if report.is_file():
        lines["report"] = str(report)
    if outcome.best is None:
        lines["no winner"] = "every trial failed; the reasons are in the table"
    elif outcome.final is not None:
        lines["winner"] = str(outcome.final.folder)
        winner = shlex.quote(str(outcome.final.folder))
        lines["predict"] = f"smil-ray predict {winner} IMAGE... --out predictions"
    resume = f"--resume {shlex.quote(place)}"
    if outcome.is_over_budget:
        lines["go on"] = f"{resume} with a larger --max-hours or --max-gpu-hours"
    if outcome.leaderboard.interrupted:
        lines["interrupted"] = f"go on with {resume}"
    if outcome.ui_command is not None:
        lines["compare"] = outcome.ui_command
    for name, value in lines.items():
        console.print(escape(f"{name + ':':14s}{value}"))


def _print_held_out(found: Mapping[str, Any], metric: str, console: Console) -> None:
    """Print the winner's figures beside the baselines', and whether it has learnt anything."""
    from smil_ray.results.evaluate import print_evaluation
    from smil_ray.results.evaluation.record import Evaluation

    evaluation = Evaluation.from_record(found)
    print_evaluation(evaluation, console)
    figure = metric.rpartition("/")[2]
    if not evaluation.is_better(figure):
        console.print(
            f"The winner is no better than the mean pose by {figure}: trainings are too short, or "
            "samples too few, to tell configurations apart. Try more epochs "
            "(--set train.epochs=N --final-epochs N) or more data.",
            style="bold",
        )
