"""A search on a Ray cluster of two nodes, both on this machine, one of which is lost."""

import logging
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import ray
from ray._private.node import Node
from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray.cluster_utils import Cluster

from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.tune.job import run_sweep
from smil_ray.tracking.run_dir import RunDir
from tests.insect_data import write_insects
from tests.orchestration.tune.sweep_kills import (
    METRIC,
    PATIENCE_S,
    as_sweep,
    ends,
    lines_of,
    tiny_search,
    trial_processes,
    winner,
)

pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes with room for one trial each; this process is on the head node."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SMIL_RAY_CACHE", str(tmp_path_factory.mktemp("caches")))
        head = {"num_cpus": 1, "include_dashboard": False}
        nodes = Cluster(initialize_head=True, head_node_args=head)
        try:
            nodes.add_node(num_cpus=1)
            ray.init(address=nodes.address, log_to_driver=False, logging_level=logging.ERROR)
            yield nodes
        finally:
            ray.shutdown()
            nodes.shutdown()


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> SweepConfig:
    data = write_insects(tmp_path_factory.mktemp("data") / "insects.h5")
    search = tiny_search(data, pack=1, max_concurrent_trials=2, scheduler={"type": "none"})
    search["base"]["train"]["epochs"] = 12
    search["space"] = {"optim.learning_rate": {"choice": [1e-4, 1e-3, 1e-5, 5e-3]}}
    return as_sweep(search)


def nodes_of(trial: Path) -> list[str]:
    """Return on which nodes a trial was trained, one after the other."""
    return [node["id"] for node in RunDir.open(trial).facts().get("nodes", [])]


def is_under_way_on(node: str, trial: Path) -> bool:
    metrics = trial / "metrics.jsonl"
    if not metrics.is_file() or nodes_of(trial) != [node]:
        return False
    return 2 <= metrics.read_text().count(METRIC) <= 9


def pull_the_plug(cluster: Cluster, node: Node) -> None:
    """Lose a node at once: Ray's daemon on it and what that had started."""
    (daemon,) = node.all_processes[PROCESS_TYPE_RAYLET]
    trials = trial_processes(daemon.process.pid)
    for number in (daemon.process.pid, *trials):
        os.kill(number, signal.SIGKILL)
    cluster.remove_node(node, allow_graceful=False)


def test_search_on_two_nodes_survives_the_loss_of_one(
    cluster: Cluster, sweep: SweepConfig, tmp_path: Path
) -> None:
    (lost,), head = cluster.worker_nodes, cluster.head_node
    assert head is not None
    undisturbed = run_sweep(sweep, output_dir=tmp_path / "undisturbed").folder
    used = [nodes_of(trial) for trial in (undisturbed / "trials").iterdir()]
    assert {len(nodes) for nodes in used} == {1}
    assert {name for (name,) in used} == {head.node_id, lost.node_id}
    moved: list[str] = []

    def lose_node() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and not moved:
            for trial in tmp_path.glob("lost/*/trials/*"):
                if not moved and is_under_way_on(lost.node_id, trial):
                    moved.append(trial.name)
                    pull_the_plug(cluster, lost)
            time.sleep(0.01)

    thread = threading.Thread(target=lose_node)
    thread.start()
    found = run_sweep(sweep, output_dir=tmp_path / "lost").folder
    thread.join()
    (name,) = moved
    both = [lost.node_id, head.node_id]
    assert nodes_of(found / "trials" / name) == both
    assert ends(found) == ends(undisturbed)
    for trial in ends(undisturbed):
        place = Path("trials", trial)
        assert lines_of(found / place) == lines_of(undisturbed / place), trial
    assert winner(found)[:2] == winner(undisturbed)[:2]
