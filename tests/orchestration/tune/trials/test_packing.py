"""Packed sweeps on a real Ray: the same results as trials alone, whatever happens to them."""

import math
import os
import signal
from collections import deque
from pathlib import Path
from typing import Any

import pytest

from smil_ray.config.reading import sweep_from_dict
from smil_ray.config.sweep import SweepConfig
from smil_ray.errors import ConfigError
from smil_ray.orchestration.tune.job import SweepHooks, SweepOutcome, run_sweep
from smil_ray.orchestration.tune.search.space import base_config, list_points, make_trial
from smil_ray.orchestration.tune.search.spec import TrialSpec
from smil_ray.orchestration.tune.trials.packing import Packer, pack_size
from smil_ray.orchestration.tune.trials.resources import TrialPlan
from smil_ray.tracking.run_dir import RunDir
from tests.memory_data import SIZE, TINY

METRIC = "val/mpjpe_ra_pct_bl"
FROZEN = {"name": "test_vit", "input_size": SIZE, "freeze": True}
ray_test = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The ``noload`` loader:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def make_sweep(data: Path | None = None, **settings: Any) -> SweepConfig:
    base = {
        **TINY,
        "data": {**TINY["data"], "path": str(data), "feature_cache": "fp32"},
        "model": {**TINY["model"], "backbone": FROZEN},
        "train": {**TINY["train"], "select_metric": METRIC, "epochs": 4},
        "tracking": {"enabled": False},
    }
    space = {
        "optim.learning_rate": {"choice": [1e-4, 1e-3, 1e38]},
        "model.head.type": {"choice": ["mlp", "transformer_decoder"]},
    }
    values = {"name": "packed", "search": "grid", "base": base, "space": space, **settings}
    return sweep_from_dict(values)


def results(outcome: SweepOutcome) -> dict[str, tuple[Any, ...]]:
    return {r.name: (r.status, r.metric, r.epochs) for r in outcome.trials}


def epochs_of(outcome: SweepOutcome, name: str) -> list[float]:
    rows = RunDir.open(outcome.folder / "trials" / name).read_metrics()
    return [row["epoch"] for row in rows if METRIC in row["metrics"]]


@pytest.fixture(scope="module")
def alone(cluster: None, data: Path, tmp_path_factory: pytest.TempPathFactory) -> SweepOutcome:
    sweep = make_sweep(data, pack=1, max_concurrent_trials=1)
    return run_sweep(sweep, output_dir=tmp_path_factory.mktemp("alone"))


class TestOnRay:
    pytestmark = ray_test

    def test_packed_sweep_equals_its_trials_alone(
        self, alone: SweepOutcome, data: Path, tmp_path: Path
    ) -> None:
        packed = run_sweep(make_sweep(data, pack=6), output_dir=tmp_path)
        assert results(packed) == results(alone)
        statuses = [status for status, _, _ in results(packed).values()]
        assert statuses == ["finished"] * 4 + ["failed"] * 2
        reasons = [record.reason or "" for record in packed.trials[4:]]
        assert all("at step" in reason for reason in reasons), reasons
        assert packed.best is not None
        facts = RunDir.open(packed.folder / "trials/trial_000").facts()
        assert facts["packed_with"] == 5

    def test_pack_whose_process_dies_ends_like_an_undisturbed_one(
        self, alone: SweepOutcome, data: Path, tmp_path: Path
    ) -> None:
        killed: list[int] = []

        def kill_once(line: str) -> None:
            # The first one to end is a failure at step 1; the others are under way.
            if line.startswith("trial_") and not killed:
                killed.extend(trial_processes())
                for number in killed:
                    os.kill(number, signal.SIGKILL)

        hooks = SweepHooks(notify=kill_once)
        packed = run_sweep(make_sweep(data, pack=6), output_dir=tmp_path, hooks=hooks)
        assert killed
        assert results(packed) == results(alone)
        for name in ("trial_000", "trial_003"):
            assert epochs_of(packed, name) == [1.0, 2.0, 3.0, 4.0]

    def test_early_stopping_of_members_leaves_the_others(
        self, alone: SweepOutcome, data: Path, tmp_path: Path
    ) -> None:
        """The better half first: each of the slow learners comes behind it and is stopped."""
        asha = {"type": "asha", "grace_epochs": 1, "reduction_factor": 2}
        space = {
            "optim.learning_rate": {"choice": [1e-3, 1e-5]},
            "model.head.type": {"choice": ["mlp", "transformer_decoder"]},
        }
        sweep = make_sweep(data, pack=4, scheduler=asha, space=space)
        packed = run_sweep(sweep, output_dir=tmp_path)
        stopped = [record for record in packed.trials if record.status == "stopped"]
        assert {"trial_002", "trial_003"} <= {record.name for record in stopped}
        for record in stopped:
            assert record.epochs < 4
            assert len(epochs_of(packed, record.name)) == record.epochs
        assert packed.best is not None
        here = RunDir.open(packed.folder / "trials" / packed.best.name).load_config()
        same = [
            name
            for name in results(alone)
            if RunDir.open(alone.folder / "trials" / name).load_config() == here
        ]
        assert results(packed)[packed.best.name] == results(alone)[same[0]]

    @pytest.mark.usefixtures("cluster")
    def test_packed_population_equals_its_members_alone(self, data: Path, tmp_path: Path) -> None:
        """Members of a later generation begin from checkpoints of others, in one process again."""
        settings = {
            "search": "pbt",
            "trials": 3,
            "pbt": {"interval_epochs": 2},
            "space": {"optim.learning_rate": {"loguniform": [1e-5, 1e-2]}},
        }
        alone, packed = (
            run_sweep(make_sweep(data, pack=pack, **settings), output_dir=tmp_path / str(pack))
            for pack in (1, 3)
        )
        assert results(packed) == results(alone)
        records = {record.name: record for record in packed.trials}
        assert [record.generation for record in packed.trials] == [0, 0, 0, 1, 1, 1]
        heirs = [record for record in packed.trials[3:] if record.parent != heir_of(record.name)]
        assert len(heirs) == 1, "the worst member goes on from the best one"
        assert records[heirs[0].parent or ""].metric == min(
            record.metric or math.inf for record in packed.trials[:3]
        )
        for name in records:
            facts = RunDir.open(packed.folder / "trials" / name).facts()
            assert facts["packed_with"] == 2


