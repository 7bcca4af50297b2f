"""The one module that imports mlflow: find or create runs, send batches, never any global state.

Every call either succeeds or raises `TrackingError` (the server is away: try later) or
`RejectedError` (the server refuses the content: trying again is useless).
"""

import contextlib
import json
import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from sqlalchemy.exc import SQLAlchemyError

from smil_ray.config import TrackingConfig
from smil_ray.tracking._database import database_lock, database_path, resolve_uri
from smil_ray.tracking.models.files import ModelFiles
from smil_ray.tracking.sync.metrics import (
    MetricPoint,
    RejectedError,
    TrackingError,
    entity_name,
)
from smil_ray.tracking.sync.tags import DataInput

for _name, _value in {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    # What a model needs is said, not looked for in a project that happens to be here.
    "MLFLOW_UV_AUTO_DETECT": "false",
    # A server that is away must be noticed in seconds, not after minutes of retries: what is
    # unsent stays on disk and is sent later.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
}.items():
    os.environ.setdefault(_name, _value)

from mlflow import MlflowClient, entities  # noqa: E402 - the settings above are read on import
from mlflow.entities import Metric, Param, RunTag, ViewType  # noqa: E402
from mlflow.exceptions import MlflowException  # noqa: E402

RunStatus = Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]

KEY_TAG = "smil_ray.run_id"
PARENT_TAG = "mlflow.parentRunId"
REASON_TAG = "smil_ray.reason"
KIND_OF_EXPERIMENT = ("mlflow.experimentKind", "custom_model_development")
"""The tag by which MLflow's pages open an experiment as model training."""
MODEL_TRAINING = "workflowType=machine_learning"
METRICS_PER_BATCH = 1000
PARAMS_PER_BATCH = 100
MAX_PARAM_VALUE = 6000
MAX_TAG_VALUE = 5000
ARTIFACTS = "mlartifacts"
"""Folder beside a database for what is no row of it."""
REFUSALS = {"INVALID_PARAMETER_VALUE", "BAD_REQUEST", "PERMISSION_DENIED"}


