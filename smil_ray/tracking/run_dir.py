"""The folder of one run: everything needed to repeat it, written before the first step.

- `config.yaml`: the resolved configuration
- `run.json`: what, when, with which command, code, packages, seed and data
- `diff.patch`: uncommitted changes of the code, if it is a git checkout
- `metrics.jsonl`: one line per step and per epoch
- `status.json`: where the run stands
- `inputs/`: the body model, and the first weights of a pretrained backbone that is trained
- `checkpoints/`, `overlays/`, `plots/`

Only one process writes a run folder at a time. One that lies in an object store is worked on in
a copy of the node's cache (`storage.mirror`).
"""

import fcntl
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from smil_ray.config import Config
from smil_ray.config.addresses import joined, remote_address
from smil_ray.config.reading import load_config, to_yaml
from smil_ray.errors import SmilRayError
from smil_ray.storage.mirror import Mirror, local_run, push
from smil_ray.storage.node_cache import folder_of
from smil_ray.storage.store import listing
from smil_ray.tracking.code_version import code_version

PACKAGES = (
    "smil-ray",
    "torch",
    "timm",
    "ray",
    "numpy",
    "opencv-python-headless",
    "h5py",
    "mlflow",
)
LOCK_S, CLUSTER_LOCK_S = 30.0, 150.0
"""How long to wait for a dying writer; a machine whose link is cut notices after a minute."""
STATES = ("created", "running", "finished", "stopped", "failed")


