"""`cluster check`: what a launcher would refuse is refused here, with its place."""

import shutil
from pathlib import Path

import pytest
import yaml

from smil_ray.cli.main import main
from smil_ray.errors import ConfigError
from smil_ray.orchestration.launch.check import check_cluster_file
from smil_ray.orchestration.launch.plan import ClusterPlan, NodeGroup

ROOT = Path(__file__).parents[3]


def changed(tmp_path: Path, name: str, old: str, new: str) -> Path:
    """Return a copy of a shipped file in which one text stands for another."""
    text = (ROOT / name).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / Path(name).name
    path.write_text(text.replace(old, new), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "old", "new", "said"),
    [
        (
            "cluster.yaml",
            "idle_timeout_minutes",
            "idle_timeout_minuts",
            "nearest is 'idle_tim",
        ),
        (
            "cluster.yaml",
            "max_workers: 8",
            "max_workers: eight",
            "max_workers: 'eight' is not",
        ),
        ("cluster.yaml", "  region: eu-central-1", "", r"provider\.region; expected a value"),
        ("cluster.yaml", "head_node_type: head", "head_node_type: had", "head_node_type"),
        ("cluster.yaml", "type: aws", "type: awz", "provider.type; expected one of aws"),
        ("clusters/on_premise.yaml", "  head_ip: 192.168.1.10", "", r"provider\.head_ip"),
        ("clusters/gcp.yaml", "  project_id: MY_PROJECT", "", r"provider\.project_id"),
        (
            "clusters/kuberay_rayjob.yaml",
            "backoffLimit",
            "backofLimit",
            "nearest is 'backoff",
        ),
        (
            "clusters/kuberay_rayjob.yaml",
            "replicas: 1\n",
            "replicas: 9\n",
            "replicas; expected m",
        ),
        ("clusters/kuberay_rayjob.yaml", "{mode: token}", "{mode: tokn}", "authOptions.mode"),
        (
            "clusters/kuberay_rayjob.yaml",
            'num-cpus: "0"',
            "num-cpus: 0",
            "num-cpus: 0 is not",
        ),
        ("clusters/slurm.sh", "--partition", "--partitoin", "nearest is --partition"),
        ("clusters/slurm.sh", "--nodes=2", "--nodes=two", "line 16: --nodes: 'two' is not"),
        ("clusters/slurm.sh", "then wait", "then (wait", "bash cannot parse it"),
        ("clusters/slurm.sh", "set -euo pipefail", "set -eu\n#SBATCH --nodes=3", "overlooks"),
    ],
)
def test_check_names_the_field_that_the_launcher_would_refuse(
    tmp_path: Path, name: str, old: str, new: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        check_cluster_file(changed(tmp_path, name, old, new))


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("cluster.yaml", "RAY_AUTH_MODE=token "),
        ("clusters/on_premise.yaml", "RAY_AUTH_MODE=token "),
        ("clusters/gcp.yaml", '  "~/.ray/auth_token": "~/.ray/auth_token"\n'),
        ("clusters/kuberay_rayjob.yaml", "    authOptions: {mode: token}\n"),
        ("clusters/slurm.sh", "RAY_AUTH_MODE=token"),
    ],
)
def test_check_finds_ports_that_ask_for_no_token(tmp_path: Path, name: str, old: str) -> None:
    before = check_cluster_file(ROOT / name).problems
    found = check_cluster_file(changed(tmp_path, name, old, "")).problems
    assert len(found) > len(before)
    assert any("token" in problem for problem in set(found) - set(before))


def test_check_says_what_starts_and_what_an_hour_costs_at_most(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = changed(tmp_path, "cluster.yaml", "ami-00000000000000000", "ami-0123456789abcdef0")
    assert main(["cluster", "check", str(path)]) == 0
    said = capsys.readouterr().out
    assert "1 to 4 x gpu_worker (g6.2xlarge, spot)" in said
    assert "about 8.57 US dollars" in said  # 0.25 + 4 * 1.25 + 4 * 0.83
    assert "look up" in said
    assert f"ray up {path}" in said


def test_cost_counts_the_dearest_workers_up_to_the_limit_of_all() -> None:
    groups = [
        NodeGroup("head", 1, 1, "m7i.xlarge"),
        NodeGroup("cpu", 0, 4, "c7i.4xlarge"),
        NodeGroup("gpu", 0, 4, "g6.2xlarge"),
    ]
    assert "about 6.08 US" in ClusterPlan("", groups, "", most_workers=5).cost()
    unknown = ClusterPlan("", [NodeGroup("head", 1, 1, "x9.huge")], "").cost()
    assert unknown == "unknown: no price at hand for x9.huge"


def test_check_exits_with_1_for_values_that_are_not_filled_in() -> None:
    assert main(["cluster", "check", str(ROOT / "cluster.yaml")]) == 1
    assert main(["cluster", "check", str(ROOT / "clusters/slurm.sh")]) == 0


def test_ray_job_is_held_against_the_schema_of_a_real_cluster(tmp_path: Path) -> None:
    """Written in the form of `kubectl get crd`, which does not itself forbid unknown fields."""
    spec = {"type": "object", "properties": {"entrypoint": {"type": "string"}}}
    top = {name: {"type": "string"} for name in ("apiVersion", "kind")}
    schema = {
        "type": "object",
        "properties": {**top, "metadata": {"type": "object"}, "spec": spec},
    }
    versions = [{"name": "v1", "schema": {"openAPIV3Schema": schema}}]
    crd = tmp_path / "crd.yaml"
    crd.write_text(yaml.safe_dump({"spec": {"versions": versions}}), encoding="utf-8")
    job = ROOT / "clusters/kuberay_rayjob.yaml"
    with pytest.raises(ConfigError, match="spec: unknown key 'shutdownAfterJobFinishes'"):
        check_cluster_file(job, crd)
    spec["x-kubernetes-preserve-unknown-fields"] = True
    crd.write_text(yaml.safe_dump({"spec": {"versions": versions}}), encoding="utf-8")
    assert str(crd) in check_cluster_file(job, crd).schema


def test_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "sweep.yaml"
    shutil.copy(ROOT / "experiments/configs/tune_backbones.yaml", other)
    with pytest.raises(ConfigError, match="unknown kind of cluster file"):
        check_cluster_file(other)
