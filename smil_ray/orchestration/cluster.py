"""Start Ray on this machine, or join a cluster, for as long as a job runs.

The same scripts run on a laptop and on a cluster; only the address differs:

- None (default): the Ray that this process already uses, else the one that RAY_ADDRESS names (Ray
  sets it inside a Ray job), else `local`
- `local`: a Ray of its own, gone when the job ends
- `auto`: the cluster that `ray start` or `ray up` started on this machine
- `HOST:PORT` or `ray://HOST:PORT`: another one
"""

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray

from smil_ray.errors import SmilRayError
from smil_ray.tracking.run_dir import RunDir

log = logging.getLogger(__name__)

ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.25",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Settings that make Ray quiet and quick; what a person has set stays."""

CONNECT_S = 10.0
LONGEST_SOCKET_FOLDER = 40
"""Ray's sockets lie about 65 characters below its folder, and a socket's path may have 107."""


@contextmanager
def start_ray(
    address: str | None = None,
    *,
    num_cpus: int | None = None,
    num_gpus: int | None = None,
    dashboard: bool = False,
    resources: dict[str, float] | None = None,
) -> Iterator[None]:
    """Have Ray running while the block runs; stop it afterwards if it was started here.

    Args:
        address: See the module; a Ray that this process already uses is kept in any case.
        num_cpus: CPUs of a local Ray; None means all of them.
        num_gpus: GPUs of a local Ray; None means all of them.
        dashboard: Start the dashboard on localhost. Without it Ray Train's watchdog, which cleans
            up after a dead controller, complains in Ray's log files; a local Ray ends with the
            job, so that there is nothing to clean up.
        resources: Further resources of a local Ray, e.g. `{"trial_slot": 2}`.

    Raises:
        SmilRayError: Ray cannot be started or the cluster cannot be reached.
    """
    if ray.is_initialized():
        yield
        return
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    address = chosen_address(address)
    options: dict[str, Any] = {"address": address}
    if address == "local":
        # A Ray of this machine's own loopback needs no token; a cluster's token stays in force.
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        options |= {
            "num_cpus": num_cpus,
            "num_gpus": num_gpus,
            "resources": resources,
            "include_dashboard": dashboard,
            "dashboard_host": "127.0.0.1",
            "_temp_dir": _short_temp_folder(),
        }
    _check_reachable(address)
    try:
        ray.init(**options, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
        raise SmilRayError(
            f"Ray at address {address!r} cannot be used: {error}",
            remedy="check it (`ray status`); --address local runs on this machine, whatever "
            "RAY_ADDRESS says",
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def chosen_address(address: str | None) -> str:
    """Return the address that is meant: None stands for RAY_ADDRESS, else for `local`.

    A RAY_ADDRESS of the form `http://...` names the server that takes jobs, not a Ray to join.
    """
    given = os.environ.get("RAY_ADDRESS", "") if address is None else address
    return "local" if not given or given.startswith(("http://", "https://")) else given


def is_on_this_machine(address: str | None) -> bool:
    """Return whether `start_ray` would start a Ray of its own."""
    return chosen_address(address) == "local" and not ray.is_initialized()


def cluster_cpus() -> int:
    """Return how many tasks of one CPU the Ray in use runs at a time now; at least 1."""
    return max(1, int(cluster_resources().get("CPU", 0.0)))


def cluster_resources() -> dict[str, float]:
    """Return the total resources of the Ray in use, e.g. `{"CPU": 8.0, "GPU": 1.0}`."""
    return dict(ray.cluster_resources())


def record_node(run: RunDir) -> None:
    """Write into run.json on which node of the cluster the run trains now, after earlier ones."""
    if not ray.is_initialized():
        return
    here = {
        "id": ray.get_runtime_context().get_node_id(),
        "address": ray.util.get_node_ip_address(),
        "host": socket.gethostname(),
    }
    nodes = run.facts().get("nodes", [])
    if nodes[-1:] != [here]:
        run.update_facts({"nodes": [*nodes, here]})


def _check_reachable(address: str) -> None:
    """Find out in seconds what Ray would take minutes for: nobody listens at HOST:PORT."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise SmilRayError(
            f"Ray at address {address!r} cannot be reached: {error}",
            remedy="check it (`ray status`); --address local runs on this machine, whatever "
            "RAY_ADDRESS says",
        ) from error


def _short_temp_folder() -> str | None:
    """Return a short folder for Ray's sockets where TMPDIR is too long for them, else None."""
    chosen = os.environ.get("RAY_TMPDIR") or tempfile.gettempdir()
    if len(chosen) <= LONGEST_SOCKET_FOLDER:
        return None
    log.info("Ray's temporary folder %s is too long for sockets; using /tmp/ray", chosen)
    return str(Path("/tmp") / "ray")
