from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.core.batch import Sample, collate
from smil_ray.data.augment import Augmenter
from smil_ray.data.features import key as features_key
from smil_ray.data.features.build import BuildHooks
from smil_ray.data.features.cache import FeatureCache
from smil_ray.data.features.folder import CacheLimitError
from smil_ray.models.backbones import Backbone
from smil_ray.training.assemble import assemble
from smil_ray.training.batches.features import plan_features, with_cached_features
from smil_ray.training.batches.loaders import train_loader, val_loader
from smil_ray.training.checkpoint.folder import load_newest
from smil_ray.training.loop import fit
from smil_ray.training.parts import Parts
from smil_ray.training.reports import Hooks
from smil_ray.training.world import World
from tests.memory_data import SIZE, MemoryData, make_samples, tiny_config

FROZEN = {"backbone": {"name": "test_vit", "input_size": SIZE, "freeze": True}}
AUGMENTED = {"augment": {"enabled": True}, "feature_views": 2}
Attach = Callable[..., Parts]


def train_cache(parts: Parts) -> FeatureCache:
    assert parts.features is not None
    assert isinstance(parts.features.train, FeatureCache)
    return parts.features.train


@pytest.fixture(autouse=True)
def _own_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMIL_RAY_CACHE", str(tmp_path / "caches"))
    monkeypatch.setattr(features_key, "SHARD_BYTES", 100_000)


@pytest.fixture
def attach(insect: SmilModel, data: MemoryData) -> Attach:
    def run(config: Config, source: Any = data, **changes: Any) -> Parts:
        return with_cached_features(assemble(config, source, insect), config, **changes)

    return run


def frozen(**sections: dict) -> Config:
    return tiny_config(**{**sections, "model": {**FROZEN, **sections.get("model", {})}})


def metrics_of(parts: Parts, config: Config, folder: Path) -> dict[str, float]:
    folder.mkdir()
    found = fit(parts, config, folder=folder).metrics
    return {name: value for name, value in found.items() if name.startswith("val/")}


@pytest.mark.parametrize(
    ("head", "backbone"),
    [
        ("mlp", "test_vit"),
        ("transformer_decoder", "test_vit"),
        ("joint_tokens", "test_vit"),
        ("joint_tokens", "test_resnet"),
    ],
)
def test_training_on_fp32_features_equals_training_on_pictures(
    attach: Attach, tmp_path: Path, head: str, backbone: str
) -> None:
    model = {
        "backbone": {**FROZEN["backbone"], "name": backbone},
        "head": {"type": head, "hidden_dim": 32, "num_heads": 4},
    }
    live, cached = (frozen(model=model, data={"feature_cache": m}) for m in ("off", "fp32"))
    expected = metrics_of(attach(live), live, tmp_path / "live")
    parts = attach(cached)
    assert parts.features is not None
    # Maps lie in memory otherwise than in the cache, which convolutions sum in another order.
    tolerance = 1e-6 if backbone == "test_vit" else 1e-4
    found = metrics_of(parts, cached, tmp_path / "cached")
    assert found == pytest.approx(expected, rel=tolerance)


def test_training_on_half_precision_features_ends_within_a_thousandth(
    attach: Attach, tmp_path: Path
) -> None:
    live, cached = (frozen(data={"feature_cache": m}) for m in ("off", "auto"))
    expected = metrics_of(attach(live), live, tmp_path / "live")
    parts = attach(cached)
    assert train_cache(parts).key.precision == "fp16"
    assert metrics_of(parts, cached, tmp_path / "cached") == pytest.approx(expected, rel=1e-3)


def test_heads_with_and_without_maps_share_a_cache_that_has_maps(attach: Attach) -> None:
    backbone = {"name": "test_resnet", "input_size": SIZE, "freeze": True, "finest_stride": 4}
    width = {"hidden_dim": 32, "num_heads": 4}
    keys = []
    for head in ("mlp", "joint_tokens"):
        model = {"backbone": backbone, "head": {"type": head, **width}}
        parts = attach(tiny_config(model=model, data={"feature_cache": "fp16"}))
        keys.append(train_cache(parts).key)
    assert keys[0] == keys[1]


