"""What a trial asks of the cluster and how many run at once, so that none waits for ever."""

import math
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from smil_ray.config import Config
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError

TRIAL_SLOT = "trial_slot"
"""Resource of trials that only launch other processes (`ray start --resources`)."""
LAUNCHER_CPU = 0.01
"""CPU share of a launching trial where the cluster has no trial slots."""


@dataclass(frozen=True)
class TrialPlan:
    """How trials run.

    Attributes:
        execution: `inline`: in the trial's process; `ray_train`: as a Ray Train run.
        resources: What Tune reserves for a trial.
        concurrent: How many trials run at once; see `replanned`.
        run: Settings of `run` that the trials get, to use just what is reserved for them.
        devices: GPUs of a trial, or its CPU cores where it has none.
        pack: How many trials may share a process.
        need: What a trial uses in all, e.g. `{"CPU": 1.0, "GPU": 1.0}`.
    """

    execution: Literal["inline", "ray_train"]
    resources: dict[str, float]
    concurrent: int
    run: dict[str, Any]
    devices: float
    pack: int = 1
    need: dict[str, float] = field(default_factory=dict)


def choose_execution(sweep: SweepConfig, base: Config) -> Literal["inline", "ray_train"]:
    """Return how trials run: `auto` is inline unless a trial needs several workers or GPUs.

    An inline trial has no start-up of workers (about 15 s); both ways give the same numbers.
    """
    if sweep.execution != "auto":
        return sweep.execution
    is_large = base.run.num_workers > 1 or sweep.gpus_per_trial > 1
    return "ray_train" if is_large else "inline"


def plan_trials(sweep: SweepConfig, base: Config, cluster: dict[str, float]) -> TrialPlan:
    """Return what each trial reserves and how many of them fit into the cluster at once.

    Args:
        sweep: The search; `gpus_per_trial` left out means one GPU where there are some.
        base: The configuration that trials vary.
        cluster: Total resources, e.g. `{"CPU": 8.0, "GPU": 1.0}`.

    Raises:
        ConfigError: Not even one trial fits.
    """
    execution = choose_execution(sweep, base)
    gpus = _gpus_per_trial(sweep, base, cluster)
    if execution == "inline":
        need = {"CPU": sweep.cpus_per_trial, "GPU": gpus}
        resources = need
        run = {
            "cpus_per_worker": sweep.cpus_per_trial,
            "use_gpu": "yes" if gpus else "no",
            "num_workers": 1,
        }
    else:
        need = {"CPU": base.run.num_workers * base.run.cpus_per_worker, "GPU": gpus}
        run = {"use_gpu": "yes" if gpus else "no"}
        resources = {TRIAL_SLOT: 1.0}
        if not cluster.get(TRIAL_SLOT):
            # A trial without any resource is refused by Tune; counted, it cannot starve workers.
            resources = {"CPU": LAUNCHER_CPU}
            need["CPU"] += LAUNCHER_CPU
    concurrent = _fitting(need, cluster, sweep)
    resources = {name: amount for name, amount in resources.items() if amount > 0}
    return TrialPlan(execution, resources, concurrent, run, gpus or need["CPU"], need=need)


def replanned(plan: TrialPlan, sweep: SweepConfig, cluster: dict[str, float]) -> TrialPlan:
    """Return the plan for a cluster that has more machines now, or fewer: at least one trial."""
    try:
        return replace(plan, concurrent=_fitting(plan.need, cluster, sweep))
    except ConfigError:
        return replace(plan, concurrent=1)


def _gpus_per_trial(sweep: SweepConfig, base: Config, cluster: dict[str, float]) -> float:
    if base.run.use_gpu == "no":
        return 0.0
    if "gpus_per_trial" in sweep.model_fields_set:
        return sweep.gpus_per_trial
    return float(base.run.num_workers) if cluster.get("GPU", 0.0) >= base.run.num_workers else 0.0


def _fitting(need: dict[str, float], cluster: dict[str, float], sweep: SweepConfig) -> int:
    counts = []
    for name, amount in need.items():
        have = cluster.get(name, 0.0)
        if amount > have + 1e-6:
            raise ConfigError(
                f"sweep {sweep.name}: a trial needs {amount:g} {name}",
                expected=f"at most the {have:g} {name} of this Ray",
                remedy="lower cpus_per_trial, gpus_per_trial or num_workers, or give --address",
            )
        if amount > 0:
            counts.append(math.floor((have + 1e-6) / amount))
    most = min(counts)
    return min(most, sweep.max_concurrent_trials or most)
