"""A sweep's space to trials: seeded, complete, checked before anything starts."""

from typing import Any

import pytest

from smil_ray.config.reading import sweep_from_dict
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.search.sampler import make_sampler
from smil_ray.orchestration.tune.search.space import (
    base_config,
    check_space,
    grace_epochs,
    grid_points,
    list_points,
    make_trial,
)

HEADS = {"choice": ["mlp", "transformer_decoder"]}
BACKBONES = {"choice": ["test_resnet", "test_vit", "mobilenetv3_small_100"]}
RATES = {"loguniform": [1e-4, 1e-2]}


def sweep(space: dict[str, Any], **settings: Any) -> SweepConfig:
    return sweep_from_dict({"space": space, **settings})


def points(search: SweepConfig) -> list[dict[str, float]]:
    return list_points(search, base_config(search))


def test_random_points_are_the_same_for_a_seed_and_others_for_another() -> None:
    space = {"model.head.type": HEADS, "optim.learning_rate": RATES}
    assert points(sweep(space, trials=6)) == points(sweep(space, trials=6))
    assert points(sweep(space, trials=6)) != points(sweep(space, trials=6, seed=1))


def test_more_trials_keep_the_first_ones() -> None:
    space = {"model.head.type": HEADS, "optim.learning_rate": RATES}
    assert points(sweep(space, trials=9))[:4] == points(sweep(space, trials=4))


def test_one_more_key_changes_no_draw_of_the_others() -> None:
    few = points(sweep({"optim.learning_rate": RATES}, trials=5))
    more = points(sweep({"model.head.type": HEADS, "optim.learning_rate": RATES}, trials=5))
    assert [p["optim.learning_rate"] for p in few] == [p["optim.learning_rate"] for p in more]


def test_random_choices_come_in_rounds_so_that_none_is_left_out() -> None:
    found = points(
        sweep({"model.backbone.name": BACKBONES, "optim.learning_rate": RATES}, trials=6)
    )
    drawn = [point["model.backbone.name"] for point in found]
    assert sorted(drawn[:3]) == sorted(drawn[3:]) == [0, 1, 2]


def test_random_range_stays_inside_its_bounds() -> None:
    found = points(sweep({"optim.learning_rate": {"loguniform": ["1e-4", "1e-2"]}}, trials=50))
    rates = [point["optim.learning_rate"] for point in found]
    assert min(rates) >= 1e-4
    assert max(rates) <= 1e-2
    assert sum(rate < 1e-3 for rate in rates) in range(15, 36)


def test_grid_takes_every_combination_once() -> None:
    search = sweep({"model.head.type": HEADS, "model.backbone.name": BACKBONES}, search="grid")
    found = points(search)
    assert len(found) == 6
    assert len({tuple(sorted(point.items())) for point in found}) == 6


def test_grid_refuses_a_range_and_says_what_to_do() -> None:
    search = sweep({"optim.learning_rate": RATES}, search="grid")
    with pytest.raises(ConfigError, match=r"optim.learning_rate.*search: random"):
        list(grid_points(search, base_config(search)))


def test_condition_leaves_a_key_out_where_it_does_not_hold() -> None:
    space = {
        "model.head.iterations": {
            "choice": [1, 3],
            "when": {"model.head.type": ["x", "transformer_decoder"]},
        },
        "model.head.type": HEADS,
    }
    found = points(sweep(space, search="grid"))
    assert len(found) == 3
    for point in found:
        assert ("model.head.iterations" in point) == (point["model.head.type"] == 1)


def test_conditions_that_wait_for_each_other_are_refused() -> None:
    space = {
        "model.head.type": {**HEADS, "when": {"model.backbone.name": "test_vit"}},
        "model.backbone.name": {**BACKBONES, "when": {"model.head.type": "mlp"}},
    }
    with pytest.raises(ConfigError, match="wait for each other"):
        points(sweep(space))


