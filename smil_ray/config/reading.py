"""YAML and `--set a.b=c` to a validated configuration; a misspelled key meets its neighbour."""

import types
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from smil_ray.config import Config
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError, nearest

Model = TypeVar("Model", bound=BaseModel)


def load_config(path: str | Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Return the configuration of a YAML file (or the defaults) with `a.b=value` overrides.

    Raises:
        ConfigError: The file is missing or not YAML, a key is unknown (the nearest valid key is
            named), or a value does not fit.
    """
    values = {} if path is None else read_yaml(Path(path))
    for override in overrides:
        _keep_default_entries(values, override.partition("=")[0].strip())
    return config_from_dict(apply_overrides(values, overrides), source=str(path or "defaults"))


def config_from_dict(values: Mapping[str, Any], source: str = "configuration") -> Config:
    """Return `values` as a validated `Config`; see `load_config` for the errors."""
    return _validate(Config, values, source)


def sweep_from_dict(values: Mapping[str, Any], source: str = "sweep") -> SweepConfig:
    """Return `values` as a validated `SweepConfig`; its `base` is checked as a `Config`."""
    sweep = _validate(SweepConfig, values, source)
    config_from_dict(sweep.base, source=f"{source}: base")
    for key in sweep.space:
        _check_key(Config, key, f"{source}: space")
    return sweep


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the mapping in a YAML file, or raise ConfigError naming the file and the line."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(
            f"Configuration file {path} does not exist", remedy="check the path"
        ) from error
    except yaml.YAMLError as error:
        raise ConfigError(f"Configuration file {path} cannot be read: {_where(error)}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"Configuration file {path} cannot be read: {error}") from error
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigError(
            f"Configuration file {path}", expected="a mapping", found=type(values).__name__
        )
    return values


def apply_overrides(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Return a copy of `values` with each `a.b=value` set; values are read as YAML."""
    result = _deep_copy(values)
    for override in overrides:
        key, sign, text = override.partition("=")
        if not sign or not key.strip():
            raise ConfigError(f"--set {override}", expected="KEY=VALUE, e.g. train.epochs=5")
        try:
            value = yaml.safe_load(text)
        except yaml.YAMLError as error:
            raise ConfigError(f"--set {override}: not YAML: {_where(error)}") from error
        set_key(result, key.strip(), _number(value))
    return result


def set_key(values: dict[str, Any], dotted: str, value: Any) -> None:
    """Set `values["a"]["b"] = value` for the key `a.b`, making the mappings on the way."""
    *parents, last = dotted.split(".")
    for name in parents:
        child = values.setdefault(name, {})
        if not isinstance(child, dict):
            raise ConfigError(f"Setting {dotted}: {name} is a value, not a group of settings")
        values = child
    values[last] = value


def merge(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with the nested settings of `other` laid over it."""
    result = _deep_copy(base)
    for key, value in other.items():
        old = result.get(key)
        result[key] = (
            merge(old, value) if isinstance(old, dict) and isinstance(value, Mapping) else value
        )
    return result


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested settings as `{"a.b": value}`; lists stay values."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            flat.update(flatten(value, f"{name}."))
        else:
            flat[name] = value
    return flat


def to_yaml(config: BaseModel, *, only_set: bool = False) -> str:
    """Return the resolved configuration as YAML: every default written out, or only what was set.

    The difference matters where leaving a setting out means something, as in a sweep.
    """
    plain = config.model_dump(mode="json", exclude_unset=only_set)
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def _keep_default_entries(values: dict[str, Any], key: str) -> None:
    """Fill a free mapping with its defaults before one of its entries is set.

    `--set loss.base_weights.betas=0` changes one weight; it does not drop the others.
    """
    parent = key.rpartition(".")[0]
    if typing.get_origin(dict(_fields(Config)).get(parent)) is not dict:
        return
    given: Any = values
    default: Any = Config().model_dump(mode="json")
    for name in parent.split("."):
        given = given.get(name) if isinstance(given, dict) else None
        default = default[name]
    if given is None:
        set_key(values, parent, default)


def _validate(model: type[Model], values: Mapping[str, Any], source: str) -> Model:
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_explain(model, error, source)) from error


def _explain(model: type[BaseModel], error: ValidationError, source: str) -> str:
    problem = error.errors(include_url=False)[0]
    key = ".".join(str(part) for part in problem["loc"])
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    if problem["type"] == "extra_forbidden":
        near = nearest(key, _known_keys(model))
        return f"{source}: unknown key {key!r}; the nearest valid key is {near!r}{tail}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{source}: {key}: {message}, found {problem['input']!r}{tail}"


def _check_key(model: type[BaseModel], dotted: str, source: str) -> None:
    """Accept `dotted` if it names a setting or an entry of a free mapping such as base_weights."""
    known = _known_keys(model)
    parent = dotted.rpartition(".")[0]
    free = {name for name, field in _fields(model) if typing.get_origin(field) is dict}
    if dotted not in known and parent not in free:
        near = nearest(dotted, known)
        raise ConfigError(f"{source}: unknown key {dotted!r}; the nearest is {near!r}")


def _known_keys(model: type[BaseModel]) -> list[str]:
    return [name for name, _ in _fields(model)]


def _fields(model: type[BaseModel], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for name, field in model.model_fields.items():
        found.append((prefix + name, field.annotation))
        for kind in _models_in(field.annotation):
            found.extend(_fields(kind, f"{prefix}{name}."))
    return found


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return [kind for arg in typing.get_args(annotation) for kind in _models_in(arg)]
    return []


def _where(error: yaml.YAMLError) -> str:
    """Return what is wrong and where, in one line; PyYAML takes five."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return " ".join(str(error).split())
    mark = error.problem_mark
    return f"{error.problem} (line {mark.line + 1}, column {mark.column + 1})"


def _number(value: Any) -> Any:
    """Read `1e-4` as a number: YAML 1.1 takes it for text because it lacks a decimal point."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _deep_copy(values: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _deep_copy(value) if isinstance(value, Mapping) else value
        for key, value in values.items()
    }
