"""Runs on several data sets: drawn by weight, validated apart."""

from pathlib import Path

import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.mixed import MixedData
from smil_ray.errors import ConfigError
from smil_ray.orchestration.train.job import run_training
from smil_ray.orchestration.train.resume import differences
from smil_ray.results.evaluate import held_out_indices
from smil_ray.training.assemble import assemble
from smil_ray.training.batches.features import keys_of, plan_features, with_cached_features
from smil_ray.training.batches.loaders import train_loader, val_loader, val_sources
from smil_ray.training.checkpoint.folder import load_newest
from smil_ray.training.checkpoint.loading import load_regressor
from smil_ray.training.loop import fit
from smil_ray.training.parts import Parts
from smil_ray.training.reports import FitResult, Hooks
from smil_ray.training.world import World
from tests.insect_data import write_insects
from tests.memory_data import MemoryData, make_samples, tiny_config
from tests.partial_labels import two_d_only

SOURCES = [
    {"path": "a", "name": "synth", "weight": 1.0},
    {"path": "b", "name": "lab", "weight": 3.0, "val_fraction": 0.5},
]


@pytest.fixture(scope="module")
def mixed(insect: SmilModel) -> MixedData:
    lab = [two_d_only(sample) for sample in make_samples(insect, 12, seed=5)]
    return MixedData(
        {"synth": MemoryData(make_samples(insect, 24)), "lab": MemoryData(lab)}, "lab"
    )


def config(**sections: dict) -> Config:
    data = {"sources": SOURCES, "limit": None, **sections.pop("data", {})}
    return tiny_config(data=data, **sections)


def run(
    parts: Parts, settings: Config, folder: Path, stop: int | None = None
) -> tuple[FitResult, list[tuple[int, dict[str, float]]]]:
    """Train, stopping before optimiser step `stop`; return the result and what was logged."""
    folder.mkdir(exist_ok=True)
    logged: list[tuple[int, dict[str, float]]] = []
    steps = [0]

    def log(step: int, _: float, metrics: dict[str, float]) -> None:
        steps[0] = step
        kept = {k: v for k, v in metrics.items() if "loss" in k or k.startswith("val/")}
        logged.append((step, kept))

    hooks = Hooks(log=log, stop=lambda: stop is not None and steps[0] >= stop)
    resume = load_newest(folder / "checkpoints")
    result = fit(parts, settings, folder=folder, hooks=hooks, resume=resume)
    return result, logged


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    newest = load_newest(folder / "checkpoints")
    assert newest is not None
    return newest.weights


def test_every_source_is_split_as_if_it_were_alone(mixed: MixedData, insect: SmilModel) -> None:
    parts = assemble(config(), mixed, insect)
    synth, lab = parts.sources
    alone = assemble(tiny_config(data={"limit": None}), mixed.sources["synth"], insect).splits
    assert synth.splits.val.tolist() == alone.val.tolist()
    assert len(lab.splits.val) >= 4
    assert all(24 <= index < 36 for index in lab.splits.val)
    every = [*parts.splits.train, *parts.splits.val, *parts.splits.test]
    assert sorted(every) == list(range(36))
    assert [mixed.names[24], mixed.groups[24]] == ["lab/fake_0000", "lab/fake_0000"]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_batches_are_the_same_for_any_number_of_loader_workers(
    mixed: MixedData, insect: SmilModel
) -> None:
    def names(workers: int) -> list[tuple[str, ...]]:
        augment = {"enabled": True, "flip": 0.5}
        settings = config(data={"loader_workers": workers, "augment": augment})
        loader, sampler = train_loader(assemble(settings, mixed, insect), settings, World())
        sampler.set_position(1)
        batches = list(loader)
        sums = [float(b.image.double().sum()) for b in batches if b.image is not None]
        return [batch.names for batch in batches] + [tuple(map(str, sums))]

    assert names(0) == names(2)


