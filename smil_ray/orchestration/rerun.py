"""Repeat a run from what was kept of it, and say what is no longer as it was."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import SHAPE_FAMILY, Config, TrackingConfig
from smil_ray.config.reading import flatten, load_config
from smil_ray.errors import ConfigError
from smil_ray.tracking.code_version import code_version
from smil_ray.tracking.run_dir import RunDir, package_versions
from smil_ray.tracking.sync.metrics import read_metrics
from smil_ray.training.assemble import open_data
from smil_ray.training.checkpoint.folder import last_entry
from smil_ray.training.checkpoint.inputs import kept_backbone, kept_body_model, kept_parent

SETTINGS = "setting "
KEPT = ("body.model", "model.backbone.weights", "train.init_from")
"""Settings that name what a run keeps in its folder."""


@dataclass(frozen=True)
class OriginalRun:
    """The run that is repeated.

    Attributes:
        name: Its identifier on the tracking server, or its folder.
        folder: Where its config.yaml, run.json and metrics.jsonl are.
    """

    name: str
    folder: Path

    @property
    def facts(self) -> dict[str, Any]:
        """What its run.json says."""
        return RunDir.open(self.folder).facts()


@dataclass(frozen=True)
class Change:
    """Something that is not as it was: name, what it was, what it is."""

    name: str
    then: Any
    now: Any

    def __str__(self) -> str:
        return f"{self.name}: was {_shown(self.then)}, is {_shown(self.now)}"


@dataclass(frozen=True)
class Agreement:
    """How far the repeated run's validation figures are the first one's, step by step.

    Attributes:
        figures: How many both have.
        different: Figure -> largest relative difference, where it is not 0.
    """

    figures: int
    different: dict[str, float]

    def __str__(self) -> str:
        if not self.figures:
            return "The first run has no validation figures to compare with."
        if not self.different:
            return f"All {self.figures} validation figures equal the first run's to the last bit."
        name, most = max(self.different.items(), key=lambda item: item[1])
        return (
            f"{len(self.different)} kinds of validation figures differ from the first run's, "
            f"most of all {name}: by {most:.2g} of its value."
        )


def find_original(what: str, place: Path, *, uri: str | None = None) -> OriginalRun:
    """Return the run that is meant by a run folder or by an identifier on the tracking server.

    Args:
        what: The folder, or the identifier.
        place: A folder for what the server has.
        uri: The server; default: MLFLOW_TRACKING_URI, or mlflow.db in this folder.

    Raises:
        ConfigError: It is a sweep, or no run of this package.
        TrackingError: The server is away, or has no such run.
    """
    if Path(what).is_dir():
        origin = OriginalRun(what, RunDir.open(what).path)
    else:
        from smil_ray.tracking.tracker import Tracker, TrackingError  # mlflow takes a second
        from smil_ray.tracking.tracker_runs import fetch_run

        tracker = Tracker.from_config(TrackingConfig(uri=uri))
        try:
            origin = OriginalRun(what, fetch_run(tracker, what, place))
        except TrackingError as error:
            raise TrackingError(
                f"There is no run folder {what}, and {str(error).rstrip('.')}",
                remedy="give a run folder, or the identifier that MLflow shows for a run",
            ) from error
    if origin.facts.get("kind") == "sweep":
        raise ConfigError(
            f"{what} is a sweep",
            expected="a single run, such as one of its trials",
            remedy="repeat a sweep with python experiments/tune_NAME.py --config its sweep.yaml",
        )
    return origin


def rerun_config(origin: OriginalRun, overrides: Sequence[str], output: Path | None) -> Config:
    """Return the configuration of the new run: the first one's under the overrides.

    Body model and first weights of the backbone come from the first run's folder where it keeps
    them, so that nothing outside it but the data is needed.

    Raises:
        ConfigError: An override is wrong.
    """
    places = [] if output is None else [f"run.output_dir={json.dumps(str(output))}"]
    first = load_config(origin.folder / "config.yaml")
    config = load_config(origin.folder / "config.yaml", [*overrides, *places])
    if config.body.model == first.body.model:
        config = _with(config, "body.model", _kept_model(origin, first))
    if config.model.backbone == first.model.backbone:
        config = _with(config, "model.backbone.weights", _kept_weights(origin, first))
    if config.train.init_from is not None and config.train.init_from == first.train.init_from:
        config = _with(config, "train.init_from", kept_parent(origin.folder))
    return config


def _kept_model(origin: OriginalRun, first: Config) -> Path | None:
    same = SmilModel.builtin().matches(origin.facts.get("model_hash", ""))
    return None if first.body.model == SHAPE_FAMILY and same else kept_body_model(origin.folder)


def _kept_weights(origin: OriginalRun, first: Config) -> Path | None:
    """Return a file, or the run itself if its checkpoints have a backbone never trained."""
    if first.model.backbone.weights == "none":
        return None
    if first.model.backbone.freeze is True and last_entry(origin.folder / "checkpoints"):
        return origin.folder
    return kept_backbone(origin.folder)


def _with(config: Config, key: str, place: Path | None) -> Config:
    """Return the configuration with a setting that names a place; as it is for None."""
    if place is None:
        return config
    values = config.model_dump()
    *sections, last = key.split(".")
    section = values
    for name in sections:
        section = section[name]
    section[last] = str(place.absolute())
    return Config.model_validate(values)


def changes(origin: OriginalRun, config: Config) -> list[Change]:
    """Return what is not as it was: settings, data, body model, code, packages, device.

    Raises:
        DataError: The data are gone.
        ModelFileError: The body model is gone.
    """
    facts = origin.facts
    old = flatten(load_config(origin.folder / "config.yaml").model_dump(mode="json"))
    new = flatten(config.model_dump(mode="json"))
    kept = str(origin.folder.absolute())
    found = [
        Change(SETTINGS + key, old.get(key), new.get(key))
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
        and not key.startswith(("run.", "tracking."))
        # What the first run kept is the same, wherever it was read from then.
        and not (key in KEPT and str(new[key]).startswith(kept))
    ]
    model = SmilModel.open(config.body.model)
    version, diff = code_version(Path(__file__).parent)
    now = {
        "data_hash": open_data(config, model).content_hash,
        "model_hash": model.content_hash,
        "git_commit": version["git_commit"],
    }
    found += [
        Change(name, facts[name], value)
        for name, value in now.items()
        if facts.get(name) not in (None, value)
    ]
    kept = origin.folder / "diff.patch"
    then = kept.read_text(encoding="utf-8") if kept.is_file() else ""
    if then != diff:
        now_has = "none" if not diff else "others" if then else "some"
        found.append(Change("uncommitted code", "some" if then else "none", now_has))
    versions = package_versions()
    found += [
        Change(f"package {name}", then, versions[name])
        for name, then in facts.get("packages", {}).items()
        if name in versions and versions[name] != then
    ]
    return found


def agreement(first: Path, second: Path) -> Agreement:
    """Return how far the validation figures of two run folders are the same."""
    old, new = _figures(first), _figures(second)
    different: dict[str, float] = {}
    common = old.keys() & new.keys()
    for step, name in common:
        a, b = old[step, name], new[step, name]
        if a != b and not (a != a and b != b):
            relative = abs(a - b) / max(abs(a), abs(b))
            different[name] = max(different.get(name, 0.0), relative)
    return Agreement(len(common), different)


def _figures(folder: Path) -> dict[tuple[int, str], float]:
    return {
        (row.step, name): value
        for row in read_metrics(folder)
        for name, value in row.metrics.items()
        if name.startswith("val/")
    }


def _shown(value: Any) -> str:
    text = str(value)
    is_hash = len(text) >= 40 and all(letter in "0123456789abcdef" for letter in text)
    return text[:12] if is_hash else text
