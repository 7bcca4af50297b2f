"""The body model that a data file was made with, as the default of a run."""

from pathlib import Path

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import SHAPE_FAMILY, Config
from smil_ray.data.dataset import SmilDataset, names_its_body_model
from smil_ray.errors import ConfigError, ModelFileError


def with_body_model_of_data(config: Config) -> Config:
    """Return `config` with the body model that its data file was made with.

    A model that was written down anywhere is left alone: one that does not fit is an error when
    the data are opened. So is the default where the data are a folder or labels, which name none.

    Raises:
        ConfigError: The model is not where it was when the file was made, or has changed.
        DataError: The data cannot be read.
    """
    written = "body" in config.model_fields_set and "model" in config.body.model_fields_set
    files = [path for path in config.data.paths if names_its_body_model(path)]
    if written or not files:
        return config
    body = config.body.model_copy(update={"model": body_model_of(files[0])})
    return config.model_copy(update={"body": body})


def body_model_of(data: Path | str) -> str:
    """Return `builtin` or the model file that a data set was made with.

    Raises:
        ConfigError: The model is not where it was when the file was made, or has changed.
        DataError: The data cannot be read.
    """
    if not names_its_body_model(data):
        return SHAPE_FAMILY
    facts = SmilDataset.from_path(data).metadata
    place = str(facts["settings"].get("model", SHAPE_FAMILY))
    try:
        found = SmilModel.open(place)
    except ModelFileError as error:
        raise _lost(data, facts["model_name"], str(error)) from error
    if not found.matches(facts["model_hash"]):
        raise _lost(data, facts["model_name"], f"another model in {place}")
    return place


def _lost(data: Path | str, name: str, found: str) -> ConfigError:
    return ConfigError(
        f"{data} was made with the body model {name!r}",
        expected="the same one",
        found=found.rstrip("."),
        remedy="name its file (--set body.model=FILE, or --model FILE), or make the data again",
    )