def test_share_of_draws_follows_the_weights_and_repeats_differ(
    mixed: MixedData, insect: SmilModel
) -> None:
    augment = {"enabled": True, "noise": 0.0}
    sources = [SOURCES[0], {**SOURCES[1], "augment": augment}]
    settings = config(data={"sources": sources, "samples_per_epoch": 32})
    loader, sampler = train_loader(assemble(settings, mixed, insect), settings, World())
    sampler.set_position(0)
    names: list[str] = []
    pictures: dict[str, list[torch.Tensor]] = {}
    for batch in loader:
        assert batch.image is not None
        for name, image in zip(batch.names, batch.image, strict=True):
            names.append(name)
            pictures.setdefault(name, []).append(image)
    assert sum(name.startswith("lab/") for name in names) == 24
    repeated = [found for name, found in pictures.items() if len(found) > 1]
    assert repeated
    assert all(not torch.equal(found[0], found[1]) for found in repeated)
    index = mixed.names.index(next(name for name in names if name.startswith("synth/")))
    plain = torch.from_numpy(mixed.samples([index])[0].image).permute(2, 0, 1)
    assert torch.equal(pictures[mixed.names[index]][0], plain)


def test_resumed_run_equals_an_uninterrupted_one_to_the_bit(
    mixed: MixedData, insect: SmilModel, tmp_path: Path
) -> None:
    settings = config(
        data={"augment": {"enabled": True}},
        loss={"base_weights": {"joint_rot": 20.0, "keypoint_2d": 30.0, "pose_prior": 0.5}},
    )
    whole, first = run(assemble(settings, mixed, insect), settings, tmp_path / "whole")
    _, early = run(assemble(settings, mixed, insect), settings, tmp_path / "parts", stop=3)
    parts, late = run(assemble(settings, mixed, insect), settings, tmp_path / "parts")
    assert (whole.epoch, whole.step) == (parts.epoch, parts.step)
    assert early
    assert late
    assert [*early, *late] == first
    one, two = weights_of(tmp_path / "whole"), weights_of(tmp_path / "parts")
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_sources_are_validated_apart_and_together(
    mixed: MixedData, insect: SmilModel, tmp_path: Path
) -> None:
    settings = config(train={"select_metric": "val/lab/pck_auc_bbox", "select_mode": "max"})
    parts = assemble(settings, mixed, insect)
    sources = val_sources(parts, settings, World())
    batches = list(val_loader(parts, settings, World()))
    assert len(sources) == len(batches)
    for source, batch in zip(sources, batches, strict=True):
        assert {name.split("/")[0] for name in batch.names} == {source}
    metrics = run(parts, settings, tmp_path)[0].metrics
    assert "val/synth/pose_score" in metrics
    assert "val/lab/pose_score" not in metrics
    assert metrics["val/lab/n_joints_3d"] == 0
    counts = [metrics[f"val/{name}/n_joints_2d"] for name in ("synth", "lab")]
    values = [metrics[f"val/{name}/kp2d_px_input"] for name in ("synth", "lab")]
    mean = sum(v * n for v, n in zip(values, counts, strict=True)) / sum(counts)
    assert metrics["val/kp2d_px_input"] == pytest.approx(mean, rel=1e-12)
    assert metrics["val/n_samples"] == sum(
        metrics[f"val/{name}/n_samples"] for name in ("synth", "lab")
    )


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("val/zoo/pck_auc_bbox", "no source zoo with validation samples"),
        ("val/lab/pose_score", "select by a 2D figure"),
    ],
)
def test_selection_by_a_figure_that_cannot_be_is_refused(
    mixed: MixedData, insect: SmilModel, metric: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        assemble(config(train={"select_metric": metric}), mixed, insect)


def test_cached_features_give_the_numbers_of_pictures(
    mixed: MixedData, insect: SmilModel, tmp_path: Path
) -> None:
    model = {"backbone": {"name": "test_vit", "input_size": 32, "freeze": True}}
    cache = {"feature_cache": "fp32", "feature_cache_dir": str(tmp_path / "cache")}
    cached = config(model=model, data=cache)
    live = config(model=model, data={"feature_cache": "off"})
    parts = with_cached_features(assemble(cached, mixed, insect), cached)
    assert parts.features is not None
    assert len(keys_of(plan_features(parts, cached))) == 2
    first = run(parts, cached, tmp_path / "cached")[0].metrics
    second = run(assemble(live, mixed, insect), live, tmp_path / "live")[0].metrics
    for name, value in second.items():
        if name.startswith("val/"):
            assert first[name] == pytest.approx(value, rel=1e-4, abs=1e-6), name


def test_cached_views_of_a_source_follow_its_own_changes(
    mixed: MixedData, insect: SmilModel, tmp_path: Path
) -> None:
    model = {"backbone": {"name": "test_vit", "input_size": 32, "freeze": True}}
    sources = [SOURCES[0], {**SOURCES[1], "augment": {"enabled": True}}]
    changes = {"sources": sources, "feature_views": 8, "feature_cache_dir": str(tmp_path)}
    settings = config(model=model, data={**changes, "feature_cache": "fp32"})
    parts = with_cached_features(assemble(settings, mixed, insect), settings)
    live = config(model=model, data={**changes, "feature_cache": "off"})
    cached_loader, first = train_loader(parts, settings, World())
    live_loader, second = train_loader(assemble(live, mixed, insect), live, World())
    first.set_position(0)
    second.set_position(0)
    for cached, plain in zip(cached_loader, live_loader, strict=True):
        assert cached.names == plain.names
        assert cached.tokens is not None
        assert plain.image is not None
        torch.testing.assert_close(cached.keypoints_2d, plain.keypoints_2d, equal_nan=True)
        with torch.no_grad():
            tokens = parts.regressor.backbone.eval()(plain.image).packed()
        torch.testing.assert_close(cached.tokens, tokens, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"path": "x.h5", "sources": SOURCES}, "path or sources"),
        ({"sources": [SOURCES[0], SOURCES[0]]}, "different names"),
        ({"sources": [{"path": "loss.h5"}]}, "must not be named loss"),
        (
            {"sources": [{**SOURCES[0], "val_fraction": 0.95, "test_fraction": 0.1}]},
            "must be below 1",
        ),
    ],
)
def test_settings_that_contradict_are_refused(data: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        tiny_config(data=data)


def test_moved_source_is_the_same_run_and_another_weight_is_not() -> None:
    first = config()
    moved = config(data={"sources": [{**SOURCES[0], "path": "/elsewhere/a"}, SOURCES[1]]})
    heavier = config(data={"sources": [SOURCES[0], {**SOURCES[1], "weight": 4.0}]})
    assert differences(first, moved) == []
    assert differences(first, heavier) == ["data.sources.lab.weight"]


def test_run_on_two_files_says_what_it_drew_from(insect: SmilModel, tmp_path: Path) -> None:
    lab = [two_d_only(sample) for sample in make_samples(insect, 12, seed=5)]
    write_insects(tmp_path / "synth.h5")
    write_insects(tmp_path / "lab.h5", lab)
    sources = [{"path": str(tmp_path / f"{name}.h5")} for name in ("synth", "lab")]
    settings = tiny_config(
        data={"sources": sources, "limit": None, "test_fraction": 0.25},
        train={"epochs": 1, "overlay_samples": 3},
        run={"output_dir": str(tmp_path / "runs"), "use_gpu": "no"},
    )
    found = run_training(settings, execution="inline").run_dir
    facts = found.facts()
    assert set(facts["sources"]) == {"synth", "lab"}
    assert facts["data"] == [str(tmp_path / "synth.h5"), str(tmp_path / "lab.h5")]
    assert [s.name for s in found.load_config().data.sources] == ["synth", "lab"]
    assert (found.overlays / "epoch_0001.png").is_file()
    loaded = load_regressor(found.path)
    for name, chosen in ((None, "synth"), ("lab", "lab")):
        alone = loaded.on_source(name)
        dataset = SmilDataset.from_path(str(alone.config.data.path), model=loaded.model)
        held_out = held_out_indices(alone, dataset, "test")
        assert len(held_out) == facts["sources"][chosen]["samples"]["test"] > 0
    with pytest.raises(ConfigError, match="source zoo; expected one of synth, lab"):
        loaded.on_source("zoo")
