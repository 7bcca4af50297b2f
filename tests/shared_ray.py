"""One Ray for all test files that need no cluster of their own: starting one takes seconds."""

from contextlib import ExitStack

import ray

from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.tune.job import SLOTS
from smil_ray.orchestration.tune.trials.resources import TRIAL_SLOT

_OPEN = ExitStack()


def start() -> str:
    """Return the address of the shared Ray, which runs from now on."""
    if not ray.is_initialized():
        _OPEN.enter_context(start_ray("local", num_cpus=2, resources={TRIAL_SLOT: SLOTS}))
    return ray.get_runtime_context().gcs_address


def stop() -> None:
    """Stop the shared Ray, if it runs."""
    _OPEN.close()