def test_trial_has_labels_values_and_a_digest_of_its_work() -> None:
    space = {
        "loss.stages": {
            "choice": [[], [{"epoch": 2, "weights": {"keypoint_3d": 3}}]],
            "labels": ["constant", "late"],
        }
    }
    search = sweep(space, search="grid")
    base = base_config(search)
    first, second = (make_trial(search, base, point, i) for i, point in enumerate(points(search)))
    assert (first.labels, second.labels) == ({"loss.stages": "constant"}, {"loss.stages": "late"})
    assert second.values["loss.stages"] == [{"epoch": 2, "weights": {"keypoint_3d": 3.0}}]
    assert first.digest != second.digest
    elsewhere = base_config(search, ["run.output_dir=other"])
    assert make_trial(search, elsewhere, points(search)[0], 0).digest == first.digest


def test_repeats_differ_in_their_seed_only() -> None:
    search = sweep({"model.head.type": HEADS}, repeats=2)
    base = base_config(search, ["train.seed=5"])
    trials = [make_trial(search, base, {"model.head.type": 0}, 3, repeat) for repeat in (0, 1)]
    assert [trial.name for trial in trials] == ["trial_003_r0", "trial_003_r1"]
    assert [trial.config["train"]["seed"] for trial in trials] == [5, 6]


@pytest.mark.parametrize("search", ["random", "grid", "optuna"])
def test_invalid_choice_is_refused_before_anything_starts(search: str) -> None:
    bad = sweep({"model.head.type": {"choice": ["mlp", "no_such_head"]}}, search=search)
    with pytest.raises(ConfigError, match="no_such_head"):
        check_space(bad, base_config(bad))


def test_unknown_key_meets_its_neighbour() -> None:
    with pytest.raises(ConfigError, match=r"optim.learning_rate"):
        sweep({"optim.learning_rat": RATES})


LATE = {"loss.stages": {"choice": [[], [{"epoch": 7, "weights": {"keypoint_3d": 3}}]]}}


@pytest.mark.parametrize(("given", "grace"), [(None, 8), (7, 7), (9, 9)])
def test_grace_waits_for_the_last_curriculum_stage(given: int | None, grace: int) -> None:
    search = sweep(LATE, scheduler={"type": "asha", "grace_epochs": given})
    assert grace_epochs(search, base_config(search)) == grace


def test_grace_before_the_last_stage_is_refused_unless_insisted() -> None:
    early = {"type": "asha", "grace_epochs": 3}
    with pytest.raises(ConfigError, match=r"at least 7.*found 3.*allow_early_grace"):
        grace_epochs(sweep(LATE, scheduler=early), base_config(sweep(LATE)))
    insisted = sweep(LATE, scheduler={**early, "allow_early_grace": True})
    assert grace_epochs(insisted, base_config(insisted)) == 3


def test_optuna_learns_where_the_metric_is_good() -> None:
    search = sweep(
        {"optim.learning_rate": RATES, "model.head.type": HEADS}, search="optuna", trials=40
    )
    sampler = make_sampler(search, base_config(search))
    late = []
    for index in range(40):
        point = sampler.ask(index)
        assert point is not None
        value = abs(point["optim.learning_rate"] - 1e-3) + 0.01 * point["model.head.type"]
        sampler.tell(index, point, [value] if index % 7 else None)
        late += [value] if index >= 10 else []
    assert sampler.ask(40) is None
    # By chance half of them would have the head that costs 0.01.
    assert sum(value < 0.01 for value in late) >= 20


def test_optuna_takes_results_of_an_interrupted_sweep() -> None:
    search = sweep({"optim.learning_rate": RATES, "model.head.type": HEADS}, search="optuna")
    base = base_config(search)
    first = make_sampler(search, base)
    known = [first.ask(index) for index in range(3)]
    second = make_sampler(search, base)
    for index, point in enumerate(known):
        assert point is not None
        second.tell(index, point, [float(index)])
    assert second.ask(3) not in known
