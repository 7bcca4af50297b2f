import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.training.assemble import assemble, assemble_beside
from smil_ray.training.batches.features import with_cached_features
from smil_ray.training.checkpoint.files import load_checkpoint
from smil_ray.training.checkpoint.folder import last_entry, load_newest
from smil_ray.training.loop import fit
from smil_ray.training.packing.compatibility import group_into_packs, stream_key
from smil_ray.training.packing.loop import Member, MemberEnd, fit_packed
from smil_ray.training.parts import Parts
from smil_ray.training.reports import EpochReport, Hooks
from smil_ray.training.step import NonFiniteLossError
from tests.memory_data import SIZE, MemoryData, tiny_config

FROZEN = {"name": "test_vit", "input_size": SIZE, "freeze": True}
JOINT_TOKENS = {"type": "joint_tokens", "hidden_dim": 32, "num_heads": 4, "depth": 1}
TRANSFORMER = {"type": "transformer_decoder", "hidden_dim": 32, "num_heads": 4, "depth": 1}
VARIANTS: dict[str, dict] = {
    "plain": {},
    "dropout": {"model": {"head": {"dropout": 0.3}}},
    "transformer": {"model": {"head": {**TRANSFORMER, "dropout": 0.2}}},
    "joint tokens": {"model": {"head": JOINT_TOKENS}},
    "prompts": {"model": {"head": {**JOINT_TOKENS, "prompt_share": 0.5}}},
    "axis angle": {"model": {"rotation_representation": "axis_angle"}},
    "rate": {"optim": {"learning_rate": 3e-3, "warmup_epochs": 1.0, "weight_decay": 0.1}},
    "curriculum": {"loss": {"stages": [(1, {"keypoint_2d": 0.5})], "transition": "linear"}},
    "running mean": {"optim": {"ema_decay": 0.9, "accumulate": 2}},
    "longer": {"train": {"epochs": 4}},
}
"""Ten runs that differ in everything that members of a pack may differ in."""


@pytest.fixture(autouse=True)
def _own_caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SMIL_RAY_CACHE", str(tmp_path / "caches"))


def config_of(changes: dict) -> Config:
    plain = {"model": {"backbone": FROZEN}, "data": {"feature_cache": "fp32"}}
    model = {**plain["model"], **changes.get("model", {})}
    return tiny_config(**{**plain, **changes, "model": model})


@pytest.fixture
def parts_of(insect: SmilModel, data: MemoryData) -> Callable[[Config], Parts]:
    def parts(config: Config) -> Parts:
        return with_cached_features(assemble(config, data, insect), config)

    return parts


class Pack:
    """Trains configurations in one pack and remembers what it was told."""

    def __init__(self, folder: Path, parts_of: Callable[[Config], Parts]) -> None:
        self.folder, self._parts_of = folder, parts_of
        self.lines: dict[int, list[tuple]] = {}
        self.ends: dict[int, MemberEnd] = {}

    def train(self, configs: list[Config], report: Any = None, **options: Any) -> None:
        first = self._parts_of(configs[0])
        members = []
        for number, config in enumerate(configs):
            folder = self.folder / str(number)
            folder.mkdir(parents=True, exist_ok=True)
            parts = first if number == 0 else assemble_beside(first, config)
            resume = load_newest(folder / "checkpoints")
            members.append(Member(parts, config, folder, self._hooks(number, report), resume))
        fit_packed(members, self.ends.__setitem__, **options)

    def _hooks(self, number: int, report: Any) -> Hooks:
        lines = self.lines.setdefault(number, [])

        def log(*line: Any) -> None:
            lines.append(line)

        def told(state: EpochReport) -> None:
            if report is not None:
                report(number, state)

        return Hooks(log=log, report=told)

    def digest(self, number: int) -> str:
        return digest(self.folder / str(number))


def digest(folder: Path) -> str:
    entry = last_entry(folder / "checkpoints")
    assert entry is not None
    weights = load_checkpoint(entry.path).weights
    content = b"".join(name.encode() + weights[name].numpy().tobytes() for name in sorted(weights))
    return hashlib.sha256(content).hexdigest()


def figures(lines: list[tuple]) -> list[tuple]:
    """Return what was logged less what depends on the clock."""
    clock = ("seconds", "per_s", "share", "system/")
    return [
        (step, epoch, {k: v for k, v in found.items() if not any(c in k for c in clock)})
        for step, epoch, found in lines
    ]


