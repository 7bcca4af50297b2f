"""Everything about a sweep that is checked before a trial starts."""

from smil_ray.config import Config
from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.tune.schedulers.halving import check_levels
from smil_ray.orchestration.tune.schedulers.population import check_population
from smil_ray.orchestration.tune.search.space import check_space, grace_epochs


def check_sweep(sweep: SweepConfig, base: Config) -> None:
    """Refuse a sweep that contradicts itself or that can give an invalid trial.

    Raises:
        ConfigError: What is wrong, in one sentence.
    """
    if sweep.search == "pbt":
        check_population(sweep, base)
    if sweep.scheduler.type == "halving":
        check_levels(sweep, base)
    check_space(sweep, base)
    grace_epochs(sweep, base)