class RunDir:
    """A run's folder; `RunDir.create` starts a new one, `RunDir.open` finds an old one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.metrics_file = path / "metrics.jsonl"
        self.checkpoints = path / "checkpoints"
        self.overlays = path / "overlays"
        self.plots = path / "plots"

    @classmethod
    def create(
        cls,
        root: str | Path,
        name: str,
        config: BaseModel,
        kind: str,
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> "RunDir":
        """Return a new folder `ROOT/NAME-YYYYmmdd-HHMMSS[-n]` with its records written.

        Args:
            root: Parent folder, made if it is not there, or its address in an object store.
            name: Beginning of the folder's name.
            config: The resolved configuration.
            kind: What runs: `train`, `sweep`, ...
            facts: Further entries of run.json, such as `data_hash`.

        Raises:
            SmilRayError: The name contains a path, or the folder cannot be made.
        """
        if not name or Path(name).name != name or name.startswith("."):
            raise SmilRayError("run.name", expected="a plain name", found=repr(name))
        try:
            path = _make_unique(root, name)
            return cls.create_at(path, config, kind, facts=facts)
        except OSError as error:
            raise SmilRayError(
                f"A run folder in {root} cannot be made: {error}",
                remedy="free space or choose another run.output_dir",
            ) from error

    @classmethod
    def create_at(
        cls,
        path: Path,
        config: BaseModel,
        kind: str,
        *,
        facts: Mapping[str, Any] | None = None,
    ) -> "RunDir":
        """Return the run folder `path` with its records written; see `create`."""
        path.mkdir(parents=True, exist_ok=True)
        run = cls(path.absolute())
        for folder in (run.checkpoints, run.overlays, run.plots):
            folder.mkdir(exist_ok=True)
        write_atomic(run.config_file, to_yaml(config))
        version, diff = code_version(Path(__file__).parent)
        if diff:
            write_atomic(run.path / "diff.patch", diff)
        run.update_facts(
            {
                "name": run.path.name,
                "kind": kind,
                "created": datetime.now().astimezone().isoformat(timespec="seconds"),
                "command": sys.argv,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "packages": package_versions(),
                **version,
                **(facts or {}),
            }
        )
        run.metrics_file.touch()
        run.set_status("created")
        push(run.path)
        return run

    @classmethod
    def open(cls, path: str | Path) -> "RunDir":
        """Return the run folder at `path`, or this node's copy of one in an object store.

        Raises:
            SmilRayError: There is no run there.
        """
        run = cls(local_run(path).absolute())
        if not (run.path / "run.json").is_file():
            raise SmilRayError(
                f"{run.path} is not a run folder",
                expected="a folder with run.json",
                remedy="give the folder that a run printed at its start",
            )
        return run

    def load_config(self) -> Config:
        """Return the run's training configuration."""
        return load_config(self.config_file)

    def facts(self) -> dict[str, Any]:
        """Return run.json."""
        return _read_json(self.path / "run.json")

    def update_facts(self, values: Mapping[str, Any]) -> None:
        """Add entries to run.json."""
        file = self.path / "run.json"
        known = _read_json(file) if file.is_file() else {}
        write_atomic(file, json.dumps({**known, **values}, indent=2, default=str))

    def append_metrics(
        self, step: int, metrics: Mapping[str, float], *, epoch: float = 0.0, sync: bool = True
    ) -> None:
        """Add one line to metrics.jsonl; `sync` waits until it is on the disk."""
        line = {"step": step, "epoch": epoch, "time": time.time(), "metrics": dict(metrics)}
        try:
            with self.metrics_file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
                if sync:
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            raise SmilRayError(
                f"{self.metrics_file} cannot be written: {error}",
                remedy="free space, then resume the run from its last checkpoint",
            ) from error

    def sync_metrics(self) -> None:
        """Wait until metrics.jsonl is on the disk."""
        with self.metrics_file.open("a", encoding="utf-8") as file:
            os.fsync(file.fileno())

    def read_metrics(self) -> list[dict[str, Any]]:
        """Return the lines of metrics.jsonl; a last line cut by a crash is left out."""
        return [json.loads(line) for line in _whole_lines(self.metrics_file)]

    def truncate_metrics(self, step: int) -> None:
        """Drop lines after `step`, which a run that resumes at `step` writes again."""
        lines = _whole_lines(self.metrics_file)
        kept = [line for line in lines if json.loads(line)["step"] <= step]
        write_atomic(self.metrics_file, "".join(line + "\n" for line in kept))

    def set_status(self, state: str, reason: str | None = None, **progress: Any) -> None:
        """Write status.json: one of STATES, why, and how far the run is."""
        if state not in STATES:
            raise ValueError(f"state {state!r}: expected one of {STATES}")
        status = {"state": state, "reason": reason, "time": time.time(), **progress}
        write_atomic(self.path / "status.json", json.dumps(status))

    def status(self) -> dict[str, Any]:
        """Return status.json."""
        return _read_json(self.path / "status.json")

    @contextmanager
    def lock(self, wait_s: float = LOCK_S) -> Iterator[None]:
        """Be the only writer while the block runs; processes that die let go by themselves.

        Raises:
            SmilRayError: Another process still writes after `wait_s` seconds.
        """
        with (self.path / ".lock").open("w") as file:
            deadline = time.monotonic() + wait_s
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError as error:
                    if time.monotonic() > deadline:
                        raise SmilRayError(
                            f"{self.path} is in use by another process",
                            remedy="wait until that run ends, or stop it",
                        ) from error
                    time.sleep(0.1)
            yield

    def is_in_use(self) -> bool:
        """Return whether a process holds `lock` now."""
        with (self.path / ".lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
            return False

    def write_json(self, name: str, value: object) -> None:
        """Write `RUN/name` as JSON, atomically."""
        write_atomic(self.path / name, json.dumps(value, indent=2))


def write_atomic(path: Path, text: str) -> None:
    """Write a text file so that readers and crashes see the old or the new one, never half."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with partial.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _make_unique(root: str | Path, name: str) -> Path:
    stem = f"{name}-{datetime.now():%Y%m%d-%H%M%S}"
    home = remote_address(root)
    for attempt in range(1, 1000):
        own = stem if attempt == 1 else f"{stem}-{attempt}"
        path = Path(root).absolute() / own
        if home is not None:
            path = folder_of("runs", joined(home, own))
            if listing(joined(home, own)):
                continue
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir()
        except FileExistsError:
            continue
        if home is not None:
            Mirror.begin(path, joined(home, own))
        return path
    raise SmilRayError(f"No free name for a run folder {stem} in {root}")


def package_versions() -> dict[str, str]:
    """Return the installed versions of the packages that results depend on."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _whole_lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    text = path.read_text(encoding="utf-8")
    return text[: text.rfind("\n") + 1].splitlines()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SmilRayError(f"{path} cannot be read: {error}") from error
