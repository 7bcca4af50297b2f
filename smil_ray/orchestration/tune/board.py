"""The leaderboard of a sweep from its folder, also while it runs or after it was killed."""

from pathlib import Path

from smil_ray.config.reading import load_config, read_yaml
from smil_ray.config.sweep import SWEEP_FILE
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.journal import JOURNAL_FILE, Journal
from smil_ray.results.ranking.leaderboard import LEADERBOARD_FILE, Leaderboard
from smil_ray.results.ranking.pareto import Objective


def is_sweep(folder: Path) -> bool:
    """Return whether `folder` is a sweep's."""
    return any((folder / name).is_file() for name in (LEADERBOARD_FILE, JOURNAL_FILE, SWEEP_FILE))


def read_board(folder: Path) -> Leaderboard:
    """Return the leaderboard of a sweep, or what its journal says while there is none.

    Raises:
        ConfigError: No trial has started yet.
        DataError: The leaderboard or the journal is damaged.
    """
    if (folder / LEADERBOARD_FILE).is_file():
        return Leaderboard.load(folder)
    records = Journal(folder, mend=False).records()
    if not records:
        raise ConfigError(f"No trial of the sweep {folder} has started yet")
    train = load_config(folder / "config.yaml").train
    sweep = read_yaml(folder / SWEEP_FILE)
    return Leaderboard(
        sweep=str(sweep.get("name", folder.name)),
        metric=train.select_metric,
        mode=train.select_mode,
        trials=tuple(sorted(records.values(), key=lambda r: (r.level, r.index, r.repeat))),
        interrupted=True,
        objectives=tuple(Objective(**goal) for goal in sweep.get("objectives", ())),
    )
