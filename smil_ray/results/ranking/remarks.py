"""Is the winner of a sweep the best network in all that matters? In words, for people.

A ranking follows one metric. Whether the trial that it puts first is also the best by PA-MPJPE and
by joint rotation, and whether any trial beats the mean pose, is said beside it.
"""

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from smil_ray.results.evaluation.captions import SHOWN, digits, is_better
from smil_ray.results.ranking.bootstrap import paired_difference
from smil_ray.results.ranking.leaderboard import Leaderboard, RankedConfig, best_record
from smil_ray.results.ranking.records import is_number
from smil_ray.results.ranking.sample_errors import SampleErrors, groups_of, mean_of_repeats

JUDGED = {"val/pa_mpjpe_pct_bl": "PA-MPJPE", "val/rot_deg_joint": "joint rotation"}
PARTS = {
    "val/pose_score": ("val/mpjpe_ra_pct_bl", "val/pa_mpjpe_pct_bl"),
}
"""What a ranking's metric is made of."""
RATIO = "val/pa_mpjpe_of_mean_pose"


def winner_remarks(board: Leaderboard, folder: Path | None = None) -> list[str]:
    """Return sentences about the winner and about the mean pose; none without a ranked trial.

    Args:
        board: The ranking; its trials know the figures of the epochs that were kept.
        folder: The sweep's; where trials have errors of single samples in it, differences get
            their intervals.
    """
    ranked = board.ranked
    if not ranked:
        return []
    return [*_mean_pose_remarks(board, ranked), *_best_remarks(board, ranked, folder)]


def mean_figure(config: RankedConfig, figure: str) -> float | None:
    """Return the mean of a figure over the repeats of a configuration, None if one lacks it."""
    values = [record.value(figure) for record in config.records]
    known = [value for value in values if value is not None and is_number(value)]
    return statistics.fmean(known) if known and len(known) == len(values) else None


def _known(ranked: Sequence[RankedConfig], figure: str) -> list[tuple[RankedConfig, float]]:
    pairs = [(config, mean_figure(config, figure)) for config in ranked]
    return [(config, value) for config, value in pairs if value is not None]


def _mean_pose_remarks(board: Leaderboard, ranked: Sequence[RankedConfig]) -> list[str]:
    """Say so where nobody, or not the winner, beats the mean pose in PA-MPJPE."""
    known = _known(ranked, RATIO)
    if not known:
        return []
    best, ratio = min(known, key=lambda pair: pair[1])
    if ratio >= 1.0:
        return [
            "No trial beats the mean pose in PA-MPJPE on the validation samples: the lowest, of "
            f"{_name(board, best)}, is {digits(ratio)} times the mean pose's. Networks that only "
            "place and turn the animal are ranked here. Train longer, on more samples, or from "
            "pretrained weights."
        ]
    winner = mean_figure(ranked[0], RATIO)
    if winner is not None and winner >= 1.0:
        return [
            f"The winner {_name(board, ranked[0])} does not beat the mean pose in PA-MPJPE "
            f"({digits(winner)} times its error); {_name(board, best)} does ({digits(ratio)})."
        ]
    return []


def _best_remarks(
    board: Leaderboard, ranked: Sequence[RankedConfig], folder: Path | None
) -> list[str]:
    winner, said, agreed = ranked[0], [], []
    for figure, name in JUDGED.items():
        known = _known(ranked, figure)
        own = mean_figure(winner, figure)
        if own is None or len(known) < 2:
            continue
        best, value = min(known, key=lambda pair: pair[1])
        if best is winner or not is_better(figure, value, own):
            agreed.append(name)
            continue
        unit = SHOWN[figure.removeprefix("val/")].partition("[")[2].rstrip("]")
        said.append(
            f"By {name} not the winner {_name(board, winner)} but {_name(board, best)} is best: "
            f"{digits(value)} against {digits(own)} {unit}"
            f"{_chance(winner, best, figure, folder)}. {_why(board, winner, best, figure)}"
        )
    if agreed:
        name, best_by = _name(board, winner), " and by ".join(agreed)
        said.insert(0, f"The winner {name} is the best of its trials by {best_by}.")
    return said


def _why(board: Leaderboard, winner: RankedConfig, best: RankedConfig, figure: str) -> str:
    """Return why the ranking's metric prefers the winner."""
    metric = board.metric.removeprefix("val/")
    text = f"The ranking is by {metric}, {digits(winner.metric)} against {digits(best.metric)}"
    for part in PARTS.get(board.metric, ()):
        own, other = mean_figure(winner, part), mean_figure(best, part)
        if part != figure and own is not None and other is not None and own < other:
            caption = SHOWN[part.removeprefix("val/")].partition(" [")[0]
            text += f": the winner is ahead in {caption}, {digits(own)} against {digits(other)}"
            break
    return text + "."


def _chance(winner: RankedConfig, best: RankedConfig, figure: str, folder: Path | None) -> str:
    """Return the interval of the difference on the same samples, if those are known."""
    if folder is None:
        return ""
    runs = [[SampleErrors.load(folder / r.folder) for r in c.records] for c in (best, winner)]
    errors: list[Mapping[str, float]] = [mean_of_repeats(each, figure) for each in runs]
    groups = groups_of([run for each in runs for run in each])
    found = paired_difference(*errors, groups=groups)
    if found is None:
        return ""
    known = "more than chance" if found.excludes_zero else "which may be chance"
    return (
        f" (difference {digits(found.mean)} [{digits(found.low)}, {digits(found.high)}] on "
        f"{found.n} validation samples, {known})"
    )


def _name(board: Leaderboard, config: RankedConfig) -> str:
    """Return the name that tables show: that of the best repeat."""
    return best_record(config.records, board.mode).name
