"""`cluster init`: filled files pass `cluster check` and keep their comments."""

import os
import re
from pathlib import Path

import pytest
import yaml

from smil_ray.cli.main import main
from smil_ray.errors import ConfigError
from smil_ray.orchestration.launch.check import check_cluster_file
from smil_ray.orchestration.launch.fill import ROOT, TEMPLATES, fill_cluster_file

FLAGS = {
    "aws": "--region us-west-2 --image ami-0123456789abcdef0 --max-workers 3 --shared none",
    "gcp": "--project my-lab --region us-east1 --zone us-east1-b --max-workers 3 "
    "--shared 10.0.0.2:/a",
    "local": "--head 10.83.0.1 --workers 10.83.0.2,10.83.0.3,10.83.0.4 --user ants "
    "--key ~/.ssh/lab --shared /data/mlflow",
    "kubernetes": "--image ghcr.io/lab/smil-ray:2 --claim lab-data --data /shared/x.h5",
    "slurm": "--partition short --nodes 3 --gpus 0 --time 1-00:00:00",
}


@pytest.mark.parametrize("kind", FLAGS)
def test_filled_file_has_the_values_and_no_problem(kind: str, tmp_path: Path) -> None:
    output = tmp_path / Path(TEMPLATES[kind].path).name
    assert main(["cluster", "init", kind, "--out", str(output), *FLAGS[kind].split()]) == 0
    text = output.read_text(encoding="utf-8")
    for value in FLAGS[kind].split()[1::2]:
        assert value in text
    assert check_cluster_file(output).problems == []
    template = (ROOT / TEMPLATES[kind].path).read_text(encoding="utf-8")
    assert text.count("\n") == template.count("\n")
    assert f"{TEMPLATES[kind].path}\n" not in text.replace(str(output), "")


def test_filled_lab_file_starts_as_many_workers_as_were_named(tmp_path: Path) -> None:
    output = tmp_path / "lab.yaml"
    main(["cluster", "init", "local", "--out", str(output), *FLAGS["local"].split()])
    config = yaml.safe_load(output.read_text(encoding="utf-8"))
    assert config["provider"]["worker_ips"] == ["10.83.0.2", "10.83.0.3", "10.83.0.4"]
    assert check_cluster_file(output).groups[1].least == 3


@pytest.mark.parametrize("kind", TEMPLATES)
def test_lines_to_edit_stand_at_the_top_and_are_at_most_five(kind: str) -> None:
    template = TEMPLATES[kind]
    text = (ROOT / template.path).read_text(encoding="utf-8")
    before, _, rest = text.partition("--- the lines to edit ---")
    block, _, _ = rest.partition("--- the end of the lines to edit")
    assert 1 <= len(template.lines) <= 5
    code = [line for line in before.splitlines() if line and not line.lstrip().startswith("#")]
    assert len(code) <= 4  # What a Kubernetes object begins with.
    for line in template.lines:
        assert re.search(line.before, f"\n{block}"), line.name


def test_value_that_does_not_fit_is_named_with_an_example(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--region; expected e\.g\. eu-central-1; found 'a b'"):
        fill_cluster_file("aws", {"region": "a b"}, tmp_path / "a.yaml", force=False)


def test_file_that_is_there_is_kept(tmp_path: Path) -> None:
    output = tmp_path / "mine.yaml"
    output.write_text("precious", encoding="utf-8")
    assert main(["cluster", "init", "aws", "--out", str(output)]) == 2
    assert output.read_text(encoding="utf-8") == "precious"


@pytest.mark.parametrize(
    ("kind", "name", "wanted"),
    [("slurm", "x.yaml", ".sh or .sbatch or .slurm"), ("aws", "x.sh", ".yaml or .yml")],
)
def test_name_of_another_kind_of_file_is_refused_before_anything_is_written(
    kind: str, name: str, wanted: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / name
    assert main(["cluster", "init", kind, "--out", str(output), *FLAGS[kind].split()]) == 2
    assert f"expected a name that ends with {wanted} for {kind}" in capsys.readouterr().err
    assert not output.exists()


def test_flag_of_another_kind_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cluster", "init", "slurm", "--region", "eu-central-1"]) == 2
    assert "--region is no setting of slurm" in capsys.readouterr().err


def test_machine_image_is_asked_of_the_clouds_own_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aws = tmp_path / "aws"
    aws.write_text('#!/bin/sh\n[ "${10}" = us-west-2 ] && echo ami-00112233445566778\n')
    aws.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    output = tmp_path / "cluster.yaml"
    assert main(["cluster", "init", "aws", "--region", "us-west-2", "--out", str(output)]) == 0
    assert "image: &image ami-00112233445566778" in output.read_text(encoding="utf-8")
