"""Sweeps whose trials begin with another run's network take it over."""

from pathlib import Path

import pytest

from smil_ray.config.reading import sweep_from_dict
from smil_ray.config.sweep import SweepConfig
from smil_ray.orchestration.tune.parents import settings_of_parent
from smil_ray.orchestration.tune.search.space import base_config, list_points, make_trial
from smil_ray.training.warm_start import SETTING
from tests.insect_data import train_insects, write_insects


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("parents")
    return train_insects(write_insects(place / "insects.h5"), place)


def sweep(place: Path | None, **base: dict) -> SweepConfig:
    space = {SETTING: {"choice": [None, str(place)]}, "optim.learning_rate": {"choice": [0.1]}}
    return sweep_from_dict({"name": "s", "search": "grid", "base": base, "space": space})


def test_trials_have_the_network_of_the_run_that_is_searched_over(parent: Path) -> None:
    searched = sweep(parent, model={"backbone": {"freeze": True}})
    overrides = settings_of_parent(searched, base_config(searched))
    base = base_config(searched, overrides)
    assert base.model.head.type == "mlp"
    assert base.model.backbone.name == "test_vit"
    assert base.model.backbone.freeze is True
    trials = [
        make_trial(searched, base, point, index)
        for index, point in enumerate(list_points(searched, base))
    ]
    begun = [trial.config["train"]["init_from"] for trial in trials]
    assert begun == [None, str(parent)]
    assert all(trial.config["model"]["head"]["hidden_dim"] == 16 for trial in trials)


def test_sweep_that_begins_anew_changes_nothing() -> None:
    anew = sweep_from_dict(
        {"name": "s", "search": "grid", "space": {"optim.learning_rate": {"choice": [0.1]}}}
    )
    assert settings_of_parent(anew, base_config(anew)) == []
