"""The search scripts: their search spaces are valid, a mistake is one sentence and exit code 2."""

import shlex
from pathlib import Path

import pytest
from rich.console import Console

from smil_ray.config.reading import read_yaml, sweep_from_dict
from smil_ray.orchestration.tune._ending import _print_held_out, print_outcome
from smil_ray.orchestration.tune._final import FinalRun
from smil_ray.orchestration.tune.checks import check_sweep
from smil_ray.orchestration.tune.command import (
    _parser,
    read_sweep,
    tune_main,
)
from smil_ray.orchestration.tune.job import SweepOutcome
from smil_ray.orchestration.tune.search.space import (
    base_config,
    check_space,
    grace_epochs,
    list_points,
)
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.results.ranking.records import TrialRecord

ROOT = Path(__file__).parents[3]
CONFIGS = sorted((ROOT / "experiments" / "configs").glob("tune_*.yaml"))
EXAMPLES = sorted((ROOT / "experiments" / "configs").glob("search_*.yaml"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_search_space_of_a_script_is_valid(path: Path) -> None:
    sweep = sweep_from_dict(read_yaml(path), source=path.name)
    base = base_config(sweep)
    check_space(sweep, base)
    assert grace_epochs(sweep, base) <= base.train.epochs
    assert sweep.name == path.stem
    assert (ROOT / "experiments" / f"{path.stem}.py").is_file()


def test_budgets_of_the_command_line_win_over_the_file() -> None:
    config = ROOT / "experiments" / "configs" / "tune_curriculum.yaml"
    given = ["--max-trials", "2", "--max-hours", "0.5", "--max-gpu-hours", "4"]
    arguments = _parser("doc", config, 9).parse_args([*given, "--final-epochs", "0"])
    sweep = read_sweep(arguments, None)
    assert (sweep.max_hours, sweep.max_gpu_hours, sweep.final_epochs) == (0.5, 4.0, 0)
    # Of a grid, the first ones.
    assert len(list_points(sweep, base_config(sweep))) == 2


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_of_a_search_is_valid(path: Path) -> None:
    sweep = sweep_from_dict(read_yaml(path), source=path.name)
    check_sweep(sweep, base_config(sweep))
    assert sweep.name == path.stem


def test_examples_show_each_kind_of_search() -> None:
    sweeps = [sweep_from_dict(read_yaml(path)) for path in EXAMPLES]
    assert {sweep.search for sweep in sweeps} >= {"pbt", "optuna", "random"}
    assert {sweep.scheduler.type for sweep in sweeps} >= {"median", "halving"}
    assert any(sweep.objectives and sweep.max_hours for sweep in sweeps)


def test_backbone_search_covers_what_it_says() -> None:
    sweep = sweep_from_dict(read_yaml(ROOT / "experiments" / "configs" / "tune_backbones.yaml"))
    points = list_points(sweep, base_config(sweep))
    for key in ("model.backbone.name", "model.head.type", "loss.stages"):
        drawn = {point[key] for point in points}
        assert drawn == set(range(len(sweep.space[key].choice or ())))
    assert len({point["optim.learning_rate"] for point in points}) == len(points)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "optim.learning_rat=1"], "optim.learning_rate"),
        (["--set", "train.select_metric=val/loss/total"], "must not be a loss"),
        (["--config", "no_such_file.yaml"], "no_such_file.yaml does not exist"),
        (["--trials", "0"], "trials"),
        (["--max-hours", "0"], "max_hours"),
        (["--max-gpu-hours", "-1"], "max_gpu_hours"),
        (["--resume", "--output", "no_such_folder"], "no sweep named tune_backbones"),
    ],
)
def test_mistake_is_one_sentence_and_exit_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ROOT / "experiments" / "configs" / "tune_backbones.yaml"
    assert tune_main("doc", config, arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_commands_at_the_end_of_a_search_are_quoted_for_the_shell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my sweeps" / "one"
    trials = (TrialRecord(name="trial_000", index=0, status="finished", metric=5.0),)
    board = Leaderboard("demo", "val/pa_mpjpe_pct_bl", "min", trials, interrupted=True)
    final = FinalRun(folder / "final", "trial_000", 5.0, {})
    outcome = SweepOutcome(folder, [*trials], trials[0], final, board, is_over_budget=True)
    print_outcome(outcome, Console(soft_wrap=True))
    said = dict(line.split(":", 1) for line in capsys.readouterr().out.splitlines() if ":" in line)
    assert shlex.split(said["predict"])[:3] == ["smil-ray", "predict", str(folder / "final")]
    for name in ("go on", "interrupted"):
        assert str(folder) in shlex.split(said[name])


@pytest.mark.parametrize(("error", "is_warned"), [(12.0, False), (30.0, True)])
def test_end_of_a_search_says_whether_its_winner_has_learnt_anything(
    error: float, is_warned: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {"network": {"mpjpe_ra_pct_bl": error}, "mean pose": {"mpjpe_ra_pct_bl": 25.0}}
    found = {"split": "test", "n_samples": 7, "figures": figures}
    _print_held_out(found, "val/mpjpe_ra_pct_bl", Console(width=200))
    said = capsys.readouterr().out
    assert "7 held-out samples" in said
    assert ("no better than the mean pose by mpjpe_ra_pct_bl" in said) is is_warned