def test_training_on_features_never_runs_the_backbone_nor_reads_pictures(
    insect: SmilModel, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = frozen(data={"feature_cache": "fp32"}, train={"overlay_every_epochs": 1})
    source = MemoryData(samples)
    parts = with_cached_features(assemble(config, source, insect), config)
    monkeypatch.setattr(Backbone, "forward", None)
    monkeypatch.setattr(source, "view", None)
    drawn: list[Any] = []
    fit(parts, config, folder=tmp_path, hooks=Hooks(draw=drawn.append))
    assert len(drawn) == 2


def test_second_run_computes_nothing(attach: Attach, monkeypatch: pytest.MonkeyPatch) -> None:
    config = frozen()
    first = attach(config)
    monkeypatch.setattr(Backbone, "forward", None)
    second = attach(frozen(optim={"learning_rate": 0.1}, model={"head": {"type": "mlp"}}))
    assert train_cache(first).folder == train_cache(second).folder
    assert first.feature_note == train_cache(first).folder.name


def test_key_changes_with_what_the_features_depend_on(
    insect: SmilModel, data: MemoryData, tmp_path: Path
) -> None:
    def digest(config: Config, source: Any = data) -> str:
        return plan_features(assemble(config, source, insect), config)[""].train.digest

    config = frozen()
    other_data = MemoryData(make_samples(insect, 24, seed=5))
    other_data.content_hash = "other"
    backbone = FROZEN["backbone"]
    digests = [
        digest(config),
        digest(config, other_data),
        digest(frozen(train={"seed": 14})),  # Other random weights.
        digest(frozen(model={"backbone": {**backbone, "input_size": 2 * SIZE}})),
        digest(frozen(model={"backbone": {**backbone, "name": "test_vit2"}})),
        digest(frozen(data={"feature_cache": "fp32"})),
        digest(frozen(data={"augment": {"enabled": True}, "feature_views": 1})),
        digest(frozen(data={"augment": {"enabled": True}, "feature_views": 2})),
    ]
    assert len(set(digests)) == len(digests)
    other_split = frozen(data={"split_seed": 3, "limit": 4, "val_fraction": 0.3})
    assert digest(other_split) == digest(frozen(optim={"learning_rate": 1e-5})) == digests[0]


def test_key_follows_the_weights_of_a_file(
    insect: SmilModel, data: MemoryData, tmp_path: Path
) -> None:
    weights = assemble(frozen(), data, insect).regressor.backbone.model.state_dict()
    digests = []
    for factor in (1.0, 1.0, 1.01):
        path = tmp_path / f"weights_{len(digests)}.pth"
        torch.save({name: factor * value for name, value in weights.items()}, path)
        config = frozen(model={"backbone": {**FROZEN["backbone"], "weights": str(path)}})
        digests.append(plan_features(assemble(config, data, insect), config)[""].train.digest)
    assert digests[0] == digests[1] != digests[2]


def test_views_hold_the_changed_pictures_of_the_first_epochs(
    attach: Attach, insect: SmilModel, samples: list[Sample], tmp_path: Path
) -> None:
    config = frozen(data={**AUGMENTED, "feature_cache": "fp32"})
    parts = attach(config)
    assert parts.features is not None
    augmenter = Augmenter(config.data.augment, insect.skeleton, config.train.seed)
    by_name = {sample.name: sample for sample in samples}
    loader, sampler = train_loader(parts, config, World())
    for epoch, view in ((0, 0), (1, 1), (2, 0)):
        sampler.set_position(epoch)
        batch = next(iter(loader))
        changed = collate([augmenter(by_name[name], view) for name in batch.names])
        assert changed.image is not None
        packed = parts.regressor.backbone(changed.image).packed()
        torch.testing.assert_close(batch.tokens, packed, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(batch.keypoints_2d, changed.keypoints_2d)
    found = next(iter(val_loader(parts, config, World())))
    plain = collate([by_name[name] for name in found.names])
    torch.testing.assert_close(found.keypoints_2d, plain.keypoints_2d)
    assert np.isfinite(list(metrics_of(parts, config, tmp_path / "run").values())).all()


@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({"data": {"feature_cache": "off"}}, "off"),
        ({"model": {"backbone": {**FROZEN["backbone"], "freeze": False}}}, "freeze"),
        ({"data": {"augment": {"enabled": True}}}, "feature_views"),
        ({"train": {"epochs": 1}}, "shorter"),
    ],
)
def test_run_without_use_for_a_cache_says_why(attach: Attach, sections: dict, reason: str) -> None:
    parts = attach(frozen(**sections))
    assert parts.features is None
    assert reason in parts.feature_note


def test_limit_is_respected_before_anything_is_computed(
    attach: Attach, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(Backbone, "forward", None)
    small = {"feature_cache_limit_gb": 1e-6}
    parts = attach(frozen(data=small))
    assert parts.features is None
    assert "feature_cache_limit_gb" in parts.feature_note
    with pytest.raises(CacheLimitError, match="feature_cache_limit_gb"):
        attach(frozen(data={**small, "feature_cache": "fp32"}))
    assert not (tmp_path / "caches").exists()


def test_resumed_run_uses_the_weights_it_began_with(
    attach: Attach, insect: SmilModel, data: MemoryData, tmp_path: Path
) -> None:
    config = frozen(data={"feature_cache": "fp32"})
    first = attach(config)
    fit(first, config, folder=tmp_path)
    checkpoint = load_newest(tmp_path / "checkpoints")
    # Another seed gives another random backbone, unless it comes from the checkpoint.
    other = frozen(data={"feature_cache": "fp32"}, train={"seed": 99})
    resumed = with_cached_features(assemble(other, data, insect, resume=checkpoint), other)
    assert train_cache(resumed).folder == train_cache(first).folder


def test_progress_counts_all_rows(attach: Attach) -> None:
    told: list[tuple[int, int]] = []
    attach(frozen(), hooks=BuildHooks(lambda *now: told.append(now)))
    assert told[-1] == (24, 24)


def test_silhouette_loss_gets_its_masks(
    insect: SmilModel, samples: list[Sample], tmp_path: Path
) -> None:
    def masked(sample: Sample) -> Sample:
        mask = np.zeros((SIZE, SIZE), np.uint8)
        mask[8:20, 5:25] = 200
        return replace(sample, mask=mask, present=sample.present | {"mask"})

    source = MemoryData([masked(sample) for sample in samples])
    loss = {"base_weights": {"silhouette": 1.0}, "silhouette_size": 16}
    live, cached = (
        frozen(loss=loss, data={"feature_cache": m}, train={"epochs": 2}) for m in ("off", "fp32")
    )
    expected = metrics_of(assemble(live, source, insect), live, tmp_path / "live")
    parts = with_cached_features(assemble(cached, source, insect), cached)
    assert parts.features is not None
    assert metrics_of(parts, cached, tmp_path / "cached") == pytest.approx(expected, rel=1e-4)