@pytest.mark.slow
def test_packed_runs_equal_the_same_runs_alone_to_the_bit(
    parts_of: Callable[[Config], Parts], tmp_path: Path
) -> None:
    configs = [config_of(changes) for changes in VARIANTS.values()]
    pack = Pack(tmp_path / "pack", parts_of)
    pack.train(configs)
    for number, (name, config) in enumerate(zip(VARIANTS, configs, strict=True)):
        lines: list[tuple] = []
        folder = tmp_path / "alone" / str(number)
        folder.mkdir(parents=True)
        hooks = Hooks(log=lambda *line, lines=lines: lines.append(line))
        alone = fit(parts_of(config), config, folder=folder, hooks=hooks)
        end = pack.ends[number]
        assert end.error is None, name
        assert end.result is not None, name
        assert end.result.step == alone.step, name
        assert figures(pack.lines[number]) == figures(lines), name
        assert pack.digest(number) == digest(folder), name


def test_member_that_fails_ends_alone(parts_of: Callable[[Config], Parts], tmp_path: Path) -> None:
    hot = {"optim": {"learning_rate": 1e38, "clip_norm": None}}
    configs = [config_of({}), config_of(hot), config_of({"train": {"epochs": 3}})]
    pack = Pack(tmp_path, parts_of)
    pack.train(configs)
    assert isinstance(pack.ends[1].error, NonFiniteLossError)
    assert "non_finite_step" in str(pack.ends[1].error)
    assert [pack.ends[n].result.epoch for n in (0, 2)] == [2, 3]  # pyright: ignore


def test_member_that_is_stopped_leaves_the_others_as_they_would_be(
    parts_of: Callable[[Config], Parts], tmp_path: Path
) -> None:
    def stop_first(number: int, state: EpochReport) -> None:
        if number == 0 and state.epoch == 1:
            raise KeyError("enough")

    configs = [config_of(VARIANTS["rate"]), config_of(VARIANTS["dropout"])]
    pack, undisturbed = Pack(tmp_path / "a", parts_of), Pack(tmp_path / "b", parts_of)
    pack.train(configs, stop_first, tolerated=(KeyError,))
    undisturbed.train(configs)
    assert isinstance(pack.ends[0].error, KeyError)
    assert pack.digest(1) == undisturbed.digest(1)


def test_members_resumed_at_different_epochs_end_like_undisturbed_ones(
    parts_of: Callable[[Config], Parts], tmp_path: Path
) -> None:
    configs = [config_of({"train": {"epochs": 3}, **VARIANTS[n]}) for n in ("dropout", "rate")]
    whole, broken = Pack(tmp_path / "whole", parts_of), Pack(tmp_path / "broken", parts_of)
    whole.train(configs)

    def stop(number: int, state: EpochReport) -> None:
        if state.epoch == 1 + number:
            raise KeyError("killed")

    broken.train(configs, stop, tolerated=(KeyError,))
    broken.train(configs)
    assert [broken.digest(n) for n in (0, 1)] == [whole.digest(n) for n in (0, 1)]


def test_time_of_a_pack_is_shared_out_among_its_members(
    parts_of: Callable[[Config], Parts], tmp_path: Path
) -> None:
    pack = Pack(tmp_path, parts_of)
    pack.train([config_of({}), config_of({})])
    assert all(end.seconds > 0 and math.isfinite(end.seconds) for end in pack.ends.values())


def test_runs_fit_together_unless_their_batches_or_features_differ() -> None:
    one = stream_key(config_of({}))
    assert one is not None
    for name, changes in VARIANTS.items():
        assert stream_key(config_of(changes)) == one, name
    for changes in (
        {"train": {"seed": 14}},
        {"data": {"feature_cache": "fp32", "batch_size": 3}},
        {"data": {"feature_cache": "fp16"}},
        {"model": {"reference_frame": "root"}},
        {"model": {"backbone": {**FROZEN, "name": "test_resnet"}}},
        {"body": {"propagate_scaling": False}},
    ):
        assert stream_key(config_of(changes)) not in (one, None), changes


def test_run_that_trains_its_backbone_or_has_no_cache_is_not_packed() -> None:
    for changes in (
        {"model": {"backbone": {**FROZEN, "freeze": False}}},
        {"model": {"backbone": {**FROZEN, "freeze": {"unfreeze_at_epoch": 1}}}},
        {"data": {"feature_cache": "off"}},
        {"data": {"feature_cache": "fp32", "augment": {"enabled": True}}},
    ):
        assert stream_key(config_of(changes)) is None, changes


def test_packs_keep_the_order_and_hold_only_what_fits_together() -> None:
    streams = ["a", "b", "a", None, "a", "b", None]
    assert list(group_into_packs(streams, 2)) == [[0, 2], [1, 5], [3], [4], [6]]
    assert list(group_into_packs(streams, 1)) == [[n] for n in range(7)]
