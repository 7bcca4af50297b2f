"""Configuration files and overrides: values arrive, a misspelled key meets its neighbour."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from smil_ray.config import Config
from smil_ray.config.reading import (
    apply_overrides,
    config_from_dict,
    flatten,
    load_config,
    merge,
    read_yaml,
    set_key,
    sweep_from_dict,
    to_yaml,
)
from smil_ray.errors import ConfigError

ROOT = Path(__file__).parents[2]
CONFIGS = sorted((ROOT / "experiments" / "configs").glob("*.yaml"))
SPACE = {"optim.learning_rate": {"loguniform": [1e-5, 1e-3]}}


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configuration_is_valid(path: Path) -> None:
    values = read_yaml(path)
    if "space" in values:
        assert sweep_from_dict(values, source=path.name).space
    else:
        assert load_config(path) != Config()


def test_written_configuration_reads_back_the_same(tmp_path: Path) -> None:
    config = load_config(None, ["train.epochs=3", "loss.stages=[[2, {betas: 0.5}]]"])
    path = tmp_path / "config.yaml"
    path.write_text(to_yaml(config))
    assert load_config(path) == config


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("optim.learning_rate=1e-4", "optim.learning_rate", 1e-4),
        ("train.epochs = 7", "train.epochs", 7),
        ("data.path=a=b.h5", "data.path", "a=b.h5"),
        ("model.backbone.freeze=true", "model.backbone.freeze", True),
        ("loss.base_weights.betas=0", "loss.base_weights.betas", 0.0),
        ("loss.ignored_joints=[b_a_5, b_h]", "loss.ignored_joints", ["b_a_5", "b_h"]),
        ("optim.clip_norm=null", "optim.clip_norm", None),
        ("run.use_gpu=no", "run.use_gpu", "no"),
    ],
)
def test_override_sets_one_value(override: str, key: str, value: object) -> None:
    plain, changed = (
        flatten(load_config(None, given).model_dump(mode="json")) for given in ([], [override])
    )
    assert changed.pop(key) == value
    plain.pop(key)
    assert changed == plain


def test_override_wins_over_the_file_and_later_over_earlier(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("train: {epochs: 3, seed: 5}\n")
    config = load_config(path, ["train.epochs=4", "train.epochs=6"])
    assert (config.train.epochs, config.train.seed) == (6, 5)


def test_one_weight_of_a_file_does_not_bring_the_defaults_back(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("loss: {base_weights: {keypoint_2d: 1.0}}\n")
    config = load_config(path, ["loss.base_weights.fov=2"])
    assert config.loss.base_weights == {"keypoint_2d": 1.0, "fov": 2.0}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["optim.learning_rat=1"], r"unknown key 'optim\.learning_rat'.*'optim\.learning_rate'"),
        (["epochs=1"], "unknown key 'epochs'; the nearest valid key is"),
        (["train.epochs=many"], r"train\.epochs: .*found 'many'"),
        (["train.epochs=0"], r"train\.epochs: .*greater than or equal to 1"),
        (["train.seed=-1"], r"train\.seed: .*greater than or equal to 0"),
        (["train.epochs"], "expected KEY=VALUE"),
        (["=1"], "expected KEY=VALUE"),
        (["train.epochs=[1"], "not YAML: expected ',' or '\\]'"),
        (["data.path=x", "data.path.y=1"], "path is a value, not a group"),
        (["loss.base_weights.sillouette=1"], "unknown loss term 'sillouette'"),
        (["train.select_metric=val/loss/total"], "must not be a loss"),
        (["optim.learning_rate=.nan"], r"optim\.learning_rate"),
    ],
)
def test_mistake_in_an_override_is_one_sentence(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(None, overrides)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n", "expected a mapping; found list"),
        ("train: {epochs: 1", r"cannot be read: .*\(line 1, column 18\)"),
        ("train: {epoch: 1}", r"unknown key 'train\.epoch'; .*'train\.epochs'"),
        ("train: 5", "train: "),
    ],
)
def test_mistake_in_a_file_names_the_file(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=rf"mine\.yaml.*{message}"):
        load_config(path)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert "\n" not in str(caught.value)


def test_missing_and_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml does not exist"):
        load_config(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path)
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00x")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / "bytes.yaml")


def test_empty_file_is_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "empty.yaml").write_text("# nothing\n")
    assert load_config(tmp_path / "empty.yaml") == Config()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": SPACE, "trails": 3}, "unknown key 'trails'; the nearest valid key is 'trials'"),
        ({"space": SPACE, "base": {"train": {"epoc": 1}}}, r"base: unknown key 'train\.epoc'"),
        ({"space": {"optim.lr": {"choice": [1]}}}, r"space: unknown key 'optim\.lr'"),
        ({"space": {"optim.learning_rate": {}}}, "exactly one of choice, uniform, loguniform"),
        ({}, "space"),
    ],
)
def test_mistake_in_a_sweep_is_one_sentence(values: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        sweep_from_dict(values)


def test_given_dictionaries_are_not_changed() -> None:
    base = {"train": {"epochs": 1}}
    assert merge(base, {"train": {"seed": 2}}) == {"train": {"epochs": 1, "seed": 2}}
    assert apply_overrides(base, ["train.epochs=9"]) == {"train": {"epochs": 9}}
    assert base == {"train": {"epochs": 1}}


names = st.sampled_from(["a", "b", "c"])
trees = st.recursive(
    st.integers(), lambda leaf: st.dictionaries(names, leaf, min_size=1), max_leaves=8
)


@given(st.dictionaries(names, trees, min_size=1))
def test_flat_keys_build_the_same_tree(values: dict) -> None:
    built: dict = {}
    for key, value in flatten(values).items():
        set_key(built, key, value)
    assert built == values


def test_stages_may_be_pairs() -> None:
    config = config_from_dict({"loss": {"stages": [(10, {"keypoint_2d": 0.01})]}})
    assert yaml.safe_load(to_yaml(config))["loss"]["stages"] == [
        {"epoch": 10, "weights": {"keypoint_2d": 0.01}}
    ]


def test_paths_are_absolute_and_words_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {
        "data.path": "ants.h5",
        "data.feature_cache_dir": "cache",
        "body.model": "ant.pkl",
        "model.backbone.weights": "vit.pth",
        "train.init_from": "runs/parent",
    }
    config = load_config(None, [f"{key}={value}" for key, value in given.items()])
    absolute = flatten(config.with_absolute_paths().model_dump(mode="json"))
    assert {key: absolute[key] for key in given} == {
        key: str(tmp_path / value) for key, value in given.items()
    }
    plain = load_config(None, ["data.path=s3://bucket/a.h5", "model.backbone.weights=pretrained"])
    assert plain.with_absolute_paths() == plain
