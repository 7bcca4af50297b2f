"""Which run to go on with: the one that is named, or the unfinished one of the same configuration.

A run is never resumed, and never begun anew beside an unfinished one, without a line that says so.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smil_ray.config import Config
from smil_ray.config.addresses import remote_address
from smil_ray.config.reading import flatten
from smil_ray.errors import SmilRayError
from smil_ray.tracking.run_dir import RunDir

CHANGEABLE = (
    "train.epochs",
    "train.stop_epoch",
    "train.overlay_",
    "train.plots",
    "run.",
    "tracking.",
    "data.path",
    "data.loader_workers",
    "data.feature_cache_",
)
"""Settings that a resumed run may change; others would make it another run."""
LOCK_WAIT_S = 20.0
"""Workers of a killed driver let go of the run's folder within this many seconds."""


@dataclass(frozen=True)
class Start:
    """How a training begins.

    Attributes:
        resume: The run folder to go on with; None begins a new run.
        reason: One sentence for a person; empty where there is nothing to say.
    """

    resume: Path | None
    reason: str


def differences(stored: Config, config: Config) -> list[str]:
    """Return the settings, as dotted keys, that make `config` another run than `stored`."""
    old, new = _settings(stored), _settings(config)
    keys = (key for key in sorted({*old, *new}) if old.get(key) != new.get(key))
    return [key for key in keys if not key.startswith(CHANGEABLE)]


def _settings(config: Config) -> dict[str, Any]:
    """Return all settings by dotted key; those of a source by its name, without its place."""
    flat = flatten(config.with_absolute_paths().model_dump(mode="json"))
    for source in flat.pop("data.sources"):
        name = source.pop("name")
        own = {key: value for key, value in source.items() if key != "path"}
        flat |= flatten(own, f"data.sources.{name}.")
    return flat


def as_begun(stored: Config, config: Config) -> Config:
    """Return `config` with what it leaves to the machine (`auto`) as the run was begun with."""
    if config.optim.precision != "auto":
        return config
    optim = config.optim.model_copy(update={"precision": stored.optim.precision})
    return config.model_copy(update={"optim": optim})


def choose_start(
    config: Config, *, fresh: bool = False, kind: str = "train", wait_s: float = LOCK_WAIT_S
) -> Start:
    """Return whether to go on with an interrupted run of `config`, or to begin a new one.

    Of the runs `run.output_dir/NAME-*` that did not finish, the newest with the same settings is
    gone on with, unless another process still trains it.

    Args:
        config: The resolved configuration of the run that is wanted.
        fresh: Begin anew whatever is there.
        kind: Name of the runs where `run.name` is not set.
        wait_s: How long to wait for the dying workers of a killed run.
    """
    if fresh:
        return Start(None, "")
    if remote_address(config.run.output_dir) is not None:
        return Start(None, "a new run: those in an object store are gone on with by --resume RUN")
    other: tuple[RunDir, str] | None = None
    for run in unfinished_runs(Path(config.run.output_dir), config.run.name or kind):
        different = _difference(run, config)
        if different is not None:
            other = other or (run, different)
            continue
        if not _is_freed(run, wait_s):
            return Start(None, f"{run.path} is still being trained; this is another run")
        status = run.status()
        at = f"{status['state']} at step {status['step']}" if "step" in status else status["state"]
        return Start(run.path, f"going on with {run.path} ({at}); --fresh begins anew")
    if other is None:
        return Start(None, "")
    run, key = other
    return Start(None, f"a new run: the unfinished {run.path} has another {key}")


def unfinished_runs(root: Path, name: str) -> list[RunDir]:
    """Return the training runs NAME-DATE-TIME in `root` that did not finish, newest first."""
    pattern = f"{name}-" + "[0-9]" * 8 + "-" + "[0-9]" * 6 + "*"
    found = []
    for path in root.absolute().glob(pattern):
        try:
            run = RunDir.open(path)
            if run.facts()["kind"] == "train" and run.status()["state"] != "finished":
                found.append((run.facts()["created"], path.name, run))
        except (SmilRayError, KeyError):
            continue
    return [run for _, _, run in sorted(found, key=lambda entry: entry[:2], reverse=True)]


def _difference(run: RunDir, config: Config) -> str | None:
    """Return the first setting that makes it another run, None if it is the same."""
    try:
        stored = run.load_config()
    except SmilRayError:
        return "kind of configuration"
    if stored.data.paths != config.data.paths:
        return "data.path"
    return next(iter(differences(stored, as_begun(stored, config))), None)


def _is_freed(run: RunDir, wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while run.is_in_use():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True