def heir_of(name: str) -> str:
    """Return the name that a member had one generation before."""
    return name.replace("_g01", "_g00")


def trial_processes() -> list[int]:
    """Return the processes of this test's Ray that run a trial."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
            parents = ancestors(int(folder.name))
        except OSError:
            continue
        if command.startswith(b"ray::") and b"ImplicitFunc" in command and os.getpid() in parents:
            found.append(int(folder.name))
    return found


def ancestors(number: int) -> list[int]:
    found: list[int] = []
    while number > 1:
        stat = Path(f"/proc/{number}/stat").read_text()
        number = int(stat.rpartition(")")[2].split()[1])
        found.append(number)
    return found


def specs_of(sweep: SweepConfig) -> list[TrialSpec]:
    base = base_config(sweep)
    points = enumerate(list_points(sweep, base))
    return [
        make_trial(sweep, base, point, index, repeat)
        for index, point in points
        for repeat in range(sweep.repeats)
    ]


def packs_of(sweep: SweepConfig, size: int, look_ahead: int = 4) -> list[list[str]]:
    waiting = deque(specs_of(sweep))
    packer = Packer(lambda: waiting.popleft() if waiting else None, size, look_ahead)
    found = []
    while pack := packer.next():
        found.append([spec.name for spec in pack])
    return found


def test_packs_hold_trials_of_one_seed() -> None:
    sweep = make_sweep(repeats=2)
    assert packs_of(sweep, 4) == [
        [f"trial_{n:03d}_r0" for n in range(4)],
        [f"trial_{n:03d}_r1" for n in range(4)],
        ["trial_004_r0", "trial_005_r0"],
        ["trial_004_r1", "trial_005_r1"],
    ]


def test_packs_of_a_search_that_learns_take_no_trial_ahead() -> None:
    """Two seeds in turn: with four packs' look-ahead the first pack would be full."""
    assert packs_of(make_sweep(repeats=2), 4, look_ahead=1)[:2] == [
        ["trial_000_r0", "trial_001_r0"],
        ["trial_000_r1", "trial_001_r1", "trial_002_r1"],
    ]


def test_packs_hold_trials_of_one_backbone_and_leave_trained_ones_alone() -> None:
    backbones = [{**FROZEN, "freeze": False}, FROZEN, {**FROZEN, "name": "test_resnet"}]
    space = {
        "model.backbone": {"choice": backbones, "labels": ["trained", "vit", "resnet"]},
        "optim.learning_rate": {"choice": [1e-4, 1e-3]},
    }
    assert packs_of(make_sweep(space=space), 8) == [
        ["trial_000"],
        ["trial_001"],
        ["trial_002", "trial_003"],
        ["trial_004", "trial_005"],
    ]


PLAN = TrialPlan("inline", {"CPU": 1.0}, 2, {}, 1.0)


def test_automatic_packs_keep_every_process_busy() -> None:
    sweep = make_sweep()
    assert pack_size(sweep, base_config(sweep), PLAN) == 3
    many = make_sweep(repeats=8)
    assert pack_size(many, base_config(many), PLAN) == 8


def test_trained_backbones_are_not_packed() -> None:
    sweep = make_sweep()
    base = base_config(sweep, ["model.backbone.freeze=false"])
    assert pack_size(sweep, base, PLAN) == 1


def test_packs_of_ray_train_runs_are_refused() -> None:
    sweep = make_sweep(pack=4)
    plan = TrialPlan("ray_train", {"CPU": 1.0}, 2, {}, 1.0)
    with pytest.raises(ConfigError, match="pack"):
        pack_size(sweep, base_config(sweep), plan)
    assert pack_size(make_sweep(), base_config(sweep), plan) == 1
