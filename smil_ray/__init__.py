"""Find, train and trust the network that reads an animal's 3D pose and shape from one image."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.config.reading import load_config
    from smil_ray.core.params import SmilParams
    from smil_ray.data.dataset import SmilDataset, UnifiedSMILDataset
    from smil_ray.results.regressor_api import SMILImageRegressor

__version__ = "0.1.0"

__all__ = [
    "SMILImageRegressor",
    "SmilDataset",
    "SmilModel",
    "SmilParams",
    "UnifiedSMILDataset",
    "load_config",
]

_PLACES = {
    "SMILImageRegressor": "smil_ray.results.regressor_api",
    "SmilDataset": "smil_ray.data.dataset",
    "SmilModel": "smil_ray.body.smil_model",
    "SmilParams": "smil_ray.core.params",
    "UnifiedSMILDataset": "smil_ray.data.dataset",
    "load_config": "smil_ray.config.reading",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for, so that `import smil_ray` is quick."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
