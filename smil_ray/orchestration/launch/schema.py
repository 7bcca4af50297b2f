"""JSON schemas: the first disagreement of a file with one, as a sentence."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
from jsonschema.exceptions import best_match

from smil_ray.errors import ConfigError, nearest


def check_schema(path: Path, values: Any, schema: Mapping[str, Any]) -> None:
    """Raise ConfigError that names file and field where `values` do not fit a JSON schema."""
    validator = jsonschema.Draft7Validator(schema)
    error = best_match(validator.iter_errors(values))
    if error is None:
        return
    place = ".".join(str(part) for part in error.absolute_path)
    where = f"{path}: {place}" if place else str(path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        known = list(error.schema.get("properties", {}))
        strange = next(key for key in error.instance if key not in known)
        near = nearest(str(strange), known)
        raise ConfigError(f"{where}: unknown key {strange!r}; the nearest is {near!r}")
    raise ConfigError(f"{where}: {error.message}")
