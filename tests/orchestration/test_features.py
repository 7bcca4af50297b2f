import os
import re
import signal
from pathlib import Path

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.cli.main import main
from smil_ray.data.features.build import is_complete
from smil_ray.data.features.folder import list_caches
from smil_ray.data.hdf5.merge import write_shard
from smil_ray.data.hdf5.schema import StoreInfo
from smil_ray.data.hdf5.table import encode_samples
from smil_ray.errors import ConfigError
from smil_ray.orchestration import features
from smil_ray.orchestration.features import build_features
from smil_ray.orchestration.train.job import TrainOptions, run_training
from smil_ray.training.batches.features import ensure_caches
from smil_ray.training.parts import CachedFeatures
from tests.memory_data import SIZE, make_samples, open_memory_data, tiny_config

BACKBONE = {"name": "test_vit", "input_size": SIZE, "freeze": True}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = SmilModel.builtin()
    path = tmp_path_factory.mktemp("data") / "data.h5"
    info = StoreInfo.of(model, SIZE, {})
    write_shard(path, encode_samples(make_samples(model, 24), info, 95), info)
    return path


def settings(data: Path, caches: Path) -> dict:
    return {
        "data": {"path": str(data), "feature_cache_dir": str(caches), "feature_cache": "fp32"},
        "model": {"backbone": BACKBONE},
    }


def test_cache_commands_build_list_and_remove(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = [
        *("cache", "build", "--data", str(data), "--dir", str(tmp_path)),
        *("--backbone", "test_vit", "--set", f"model.backbone.input_size={SIZE}"),
        *("--num-workers", "1", "--set", "data.feature_cache=bf16"),
    ]
    assert main(build) == 0
    line = r"caching features of test_vit: \d+ kB a picture, 0\.00 GB for 24 pictures\n"
    assert re.search(line, capsys.readouterr().out)
    [entry] = list_caches(tmp_path)
    assert entry.complete
    assert entry.key.precision == "bf16"
    assert main(build) == 0
    said = capsys.readouterr().out
    assert "was there already" in said
    assert "caching features" not in said
    assert main(["cache", "ls", "--dir", str(tmp_path)]) == 0
    assert entry.folder.name in capsys.readouterr().out
    assert main(["cache", "rm", "--dir", str(tmp_path), "nothing"]) == 2
    assert main(["cache", "rm", "--dir", str(tmp_path), entry.folder.name[:12]]) == 0
    assert list_caches(tmp_path) == []


def test_cache_build_beyond_the_limit_is_refused_in_a_sentence(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    build = ["cache", "build", "--data", str(data), "--dir", str(tmp_path / "caches")]
    assert main([*build, "--backbone", "test_vit", "--cache-limit-gb", "1e-6"]) == 2
    assert "at most 1e-06 GB" in capsys.readouterr().err
    assert not (tmp_path / "caches").exists()


def test_cache_that_was_built_is_the_one_that_runs_use(data: Path, tmp_path: Path) -> None:
    run = {"output_dir": str(tmp_path / "runs"), "use_gpu": "no"}
    config = tiny_config(**settings(data, tmp_path / "caches"), run=run)
    report = build_features(config, num_workers=1)
    outcome = run_training(config, execution="inline")
    assert outcome.run_dir.facts()["features"] == report.folders[0].name
    assert len(list_caches(tmp_path / "caches")) == 1


def test_run_asked_to_stop_while_features_are_computed_stops(tmp_path: Path) -> None:
    config = tiny_config(
        model={"backbone": BACKBONE},
        data={"feature_cache_dir": str(tmp_path / "caches")},
        run={"output_dir": str(tmp_path / "runs"), "use_gpu": "no"},
    )

    def stop(line: str) -> None:
        if line.startswith("features"):
            os.kill(os.getpid(), signal.SIGTERM)

    said: list[str] = []
    options = TrainOptions(display=stop, announce=said.append, open_data=open_memory_data)
    outcome = run_training(config, execution="inline", options=options)
    assert outcome.status == "stopped"
    assert [line.partition(":")[0] for line in said] == ["caching features of test_vit"]
    assert "features" in (outcome.reason or "")
    again = run_training(
        resume=outcome.run_dir.path,
        execution="inline",
        options=TrainOptions(open_data=open_memory_data),
    )
    assert again.status == "finished"


def test_no_workers_are_refused() -> None:
    with pytest.raises(ConfigError, match="num_workers"):
        build_features(tiny_config(), num_workers=0)


@pytest.mark.ray
@pytest.mark.usefixtures("shared_ray")
def test_workers_on_ray_build_one_cache(data: Path, tmp_path: Path) -> None:
    config = tiny_config(**settings(data, tmp_path / "caches"))
    told: list[tuple[int, int]] = []
    report = build_features(config, num_workers=2, progress=lambda *now: told.append(now))
    assert report.workers == 2
    assert told[-1] == (24, 24)
    assert is_complete(report.folders[0])


def test_cache_is_built_on_the_device_that_is_named(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places: list[str] = []

    def spy(*arguments: object) -> CachedFeatures:
        places.append(str(arguments[3]))
        return ensure_caches(*arguments)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(features, "ensure_caches", spy)
    config = tiny_config(**settings(data, tmp_path))
    assert build_features(config, device="cpu", num_workers=1).workers == 1
    assert places == ["cpu"]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ConfigError, match="device cuda; expected a GPU"):
        build_features(config, device="cuda", num_workers=1)
