"""The folder of a sweep: made, or found and opened to go on; on a disk or in an object store."""

from pathlib import Path
from typing import Any

from smil_ray.config import Config
from smil_ray.config.addresses import joined, remote_address
from smil_ray.config.reading import config_from_dict, read_yaml, sweep_from_dict, to_yaml
from smil_ray.config.sweep import SWEEP_FILE, SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.search.spec import TrialSpec
from smil_ray.storage.mirror import Mirror, address_of, push
from smil_ray.storage.node_cache import folder_of
from smil_ray.storage.store import listing
from smil_ray.tracking.run_dir import RunDir, write_atomic
from smil_ray.training.checkpoint.copy import copy_newest_checkpoint

TRIALS_FOLDER = "trials"
FINAL_FOLDER = "final"
CHANGEABLE = {
    "trials",
    "execution",
    "pack",
    "max_concurrent_trials",
    "cpus_per_trial",
    "gpus_per_trial",
    "final_epochs",
    "max_hours",
    "max_gpu_hours",
}
"""Settings that a resumed sweep may change: its trials stay the same ones."""


def load_sweep(folder: Path) -> SweepConfig:
    """Return the settings of the sweep in `folder`.

    Raises:
        ConfigError: There is no sweep.
    """
    return sweep_from_dict(read_yaml(folder / SWEEP_FILE), source=str(folder / SWEEP_FILE))


def open_folder(
    sweep: SweepConfig, base: Config, resume: Path | str | None, output_dir: Path | str
) -> RunDir:
    """Return the sweep's folder; its sweep.yaml holds all that a resumed sweep needs.

    Args:
        sweep: The search.
        base: The configuration that trials vary.
        resume: The folder of an interrupted sweep.
        output_dir: Where a new folder is made.

    Raises:
        ConfigError: The interrupted sweep had other settings.
        SmilRayError: The folder cannot be made.
    """
    sweep = sweep.model_copy(update={"base": base.model_dump(mode="json")})
    if resume is None:
        run = RunDir.create(output_dir, sweep.name, base, "sweep")
        write_atomic(run.path / SWEEP_FILE, to_yaml(sweep, only_set=True))
        push(run.path)
        return run
    resume = local_sweep(resume)
    stored = load_sweep(resume)
    # Settings that did not exist yet when the sweep was started count as left at their defaults.
    # Paths that were given from a working directory are compared as they are from this one.
    stored_base = config_from_dict(stored.base, source=str(resume / SWEEP_FILE))
    stored_base = stored_base.with_absolute_paths()
    stored = stored.model_copy(update={"base": stored_base.model_dump(mode="json")})
    old, new = stored.model_dump(mode="json"), sweep.model_dump(mode="json")
    fixed = set(new) - CHANGEABLE
    if sweep.search == "pbt" or sweep.scheduler.levels:
        fixed.add("trials")  # The later generations follow from the first one.
    changed = [key for key in new if key in fixed and old.get(key) != new[key]]
    if changed:
        raise ConfigError(
            f"sweep {resume} was started with other settings: {', '.join(changed)}",
            remedy="resume with the same ones, or start a new sweep",
        )
    run = RunDir.open(resume)
    write_atomic(run.path / SWEEP_FILE, to_yaml(sweep, only_set=True))
    return run


def storage_of(resume: Path | str | None, output_dir: Path | str) -> str | None:
    """Return the object store's address that a sweep's folder is in; None for a disk."""
    if resume is None:
        return remote_address(output_dir)
    home = remote_address(resume) or address_of(Path(resume))
    return None if home is None else home.rpartition("/")[0]


def local_sweep(place: Path | str) -> Path:
    """Return a sweep's folder as it is, or this node's copy of one in an object store.

    Raises:
        StorageError: The store does not answer.
    """
    address = remote_address(place)
    if address is None:
        return Path(place)
    folder = folder_of("runs", address)
    Mirror.begin(folder, address).pull(skip=(f"{TRIALS_FOLDER}/", FINAL_FOLDER))
    for name in sorted({run for name in listing(address) if (run := _run_of(name))}):
        Mirror.begin(folder / name, joined(address, name)).pull()
    return folder


def newest_sweep(output: Path | str, name: str) -> Path:
    """Return the newest folder of a sweep of this name.

    Raises:
        ConfigError: There is none.
        StorageError: The store does not answer.
    """
    address = remote_address(output)
    if address is None:
        found = sorted(path.parent for path in Path(output).glob(f"{name}-*/{SWEEP_FILE}"))
    else:
        names = (entry.split("/") for entry in listing(address))
        folders = (each[0] for each in names if each[1:] == [SWEEP_FILE])
        found = sorted(each for each in folders if each.startswith(f"{name}-"))
    if not found:
        raise ConfigError(
            f"--resume: {output} has no sweep named {name}",
            remedy="give the sweep's folder, or leave --resume out",
        )
    newest = found[-1]
    return newest if isinstance(newest, Path) else local_sweep(joined(str(address), newest))


def begin_below(run: RunDir, name: str) -> Path:
    """Return the folder of a run in a sweep's, kept in the sweep's object store if it has one."""
    home = address_of(run.path)
    if home is not None:
        Mirror.begin(run.path / name, joined(home, name))
    return run.path / name


def make_trial_folder(run: RunDir, spec: TrialSpec, plain: dict[str, Any]) -> RunDir:
    """Return the run folder of a trial, with its parent's newest checkpoint if it has one.

    Args:
        run: The sweep's folder.
        spec: The trial.
        plain: Its configuration.

    Raises:
        CheckpointError: The parent has no checkpoint.
    """
    folder = begin_below(run, f"{TRIALS_FOLDER}/{spec.name}")
    if not (folder / "status.json").is_file():  # the last file of a folder that is whole
        facts = {"sweep": run.path.name, "trial": spec.name, "digest": spec.digest}
        config = Config.model_validate(plain)
        RunDir.create_at(folder, config, "trial", facts={**facts, "parent": spec.parent})
    if spec.parent is not None:
        parent = RunDir(run.path / TRIALS_FOLDER / spec.parent)
        copy_newest_checkpoint(parent.checkpoints, RunDir(folder).checkpoints)
        push(folder)
    return RunDir(folder)


def push_sweep(run: RunDir) -> None:
    """Send what is new in the folders of a sweep and of its runs to their object store."""
    below = (f"{TRIALS_FOLDER}/*", f"{FINAL_FOLDER}*")
    for folder in (run.path, *(path for names in below for path in run.path.glob(names))):
        push(folder)


def _run_of(name: str) -> str | None:
    """Return the folder of the run that a file of a sweep's folder belongs to."""
    first, *rest = name.split("/")
    if first == TRIALS_FOLDER and len(rest) > 1:
        return f"{first}/{rest[0]}"
    return first if first.startswith(FINAL_FOLDER) and rest else None
