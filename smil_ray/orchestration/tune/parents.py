"""Sweeps whose trials begin with the network of another run."""

import json

from smil_ray.config import Config
from smil_ray.config.reading import flatten
from smil_ray.config.sweep import SweepConfig
from smil_ray.training.warm_start import SETTING, with_network_of_parent


def settings_of_parent(sweep: SweepConfig, base: Config) -> list[str]:
    """Return overrides that give trials the network and body model of `train.init_from`.

    Of several runs that are searched over, the first one tells; a trial that begins with one of
    another network ends as failed, with a sentence. What the base or the space sets is kept.

    Raises:
        CheckpointError: That run has no readable checkpoint.
        ConfigError: The data were made with another body model.
    """
    searched = sweep.space.get(SETTING)
    named = [base.train.init_from, *(searched.choice or () if searched else ())]
    first = next((place for place in named if place is not None), None)
    if first is None:
        return []
    train = base.train.model_copy(update={"init_from": first})
    fitted = with_network_of_parent(base.model_copy(update={"train": train}))
    old, new = (
        flatten(each.model_dump(mode="json", include={"model", "body"})) for each in (base, fitted)
    )
    return [f"{key}={json.dumps(new[key])}" for key in new if new[key] != old.get(key)]
