"""Runs that begin with the network of another run, on other data or with other settings.

The parent gives the weights, the means that the network's outputs start from, and the body model.
Learning rates, losses, data and what is frozen are the new run's own; its optimiser begins anew.
"""

from pathlib import Path

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import SHAPE_FAMILY, BodyConfig, Config, ModelConfig
from smil_ray.config.reading import flatten, load_config, merge
from smil_ray.data.dataset import SmilDataset, names_its_body_model
from smil_ray.errors import ConfigError
from smil_ray.losses.prior import ParameterPrior
from smil_ray.storage.node_cache import local_place
from smil_ray.training.checkpoint.files import CONFIG, Checkpoint, load_checkpoint, read_meta
from smil_ray.training.checkpoint.inputs import kept_body_model, kept_prior
from smil_ray.training.checkpoint.loading import find_checkpoint
from smil_ray.training.parts import Parent

SETTING = "train.init_from"
OWN_SETTINGS = (
    "backbone.weights",
    "backbone.freeze",
    "backbone.learning_rate_factor",
    "head.dropout",
)
"""Settings of the network that may differ from the parent's: the same weights fit."""


def with_network_of_parent(config: Config) -> Config:
    """Return `config` with the parent's network and body model where it does not set its own.

    Settings of the network that were written down are kept; those that do not fit the parent's
    weights are refused by `start_checkpoint`. Without `train.init_from` nothing changes.

    Raises:
        CheckpointError: The parent has no readable checkpoint.
        ConfigError: The data were made with another body model.
    """
    if config.train.init_from is None:
        return config
    checkpoint = find_checkpoint(config.train.init_from).absolute()
    parent = load_config(checkpoint / CONFIG)
    written = config.model_dump(mode="json", exclude_unset=True)
    model = merge(parent.model.model_dump(mode="json"), written.get("model", {}))
    # The weights are in the parent's checkpoint.
    model = merge(model, {"backbone": {"weights": "none"}})
    place = _body_model(checkpoint, parent)
    body = {**parent.body.model_dump(mode="json"), "model": place, **written.get("body", {})}
    if "model" not in written.get("body", {}):
        for path in config.data.paths:
            _check_data(path, place)
    return config.model_copy(
        update={
            "model": ModelConfig.model_validate(model),
            "body": BodyConfig.model_validate(body),
            "train": config.train.model_copy(update={"init_from": str(checkpoint)}),
        }
    )


def start_checkpoint(config: Config, model: SmilModel) -> Checkpoint | None:
    """Return the parent's checkpoint, without its training state; None without a parent.

    Raises:
        CheckpointError: It is missing or damaged.
        ConfigError: Its network or body model is another one.
    """
    if config.train.init_from is None:
        return None
    found = load_checkpoint(find_checkpoint(config.train.init_from).absolute(), with_state=False)
    if not model.matches(found.meta["model_hash"]):
        raise ConfigError(
            f"{SETTING} {config.train.init_from}: the network predicts another body model",
            expected=found.meta["model_name"],
            found=model.name,
            remedy="leave body.model out, or train a new network for this model",
        )
    _check_network(config, load_config(found.path / CONFIG))
    return found


def inherited_prior(start: Checkpoint | None) -> ParameterPrior | None:
    """Return what poses and shapes are likely by the run that `start` lies in; None without one.

    A run keeps at its begin what it takes over, so that its parent is not needed any more.
    """
    return None if start is None else kept_prior(start.path.parents[1])


def parent_of(start: Checkpoint) -> Parent:
    """Return what is recorded of the run that another one begins from."""
    return Parent(
        checkpoint=start.path,
        step=start.meta["step"],
        metrics={k: v for k, v in start.meta["metrics"].items() if k.startswith("val/")},
        weights_sha256=start.meta["sha256"]["model.safetensors"],
    )


def _check_network(config: Config, parent: Config) -> None:
    old, new = (flatten(each.model.model_dump(mode="json")) for each in (parent, config))
    # Freezing is one setting, whether a word or a group.
    keys = (key for key in sorted({*old, *new}) if not key.startswith(OWN_SETTINGS))
    different = [key for key in keys if old.get(key) != new.get(key)]
    if different:
        key = different[0]
        more = f" (and {len(different) - 1} more)" if len(different) > 1 else ""
        raise ConfigError(
            f"{SETTING} {config.train.init_from}: model.{key}{more} is not the parent's",
            expected=old.get(key),
            found=new.get(key),
            remedy=f"leave model.{key} out, or begin without {SETTING}",
        )


def _body_model(checkpoint: Path, parent: Config) -> str:
    """Return `builtin`, or the file that the parent keeps or names."""
    if SmilModel.builtin().matches(read_meta(checkpoint)["model_hash"]):
        return SHAPE_FAMILY
    return str(kept_body_model(checkpoint.parents[1]) or parent.body.model)


def _check_data(path: str, place: str) -> None:
    """Refuse a data file that says it was made with another body model than the one in `place`."""
    if not local_place(path).is_file() or not names_its_body_model(path):
        return
    facts = SmilDataset.from_path(path).metadata
    model = SmilModel.open(place)
    if "model" in facts["settings"] and not model.matches(facts["model_hash"]):
        raise ConfigError(
            f"{path} was made with another body model than the network of {SETTING}",
            expected=model.name,
            found=facts["model_name"],
            remedy="make the data with the parent's model, or name it with body.model",
        )
