"""A sweep's folder as a large search leaves it, made of numbers: nothing is trained."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from smil_ray.body.smil_model import SmilModel
from smil_ray.results.ranking.leaderboard import Leaderboard
from smil_ray.results.ranking.pareto import Objective
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.results.ranking.sample_errors import SampleErrors

METRIC = "val/pa_mpjpe_pct_bl"
BACKBONES = {"vit_base_patch16_224": 2.0, "resnet50": 3.5, "mobilenetv3_small_100": 5.0}
COSTS = {"vit_base_patch16_224": 55.0, "resnet50": 30.0, "mobilenetv3_small_100": 6.0}
SAMPLES = 60


def write_sweep(folder: Path, configs: int = 24, repeats: int = 3) -> Path:
    """Write leaderboard, metrics and errors of single samples; two trials have failed.

    The metric depends on the backbone most, on the learning rate less, on dropout not at all.
    """
    generator = np.random.default_rng(4)
    joints = SmilModel.builtin().skeleton.joint_names
    hardness = generator.gamma(3.0, 1.0, SAMPLES)
    trials = []
    for index in range(configs):
        backbone = list(BACKBONES)[index % 3]
        decoder = bool(generator.random() < 0.6)
        labels: dict[str, Any] = {
            "model.backbone.name": backbone,
            "model.head.type": "transformer_decoder" if decoder else "mlp",
            "optim.learning_rate": float(10 ** generator.uniform(-5, -2.5)),
            "model.head.dropout": float(generator.uniform(0.0, 0.3)),
            **({"model.head.iterations": int(generator.integers(1, 5))} if decoder else {}),
        }
        off = 0.6 * abs(np.log10(labels["optim.learning_rate"]) + 3.6)
        level = BACKBONES[backbone] + off + float(generator.normal(0.0, 0.1))
        for repeat in range(repeats):
            name = f"trial_{index:03d}" + (f"_r{repeat}" if repeat else "")
            value = level + float(generator.normal(0.0, 0.12))
            _write_run(folder / "trials" / name, value, hardness, joints, generator)
            seconds = COSTS[backbone] * float(generator.uniform(9, 11))
            trials.append(
                TrialRecord(
                    name=name,
                    index=index,
                    repeat=repeat,
                    labels=labels,
                    status="stopped" if value > 5.5 else "finished",
                    metric=value,
                    epochs=20.0,
                    seconds=seconds,
                    device_hours=seconds / 3600,
                    folder=f"trials/{name}",
                    metrics={METRIC: value},
                    costs={"cost/latency_ms": COSTS[backbone] / 4},
                )
            )
    for index, reason in ((configs, "CUDA out of <memory>"), (configs + 1, "loss is nan")):
        name = f"trial_{index:03d}"
        labels = {"model.backbone.name": "resnet50", "optim.learning_rate": 0.9}
        trials.append(
            TrialRecord(name=name, index=index, labels=labels, status="failed", reason=reason)
        )
    objectives = (Objective(METRIC), Objective("cost/latency_ms"))
    final = _write_final(folder)
    board = Leaderboard(
        "tune_everything", METRIC, "min", tuple(trials), final, objectives=objectives
    )
    board.save(folder)
    (folder / "sweep.yaml").write_text("name: tune_everything\nsearch: random\ntrials: 26\n")
    return folder


def _write_run(
    run: Path,
    value: float,
    hardness: np.ndarray,
    joints: tuple[str, ...],
    generator: np.random.Generator,
) -> None:
    run.mkdir(parents=True)
    rows = [
        {"step": e, "epoch": float(e), "time": 1.0, "metrics": {METRIC: value + 9 * 0.8**e}}
        for e in range(1, 21)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    errors = value * hardness / hardness.mean() + generator.normal(0.0, 0.5, len(hardness))
    depth = np.linspace(0.4, 2.0, len(joints)) + generator.normal(0.0, 0.05, len(joints))
    SampleErrors(
        {METRIC: {f"s{number}": float(error) for number, error in enumerate(errors)}},
        {},
        {"pa_mpjpe_pct_bl": dict(zip(joints, (value * depth).tolist(), strict=True))},
    ).save(run)


def _write_final(folder: Path) -> dict[str, Any]:
    plots = folder / "final" / "plots"
    plots.mkdir(parents=True)
    (folder / "final" / "checkpoints").mkdir()
    cv2.imwrite(str(plots / "best.png"), np.full((300, 900, 3), 120, np.uint8))
    (folder / "final" / "config.yaml").write_text("train: {epochs: 9}\n")
    figures = {
        "network": {"pa_mpjpe_pct_bl": 2.0, "pck@0.10_bbox": 0.8},
        "mean pose": {"pa_mpjpe_pct_bl": 7.0, "pck@0.10_bbox": 0.3},
    }
    metrics = {"split": "test", "n_samples": 9, "figures": figures, "picture": "plots/best.png"}
    return {"folder": "final", "trial": "trial_000", "metric": 1.9, "metrics": metrics}
