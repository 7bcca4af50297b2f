"""Networks by folder or address: the folder on this machine that one is read from."""

from pathlib import Path

from smil_ray.tracking.models.address import SCHEME, ModelAddress


def is_address(run: str | Path) -> bool:
    """Return whether this is an address and no folder."""
    return str(run).startswith(SCHEME)


def network_folder(run: str | Path) -> str | Path:
    """Return the folder of a network: what is no address stays as it is.

    An address is looked up at MLFLOW_TRACKING_URI, or `mlflow.db` in this folder. What lies on
    this machine is used where it lies; a server's model is fetched once and kept. Of a model only
    weights, body model and settings are read: none of the code that lies in it runs.

    Raises:
        ConfigError: The address is of no form that is known.
        TrackingError: MLflow is away, has no such model, or none of this package.
    """
    if not is_address(run):
        return run
    from smil_ray.tracking.models.registry import fetch_model  # mlflow takes a while to import

    return fetch_model(ModelAddress.parse(str(run)))
