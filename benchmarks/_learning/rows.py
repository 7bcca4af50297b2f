"""The rows of the learning benchmark: which network learns what from which data."""

from dataclasses import dataclass, field
from typing import Any, Literal

from smil_ray.config import Config, LossConfig
from smil_ray.config.reading import config_from_dict, merge

SIZE, RENDERED = 128, 192
"""Side of the network's input and of the rendered pictures, pixels."""
HELD_OUT = 500
VALIDATION = 0.02
"""Share of the drawn samples that is set aside for validation."""


@dataclass(frozen=True)
class Data:
    """One synthetic data set of the built-in insect: what is drawn and how it is cut."""

    crop: Literal["none", "bbox"] = "bbox"
    pose_range: float = 1.0

    @property
    def name(self) -> str:
        """Name of its files."""
        return f"{self.crop}_{self.pose_range:g}"


@dataclass(frozen=True)
class Row:
    """A network: training samples, epochs, seeds, and what differs from the reference row."""

    samples: int
    epochs: int
    changes: dict[str, Any] = field(default_factory=dict)
    seeds: tuple[int, ...] = (0,)
    data: Data = Data()


PROMPTS = 5
"""Joints whose true places a network is told at prediction, where it can be."""

FIRST = "fine-tuned, 12,000 images"
REFERENCE = "reference: frozen, 3,000 images"

PROMPTED = "told places of joints in training"
FINE_TUNED = {
    "model": {"backbone": {"freeze": {"last_blocks": 13}, "learning_rate_factor": 0.3}},
}


def rows(scale: float = 1.0) -> dict[str, Row]:
    """Return the rows by name; `scale` shrinks their numbers of samples, to see that they work."""
    few, some, many, most = (
        max(48, round(scale * count)) for count in (1_000, 3_000, 10_000, 12_000)
    )
    head = {"model": {"head": {"type": "mlp"}}}
    decoder = {
        "model": {"head": {"type": "transformer_decoder", "depth": 2, "iterations": 2}},
    }
    known_camera = {"model": {"camera": "known"}}
    scratch = {"backbone": {"weights": "none", "freeze": False, "learning_rate_factor": 1.0}}
    trained = {"backbone": {"freeze": False, "learning_rate_factor": 0.1}}
    weights = LossConfig().base_weights  # Weights that are left out would be zero.
    no_maps = {"loss": {"base_weights": {**weights, "keypoint_heatmap": 0.0}}}
    placed = {"loss": {"base_weights": {**weights, "trans": 20.0}}, **known_camera}
    return {
        FIRST: Row(most, 6, FINE_TUNED, seeds=(0, 1)),
        REFERENCE: Row(some, 4),
        "from scratch": Row(some, 4, {"model": scratch}),
        "pretrained, all trained": Row(some, 4, {"model": trained}),
        "fine-tuned: last 13 blocks": Row(some, 4, FINE_TUNED),
        "MLP head": Row(some, 4, head),
        "transformer decoder": Row(some, 4, decoder),
        "1,000 images, as many steps": Row(few, 12),
        "10,000 images, as many steps": Row(many, 1),
        "10,000 images, four epochs": Row(many, 4),
        "whole pictures": Row(some, 4, data=Data(crop="none")),
        "known camera": Row(some, 4, known_camera),
        "known camera, place weighs more": Row(some, 4, placed),
        "without the heat maps' loss": Row(some, 4, no_maps),
        "without refinement": Row(some, 4, {"model": {"head": {"refinements": 0}}}),
        "two refinements": Row(some, 4, {"model": {"head": {"refinements": 2}}}),
        PROMPTED: Row(some, 4, {"model": {"head": {"prompt_share": 0.3}}}),
        "narrow poses": Row(some, 4, data=Data(pose_range=0.3)),
    }


def configuration(row: Row, seed: int, path: str, output: str) -> Config:
    """Return the configuration of one training of a row."""
    base: dict[str, Any] = {
        "data": {
            "path": path,
            "batch_size": 8,
            "val_fraction": VALIDATION,
            "test_fraction": 0.0,
            "limit": row.samples,
        },
        "model": {
            "backbone": {
                "name": "tf_efficientnet_lite0",
                "weights": "pretrained",
                "freeze": True,
                "input_size": SIZE,
                # All heads share one cache of features.
                "finest_stride": 4,
            },
            "head": {"type": "joint_tokens", "dropout": 0.0, "num_heads": 4},
        },
        "optim": {"learning_rate": 1e-3, "warmup_epochs": 0.2, "ema_decay": 0.995},
        "train": {
            "epochs": row.epochs,
            "seed": seed,
            "select_metric": "val/pose_score",
            "overlay_samples": 0,
            "plots": False,
        },
        "run": {"output_dir": output, "use_gpu": "no", "cpus_per_worker": 1},
        "tracking": {"enabled": False},
    }
    return config_from_dict(merge(base, row.changes))
