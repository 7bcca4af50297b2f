"""Networks under names: registering a run's network, and finding one by its address."""

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from smil_ray.config import TrackingConfig
from smil_ray.config.sweep import SWEEP_FILE
from smil_ray.errors import ConfigError
from smil_ray.storage.node_cache import cache_root
from smil_ray.tracking._database import database_path, resolve_uri
from smil_ray.tracking.models.address import SCHEME, ModelAddress
from smil_ray.tracking.models.files import RUN_FOLDER, default_name
from smil_ray.tracking.sync.later import send_later, tracker_of
from smil_ray.tracking.sync.metrics import TrackingError
from smil_ray.tracking.sync.run import RunSync
from smil_ray.tracking.tracker import ARTIFACTS, Tracker

if TYPE_CHECKING:  # The tracker's module must be first, because it says how mlflow is set up.
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import RegisteredModel

VERSIONS_TAG = "mlflow.modelVersions"
_FORBIDDEN = set("/:@'\"%")


@dataclass(frozen=True)
class RegisteredNetwork:
    """A network that has a name.

    Attributes:
        uri: The server.
        name: Of the registered model.
        version: Its version that is this network.
        alias: What it is called beside, if anything.
        was_there: Whether the version was registered before.
        moved_from: Version that had the alias until now, if it was another one.
    """

    uri: str
    name: str
    version: str
    alias: str | None
    was_there: bool = False
    moved_from: str | None = None

    @property
    def address(self) -> str:
        """How commands are told of it."""
        which = f"/{self.version}" if self.alias is None else f"@{self.alias}"
        return f"{SCHEME}{self.name}{which}"


def register_run(
    run: Path, *, name: str | None = None, alias: str | None = None, uri: str | None = None
) -> RegisteredNetwork:
    """Give a run's network a name, after sending to the server what it lacks of the run.

    Registered again as it is, it keeps its version.

    Args:
        run: The run folder.
        name: Default: the sweep's or run's name without its date.
        alias: Moves to this version from the one that has it.
        uri: The server; default: as for `smil-ray sync`.

    Raises:
        ConfigError: There is no run, it is still being trained, or the name cannot be one.
        CheckpointError: It has no checkpoint, or keeps no body model.
        TrackingError: The server is away, or refuses it.
    """
    run = run.resolve()
    name = _checked(name or default_name(run), "name")
    alias = None if alias is None else _checked(alias, "alias")
    if (run / SWEEP_FILE).is_file():
        raise ConfigError(f"{run} is a sweep", remedy=f"give its winner, {run / 'final'}")
    if run in send_later([run], uri=uri).in_use:
        raise ConfigError(f"{run} is still being trained", remedy="wait until it has ended")
    sync = RunSync(run, tracker_of(run, uri, {}))
    run_id = sync.state.run_id or sync.run_id()
    model_id = sync.send_model(run_id)
    with Tracker(sync.tracker.uri, "").calls() as client:
        entry = _find_or_create(client, name)
        source = f"{SCHEME}{model_id}"
        version = next(iter(_versions(client, name, source)), None)
        was_there = version is not None
        if version is None:
            with _global_address(sync.tracker.uri):
                made = client.create_model_version(name, source, run_id, model_id=model_id)
            version = str(made.version)
            _note_version(client, model_id, name, version)
        before = None if alias is None else entry.aliases.get(alias)
        if alias is not None:
            client.set_registered_model_alias(name, alias, version)
    moved = None if before is None or str(before) == version else str(before)
    return RegisteredNetwork(sync.tracker.uri, name, version, alias, was_there, moved)