class Tracker:
    """A connection to one experiment, opened at the first use and again after it was lost.

    Args:
        uri: The address, e.g. `sqlite:////abs/mlflow.db` or `http://127.0.0.1:5000`.
        experiment: The experiment's name; it is created when it does not exist.
    """

    def __init__(self, uri: str, experiment: str) -> None:
        self.uri = uri
        self.experiment = experiment
        self._client: MlflowClient | None = None
        self._experiment_id: str | None = None

    @classmethod
    def from_config(cls, config: TrackingConfig, folder: Path | None = None) -> "Tracker":
        """Return the tracker of a configuration; nothing is opened yet."""
        return cls(resolve_uri(config, folder), config.experiment)

    @property
    def experiment_id(self) -> str:
        """Identifier of the experiment, which is created if it does not exist."""
        if self._experiment_id is None:
            self._connect()
        assert self._experiment_id is not None
        return self._experiment_id

    def find_or_create_run(
        self,
        key: str,
        name: str,
        *,
        parent: str | None = None,
        tags: Mapping[str, Any] = {},
        started_ms: int | None = None,
    ) -> str:
        """Return the identifier of the run whose tag `smil_ray.run_id` is `key`.

        The run is created when there is none; found again, it is set to RUNNING. `started_ms`
        (since 1970) is when it began, if that is not now.
        """
        client = self._connect()
        with _translated(self.uri):
            found = client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{KEY_TAG}` = '{key}'",
                run_view_type=ViewType.ALL,
                max_results=1,
            )
            if found:
                run_id = found[0].info.run_id
                client.update_run(run_id, status="RUNNING")
                return run_id
            all_tags = {**tags, KEY_TAG: key} | ({PARENT_TAG: parent} if parent else {})
            text = {tag: str(value)[:MAX_TAG_VALUE] for tag, value in all_tags.items()}
            made = client.create_run(
                self.experiment_id, start_time=started_ms, tags=text, run_name=name
            )
            return made.info.run_id

    def log_params(self, run_id: str, params: Mapping[str, Any]) -> None:
        """Send parameters, cut to the lengths that MLflow accepts; the same ones may be resent."""
        items = [
            Param(entity_name(key), _param_value(value)) for key, value in sorted(params.items())
        ]
        client = self._connect()
        with _translated(self.uri):
            for start in range(0, len(items), PARAMS_PER_BATCH):
                client.log_batch(run_id, params=items[start : start + PARAMS_PER_BATCH])

    def log_metrics(self, run_id: str, points: Iterable[MetricPoint]) -> None:
        """Send metric values in batches."""
        metrics = [Metric(entity_name(p.key), p.value, p.time_ms, p.step) for p in points]
        client = self._connect()
        with _translated(self.uri):
            for start in range(0, len(metrics), METRICS_PER_BATCH):
                client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_BATCH])

    def last_steps(self, run_id: str) -> dict[str, int]:
        """Return the last step that the server holds of every metric, by the server's name."""
        client = self._connect()
        with _translated(self.uri):
            keys = list(client.get_run(run_id).data.metrics)
            return {
                key: max(point.step for point in client.get_metric_history(run_id, key))
                for key in keys
            }

    def log_file(self, run_id: str, path: Path, folder: str | None = None) -> None:
        """Store one file as an artifact, below `folder` of the run's artifacts."""
        client = self._connect()
        with _translated(self.uri):
            client.log_artifact(run_id, str(path), folder)

    def log_data(self, run_id: str, data: DataInput) -> None:
        """Name what a run was trained on; the digest is the beginning of the content's hash."""
        dataset = entities.Dataset(
            data.name,
            data.digest,
            source_type="local",
            source=json.dumps({"uri": data.place}),
            profile=json.dumps(dict(data.samples)),
        )
        used = entities.DatasetInput(
            dataset, [entities.InputTag("mlflow.data.context", "training")]
        )
        client = self._connect()
        with _translated(self.uri):
            client.log_inputs(run_id, [used])

    def log_model(self, run_id: str, model: ModelFiles) -> str:
        """Store a network as the run's model; return its identifier, see `models.log`."""
        from smil_ray.tracking.models.log import log_model  # pandas takes a while to import

        client = self._connect()
        with _translated(self.uri):
            return log_model(client, self.experiment_id, run_id, model)

    def set_tags(self, run_id: str, tags: Mapping[str, Any]) -> None:
        """Set tags, cut to the length that MLflow accepts."""
        items = [RunTag(key, str(value)[:MAX_TAG_VALUE]) for key, value in tags.items()]
        client = self._connect()
        with _translated(self.uri):
            client.log_batch(run_id, tags=items)

    def finish(
        self,
        run_id: str,
        status: RunStatus,
        reason: str | None = None,
        *,
        ended_ms: int | None = None,
    ) -> None:
        """End a run with its status and, as a tag, the reason; `ended_ms` if it is not now."""
        if reason:
            self.set_tags(run_id, {REASON_TAG: reason})
        client = self._connect()
        with _translated(self.uri):
            client.set_terminated(run_id, status, ended_ms)

    def ui_command(self) -> str:
        """Return the command that opens MLflow's pages, as a comment the runs' own, once known.

        Its address says model training: the pages of MLflow 3.17 do not look at the experiment's
        kind, and open as those of language models.
        """
        is_server = self.uri.startswith("http")
        page = ""
        if self._experiment_id is not None:
            root = self.uri.rstrip("/") if is_server else "http://127.0.0.1:5000"
            page = f"{root}/#/experiments/{self._experiment_id}/runs?{MODEL_TRAINING}"
        if is_server:
            return shlex.join(["open", page or self.uri])
        command = shlex.join(["mlflow", "ui", "--backend-store-uri", self.uri])
        return f"{command}  # {page}" if page else command

    @contextlib.contextmanager
    def calls(self) -> Iterator[MlflowClient]:
        """Yield a client for reading; nothing is made on the server.

        Raises:
            TrackingError: The server is away, or what is asked for is not there.
        """
        database = database_path(self.uri)
        if database is not None and not database.is_file():
            raise TrackingError(
                f"There is no MLflow database {database}",
                remedy="set MLFLOW_TRACKING_URI, or give --uri",
            )
        with _translated(self.uri):
            if self._client is None:
                with database_lock(self.uri, _make_tables):
                    client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            else:
                client = self._client
            yield client

    def _connect(self) -> MlflowClient:
        if self._client is not None:
            return self._client
        with _translated(self.uri), database_lock(self.uri, _make_tables):
            client = MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)
            self._experiment_id = _experiment(client, self.experiment, self.uri)
            self._client = client
        return client


def _param_value(value: Any) -> str:
    text = str(value)
    return text if len(text) <= MAX_PARAM_VALUE else text[: MAX_PARAM_VALUE - 3] + "..."


def _experiment(client: MlflowClient, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        key, kind = KIND_OF_EXPERIMENT
        place = _artifact_location(uri)
        return client.create_experiment(name, artifact_location=place, tags={key: kind})
    if found.lifecycle_stage != "active":
        raise RejectedError(
            f"Experiment {name!r} at {uri} was deleted",
            remedy="restore it in MLflow or set tracking.experiment to another name",
        )
    if KIND_OF_EXPERIMENT[0] not in found.tags:
        client.set_experiment_tag(found.experiment_id, *KIND_OF_EXPERIMENT)
    return found.experiment_id


def _artifact_location(uri: str) -> str | None:
    """Return a folder beside a sqlite database; a server chooses its own place.

    Without it MLflow takes `mlruns` of whatever folder the first process started in.
    """
    database = database_path(uri)
    return None if database is None else (database.resolve().parent / ARTIFACTS).as_uri()


def _make_tables(uri: str) -> None:
    """Let MLflow make its tables in a new database."""
    MlflowClient(tracking_uri=uri, registry_uri=uri).search_experiments(max_results=1)


@contextlib.contextmanager
def _translated(uri: str) -> Iterator[None]:
    """Turn the errors of mlflow, sqlite and the network into TrackingError."""
    try:
        yield
    except MlflowException as error:
        kind = RejectedError if error.error_code in REFUSALS else TrackingError
        raise kind(f"MLflow at {uri}: {_first_line(error)}") from error
    except (OSError, sqlite3.Error, SQLAlchemyError) as error:
        raise TrackingError(f"MLflow at {uri}: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:300]
