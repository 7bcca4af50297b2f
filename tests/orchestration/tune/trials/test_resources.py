"""What trials reserve: never more than there is, never so much that they wait for ever."""

from typing import Any

import pytest

from smil_ray.config.reading import sweep_from_dict
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.search.space import base_config
from smil_ray.orchestration.tune.trials.resources import TrialPlan, plan_trials, replanned

SPACE = {"model.head.type": {"choice": ["mlp"]}}


def make_sweep(**settings: Any) -> SweepConfig:
    return sweep_from_dict({"space": SPACE, **settings})


def plan(cluster: dict[str, float], *overrides: str, **settings: Any) -> TrialPlan:
    sweep = make_sweep(**settings)
    return plan_trials(sweep, base_config(sweep, overrides), cluster)


def test_inline_trials_fill_the_cpus() -> None:
    found = plan({"CPU": 5.0}, cpus_per_trial=2)
    assert (found.execution, found.resources, found.concurrent) == ("inline", {"CPU": 2.0}, 2)
    assert found.run == {"cpus_per_worker": 2.0, "use_gpu": "no", "num_workers": 1}


def test_gpu_is_taken_where_there_is_one() -> None:
    found = plan({"CPU": 8.0, "GPU": 1.0})
    assert found.resources == {"CPU": 1.0, "GPU": 1.0}
    assert (found.concurrent, found.devices, found.run["use_gpu"]) == (1, 1.0, "yes")


def test_gpu_may_be_shared_or_left_alone() -> None:
    assert plan({"CPU": 8.0, "GPU": 1.0}, gpus_per_trial=0.25).concurrent == 4
    assert plan({"CPU": 8.0, "GPU": 1.0}, "run.use_gpu=no").resources == {"CPU": 1.0}


def test_launching_trials_leave_the_cpus_to_their_workers() -> None:
    cluster = {"CPU": 2.0, "trial_slot": 1024.0}
    found = plan(cluster, execution="ray_train")
    assert (found.resources, found.concurrent) == ({"trial_slot": 1.0}, 2)


def test_launching_trials_without_slots_count_their_own_share() -> None:
    found = plan({"CPU": 2.0}, execution="ray_train")
    assert (found.resources, found.concurrent) == ({"CPU": 0.01}, 1)


def test_several_workers_mean_ray_train() -> None:
    assert plan({"CPU": 4.0, "trial_slot": 9.0}, "run.num_workers=2").execution == "ray_train"


def test_plan_follows_machines_that_come_and_go() -> None:
    sweep, alone = make_sweep(), plan({"CPU": 2.0})
    assert replanned(alone, sweep, {"CPU": 6.0}).concurrent == 6
    assert replanned(alone, sweep, {"CPU": 1.0}).concurrent == 1
    assert replanned(alone, sweep, {}).concurrent == 1
    limited = make_sweep(max_concurrent_trials=3)
    assert replanned(alone, limited, {"CPU": 6.0}).concurrent == 3


def test_limit_of_concurrent_trials_holds() -> None:
    assert plan({"CPU": 16.0}, max_concurrent_trials=3).concurrent == 3


def test_trial_that_never_fits_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"needs 4 CPU.*at most the 2 CPU"):
        plan({"CPU": 2.0}, cpus_per_trial=4)
