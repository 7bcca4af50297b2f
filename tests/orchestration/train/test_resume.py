from pathlib import Path

import pytest

from smil_ray.config import Config
from smil_ray.orchestration.train.resume import choose_start, differences
from smil_ray.tracking.run_dir import RunDir
from tests.memory_data import tiny_config


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return tiny_config(run={"output_dir": str(tmp_path)}, data={"path": "/data/ants.h5"})


def begin(config: Config, state: str, step: int = 0) -> RunDir:
    run = RunDir.create(config.run.output_dir, config.run.name or "train", config, "train")
    run.set_status(state, step=step)
    return run


def changed(config: Config, section: str, **values: object) -> Config:
    return config.model_copy(update={section: getattr(config, section).model_copy(update=values)})


def test_start_without_earlier_runs_is_new_without_a_word(config: Config) -> None:
    start = choose_start(config)
    assert (start.resume, start.reason) == (None, "")


@pytest.mark.parametrize("state", ["created", "running", "stopped", "failed"])
def test_start_beside_an_interrupted_run_goes_on_and_says_so(config: Config, state: str) -> None:
    run = begin(config, state, step=12)
    start = choose_start(changed(config, "train", epochs=99))
    assert start.resume == run.path
    assert f"{run.path} ({state} at step 12); --fresh" in start.reason


def test_start_takes_the_newest_of_several(config: Config) -> None:
    begin(config, "stopped")
    newest = begin(config, "failed")
    assert choose_start(config).resume == newest.path


def test_start_fresh_is_new(config: Config) -> None:
    begin(config, "stopped")
    assert choose_start(config, fresh=True).resume is None


def test_start_beside_a_finished_run_is_new(config: Config) -> None:
    begin(config, "finished")
    assert choose_start(config).resume is None


@pytest.mark.parametrize(
    ("section", "values"),
    [("optim", {"learning_rate": 0.5}), ("data", {"path": "/data/other.h5"})],
)
def test_start_with_another_setting_is_new_and_names_it(
    config: Config, section: str, values: dict
) -> None:
    run = begin(config, "stopped")
    start = choose_start(changed(config, section, **values))
    assert start.resume is None
    assert str(run.path) in start.reason
    assert f"{section}.{next(iter(values))}" in start.reason


def test_start_beside_a_run_in_training_is_new_and_says_so(config: Config) -> None:
    run = begin(config, "running")
    with run.lock():
        start = choose_start(config, wait_s=0.0)
    assert start.resume is None
    assert "still being trained" in start.reason


def test_start_leaves_runs_of_other_names_alone(config: Config) -> None:
    begin(changed(config, "run", name="train-long"), "stopped")
    assert choose_start(config).resume is None


def test_differences_name_what_a_resume_may_not_change(config: Config) -> None:
    other = changed(changed(config, "run", num_workers=2), "optim", clip_norm=None)
    assert differences(config, other) == ["optim.clip_norm"]


def test_relative_place_is_the_same_setting(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = changed(config, "body", model="ant.npz")
    absolute = changed(config, "body", model=str(tmp_path / "ant.npz"))
    assert differences(relative, absolute) == []
    monkeypatch.chdir("/")
    assert differences(relative, absolute) == ["body.model"]