def fetch_model(address: ModelAddress) -> Path:
    """Return a folder with what a run keeps of its network; see `local.network_folder`."""
    uri = resolve_uri(TrackingConfig())
    database = database_path(uri)
    if database is not None and not database.is_file():
        raise TrackingError(
            f"{address.text}: there is no MLflow database {database}",
            remedy="set MLFLOW_TRACKING_URI, or change to the folder that holds mlflow.db",
        )
    with Tracker(uri, "").calls() as client:
        location = _location(client, address)
        place = _local_place(location, database)
        if place is None:
            place = _downloaded(location, uri)
    if not (place / "config.yaml").is_file():
        raise TrackingError(
            f"{address.text} at {uri}: no network of smil_ray",
            expected=f"a model with {RUN_FOLDER}/config.yaml",
            found=str(place),
            remedy="if files of MLflow were moved, keep mlartifacts beside mlflow.db",
        )
    return place


def _find_or_create(client: "MlflowClient", name: str) -> "RegisteredModel":
    found = client.search_registered_models(f"name = '{name}'")
    return found[0] if found else client.create_registered_model(name)


def _note_version(client: "MlflowClient", model_id: str, name: str, version: str) -> None:
    """Let the page of a logged model show its version, as `mlflow.register_model` does."""
    known = client.get_logged_model(model_id).tags.get(VERSIONS_TAG)
    versions = [*(json.loads(known) if known else []), {"name": name, "version": version}]
    client.set_logged_model_tags(model_id, {VERSIONS_TAG: json.dumps(versions)})


@contextlib.contextmanager
def _global_address(uri: str) -> Iterator[None]:
    """Let MLflow's global address be this one: its store of versions looks models up there."""
    import mlflow

    name = "MLFLOW_TRACKING_URI"
    variable = os.environ.pop(name, None)
    before: Any = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)
        os.environ.pop(name, None)
        if variable is not None:
            os.environ[name] = variable


def _versions(client: "MlflowClient", name: str, source: str) -> Sequence[str]:
    """Return the versions of a registered model that are this logged model, newest first."""
    found = client.search_model_versions(f"name = '{name}'")
    numbers = (int(each.version) for each in found if each.source == source)
    return [str(number) for number in sorted(numbers, reverse=True)]


def _location(client: "MlflowClient", address: ModelAddress) -> str:
    """Return where the files of a model lie, an address of the artifact store."""
    model_id = address.model_id
    if address.name is not None:
        if address.alias is None:
            version = client.get_model_version(address.name, str(address.version))
        else:
            version = client.get_model_version_by_alias(address.name, address.alias)
        source = str(version.source)
        if not source.startswith(f"{SCHEME}m-"):
            return client.get_model_version_download_uri(address.name, str(version.version))
        model_id = source.removeprefix(SCHEME)
    return str(client.get_logged_model(str(model_id)).artifact_location)


def _local_place(location: str, database: Path | None) -> Path | None:
    """Return the folder of a network that is on this machine, None for one that is not.

    A database holds absolute paths: where nothing lies there any more, what lies beside the
    database is taken.
    """
    parts = urlsplit(location)
    if parts.scheme not in ("", "file"):
        return None
    stored = Path(unquote(parts.path))
    if not stored.is_dir() and database is not None and ARTIFACTS in stored.parts:
        within = stored.parts[stored.parts.index(ARTIFACTS) + 1 :]
        stored = database.resolve().parent.joinpath(ARTIFACTS, *within)
    return stored / RUN_FOLDER


def _downloaded(location: str, uri: str) -> Path:
    """Return the folder of a network after fetching it, unless it was fetched before."""
    from mlflow.artifacts import download_artifacts

    name = hashlib.sha256(location.encode()).hexdigest()[:32]  # It holds the model's identifier.
    target = cache_root() / "models" / name
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".fetch-", dir=target.parent) as place:
            got = download_artifacts(
                artifact_uri=f"{location}/{RUN_FOLDER}", dst_path=place, tracking_uri=uri
            )
            if not target.is_dir():
                Path(got).rename(target)
    return target


def _checked(text: str, what: str) -> str:
    if not text or _FORBIDDEN & set(text) or text != text.strip():
        raise ConfigError(
            f"{what} of a registered network",
            expected=f"a word without {' '.join(sorted(_FORBIDDEN))}",
            found=repr(text),
        )
    return text
