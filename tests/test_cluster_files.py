"""Cluster files against Ray's own schema, without credentials, and against this repository."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from smil_ray.orchestration.launch.check import check_cluster_file

ROOT = Path(__file__).parents[1]
LAUNCHER_FILES = ("cluster.yaml", "clusters/on_premise.yaml", "clusters/gcp.yaml")
ALL_FILES = (*LAUNCHER_FILES, "clusters/kuberay_rayjob.yaml", "clusters/slurm.sh")


def read(name: str) -> dict[str, Any]:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def commands(config: dict[str, Any]) -> list[str]:
    return [
        command
        for key in ("setup_commands", "head_start_ray_commands", "worker_start_ray_commands")
        for command in config[key]
    ]


@pytest.mark.parametrize("name", ALL_FILES)
def test_cluster_file_is_valid_and_only_its_lines_to_edit_are_left(name: str) -> None:
    plan = check_cluster_file(ROOT / name)
    assert plan.groups
    assert [problem for problem in plan.problems if "fill it in" not in problem] == []


def test_every_cluster_file_of_the_repository_is_among_them() -> None:
    found = {f"clusters/{path.name}" for path in (ROOT / "clusters").glob("*.yaml")}
    assert {*found, "clusters/slurm.sh", "cluster.yaml"} == set(ALL_FILES)


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_every_node_makes_the_pinned_environment_from_this_repository(name: str) -> None:
    config = read(name)
    assert config["file_mounts"]["~/smil-ray"] == "."
    assert config["setup_commands"][0] == "bash ~/smil-ray/clusters/setup_node.sh"
    for script in set(re.findall(r"~/smil-ray/(\S+\.sh)", " ".join(commands(config)))):
        assert (ROOT / script).is_file()
    setup = (ROOT / "clusters/setup_node.sh").read_text(encoding="utf-8")
    assert "--require-hashes" in setup
    assert "constraints.txt" in setup


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_repository_folder_on_nodes_does_not_shadow_the_package(name: str) -> None:
    """A folder ~/smil_ray would be imported in place of the package by scripts run from home."""
    assert not any(Path(target).name == "smil_ray" for target in read(name)["file_mounts"])


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_scripts_find_their_settings_when_ray_submit_copies_them_home(name: str) -> None:
    """`ray submit` runs ~/tune_backbones.py, which reads configs/ beside itself."""
    mounted = read(name)["file_mounts"]["~/configs"]
    assert (ROOT / mounted / "tune_backbones.yaml").is_file()


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_environment_and_history_are_not_uploaded(name: str) -> None:
    config = read(name)
    assert {".git", ".venv"} <= set(config["rsync_exclude"])
    assert config["rsync_filter"] == [".gitignore"]


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_servers_listen_on_localhost_only(name: str) -> None:
    head = " ".join(read(name)["head_start_ray_commands"])
    assert "--dashboard-host=127.0.0.1" in head
    assert "0.0.0.0" not in head
    server = (ROOT / "clusters/start_mlflow.sh").read_text(encoding="utf-8")
    assert "--host 127.0.0.1" in server


@pytest.mark.parametrize("name", ["cluster.yaml", "clusters/gcp.yaml"])
def test_cloud_cluster_has_gpu_and_cpu_workers_on_spot_prices(
    name: str,
) -> None:
    types = read(name)["available_node_types"]
    assert set(types) == {"head", "gpu_worker", "cpu_worker"}
    assert types["cpu_worker"]["min_workers"] == 0
    for worker in ("gpu_worker", "cpu_worker"):
        assert "spot" in yaml.safe_dump(types[worker]["node_config"]).lower()
    assert read(name)["provider"]["cache_stopped_nodes"] is False


def test_on_premise_file_clears_the_state_of_its_own_cluster_before_the_start() -> None:
    config = read("clusters/on_premise.yaml")
    assert f"cluster-{config['cluster_name']}." in config["head_start_ray_commands"][0]
    start = config["head_start_ray_commands"][1]
    assert "--node-ip-address=$(echo $SSH_CONNECTION" in start


def test_kuberay_job_has_the_parts_that_the_operator_needs() -> None:
    import ray

    job = read("clusters/kuberay_rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    spec = job["spec"]
    assert spec["shutdownAfterJobFinishes"] is True
    cluster = spec["rayClusterSpec"]
    assert cluster["rayVersion"] == ray.__version__
    assert cluster["enableInTreeAutoscaling"] is True
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    for group in groups:
        pod = group["template"]["spec"]
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert container["resources"]["requests"] == container["resources"]["limits"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes
    for group in cluster["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    images = {c["image"] for g in groups for c in g["template"]["spec"]["containers"]}
    assert len(images) == 1
    assert isinstance(yaml.safe_load(spec["runtimeEnvYAML"]), dict)


def test_kuberay_entrypoint_runs_a_script_of_this_repository() -> None:
    entrypoint = read("clusters/kuberay_rayjob.yaml")["spec"]["entrypoint"]
    script = re.search(r"/opt/smil-ray/(\S+\.py)", entrypoint)
    assert script
    assert "--address auto" in entrypoint
    dockerfile = (ROOT / "clusters/Dockerfile").read_text(encoding="utf-8")
    assert "WORKDIR /opt/smil-ray" in dockerfile
    assert "--require-hashes" in dockerfile


@pytest.mark.parametrize("name", ALL_FILES)
def test_header_says_how_to_start_it(name: str) -> None:
    header = (ROOT / name).read_text(encoding="utf-8").split("\n\n")[0]
    assert name in header


@pytest.mark.parametrize(
    "script", ["setup_node.sh", "start_mlflow.sh", "mount_shared.sh", "slurm.sh"]
)
def test_node_script_is_executable_and_parses(script: str) -> None:
    path = ROOT / "clusters" / script
    assert os.access(path, os.X_OK)
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_guide_names_every_cluster_file() -> None:
    guide = (ROOT / "docs/clusters.md").read_text(encoding="utf-8")
    for name in ALL_FILES:
        assert name in guide
