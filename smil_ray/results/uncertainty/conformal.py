"""Intervals of joints by split conformal prediction.

Errors on samples that the network was not trained on say how large errors are: a radius that
covers a share `level` of them covers as many of new samples, if those are like the old ones
(Vovk et al. 2005, "Algorithmic Learning in a Random World"; Lei et al. 2018, "Distribution-Free
Predictive Inference for Regression"). Errors are divided before by how unsure the network itself
is of a joint (`spread`), so that a radius is wide where it is unsure.

Each joint has a radius of its own. Errors in 2D are distances in the picture of the projected
joint, shares of the side of the square that the network sees. Errors in 3D are distances after
the predicted root joint was moved onto the true one, percent of body length.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float

from smil_ray.core.joint_groups import joint_groups
from smil_ray.errors import DataError
from smil_ray.tracking.run_dir import write_atomic

LEVEL = 0.9
FEWEST = 30
"""A joint with fewer errors takes the radius of its group, or of all joints."""
INTERVALS_FILE = "intervals.json"
_FORMAT = 1


@dataclass(frozen=True)
class JointErrors:
    """Errors of joints on held-out samples; NaN where there is no label.

    Attributes:
        in_2d: Shares of the side of the square that the network sees.
        in_3d: Percent of body length, roots on each other.
        spread: How unsure the network is, a share of the square's side; None for heads that say
            nothing of it. See `spread_of`.
    """

    in_2d: Float[np.ndarray, "n n_joints"]
    in_3d: Float[np.ndarray, "n n_joints"]
    spread: Float[np.ndarray, "n n_joints"] | None

    def __len__(self) -> int:
        return len(self.in_2d)


@dataclass(frozen=True)
class Coverage:
    """Which share of errors lies within its radius.

    Attributes:
        overall: In 2D and 3D.
        groups: The same by group of joints.
        mean_radius: In 2D (share of the square's side) and 3D (percent of body length).
        n_samples: How many samples were looked at.
    """

    overall: tuple[float, float]
    groups: Mapping[str, tuple[float, float]]
    mean_radius: tuple[float, float]
    n_samples: int

    @property
    def rows(self) -> list[tuple[str, str, str]]:
        """Group of joints, coverage in 2D and in 3D as text; the last row is of all joints."""
        shares = {**self.groups, "all": self.overall}
        return [
            (name, _percent(in_2d), _percent(in_3d)) for name, (in_2d, in_3d) in shares.items()
        ]

    @property
    def width(self) -> str:
        """How wide the intervals are, in words."""
        of_square, of_length = self.mean_radius
        return (
            f"mean radius {_percent(of_square)} of the square's side, "
            f"{_percent(of_length / 100.0)} of body length"
        )


@dataclass(frozen=True)
class JointIntervals:
    """Radii of the intervals of each joint.

    Attributes:
        joint_names: Of the body model.
        radius_2d: Shares of the square's side, or multiples of the spread.
        radius_3d: Percent of body length, or percent per unit of the spread (a share of the
            square's side). NaN for the root, from which distances are counted.
        is_scaled: Whether radii are to be multiplied by the spread.
        n_samples: How many samples they were found on.
        level: Which share of errors is covered.
        weights: Hash of the network's weights.
        split: Which samples of the data they were: `val`, `test` or `all`; empty if not known.
    """

    joint_names: tuple[str, ...]
    radius_2d: Float[np.ndarray, " n_joints"]
    radius_3d: Float[np.ndarray, " n_joints"]
    is_scaled: bool
    n_samples: int
    level: float = LEVEL
    weights: str = ""
    split: str = ""

    @classmethod
    def of(
        cls,
        errors: JointErrors,
        joint_names: Sequence[str],
        *,
        level: float = LEVEL,
        weights: str = "",
        split: str = "",
    ) -> "JointIntervals":
        """Return the intervals that errors on held-out samples give.

        Raises:
            DataError: There are too few errors for any interval of this level.
        """
        spread = 1.0 if errors.spread is None else errors.spread
        in_3d = errors.in_3d.copy()
        in_3d[:, 0] = np.nan
        radii = [_radii(error / spread, joint_names, level) for error in (errors.in_2d, in_3d)]
        if not np.isfinite(radii[0]).any() and not np.isfinite(radii[1]).any():
            raise DataError(
                f"Intervals of level {level:g}",
                expected=f"at least {math.ceil(round(level / (1.0 - level), 6))} labelled samples",
                found=len(errors),
                remedy="hold more samples back (data.val_fraction), or give --data",
            )
        radii[1][0] = np.nan
        return cls(
            tuple(joint_names),
            radii[0],
            radii[1],
            errors.spread is not None,
            len(errors),
            level,
            weights,
            split,
        )

    def radii(
        self,
        spread: Float[np.ndarray, "n n_joints"] | None,
        n: int,
    ) -> tuple[Float[np.ndarray, "n n_joints"], Float[np.ndarray, "n n_joints"]]:
        """Return the radii of `n` animals: shares of the square's side, percent of body length.

        Args:
            spread: How unsure the network is, a share of the square's side.
            n: How many animals.

        Raises:
            ValueError: The radii are scaled and there is no spread.
        """
        factor = np.ones((n, 1))
        if self.is_scaled:
            if spread is None:
                raise ValueError("JointIntervals.radii: these intervals need the spread")
            factor = spread
        return factor * self.radius_2d, factor * self.radius_3d

    def coverage(self, errors: JointErrors) -> Coverage:
        """Return which share of errors on other samples lies within these intervals."""
        radii = self.radii(errors.spread, len(errors))
        found = [
            np.where(np.isfinite(error) & np.isfinite(radius), error <= radius, np.nan)
            for error, radius in zip((errors.in_2d, errors.in_3d), radii, strict=True)
        ]
        groups = {
            name: (_mean(found[0][:, joints]), _mean(found[1][:, joints]))
            for name, joints in joint_groups(self.joint_names).items()
        }
        return Coverage(
            (_mean(found[0]), _mean(found[1])),
            groups,
            (_mean(radii[0]), _mean(radii[1])),
            len(errors),
        )

    def save(self, run: Path) -> Path:
        """Write `intervals.json` into a run folder."""
        record = {
            "format": _FORMAT,
            "level": self.level,
            "weights": self.weights,
            "n_samples": self.n_samples,
            "split": self.split,
            "is_scaled": self.is_scaled,
            "joint_names": self.joint_names,
            "radius_2d": _plain(self.radius_2d),
            "radius_3d": _plain(self.radius_3d),
        }
        path = run / INTERVALS_FILE
        write_atomic(path, json.dumps(record, indent=2))
        return path

    @classmethod
    def load(cls, run: Path) -> "JointIntervals | None":
        """Return the intervals of a run folder, None if it has none.

        Raises:
            DataError: The file is damaged.
        """
        path = run / INTERVALS_FILE
        if not path.is_file():
            return None
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
            return cls(
                tuple(record["joint_names"]),
                np.array(record["radius_2d"], dtype=np.float64),
                np.array(record["radius_3d"], dtype=np.float64),
                bool(record["is_scaled"]),
                int(record["n_samples"]),
                float(record["level"]),
                str(record["weights"]),
                str(record.get("split", "")),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"{path}: damaged intervals",
                found=f"{type(error).__name__}: {error}",
                remedy="write them again with `smil-ray calibrate RUN`",
            ) from error


def spread_of(
    scale: Float[np.ndarray, "n n_joints"],
    seen: Float[np.ndarray, "n n_joints 2"],
    projected: Float[np.ndarray, "n n_joints 2"],
) -> Float[np.ndarray, "n n_joints"]:
    """Return how unsure the network is of each joint, in the unit of the arguments.

    What the head says of the error of the place where it saw the joint, and how far the joint of
    the predicted body lies from there.

    Args:
        scale: `keypoint_scale` of the head.
        seen: `keypoint_xy`, where its heat maps saw each joint.
        projected: Where the predicted body's joints are.
    """
    return scale + np.linalg.norm(projected - seen, axis=-1)


def conformal_radius(scores: Float[np.ndarray, " n"], level: float = LEVEL) -> float:
    """Return the radius that covers a new score with probability `level` or more.

    It is the ceil((n + 1) level)-th smallest of `n` scores; infinite where there are too few.
    """
    rank = math.ceil((len(scores) + 1) * level - 1e-9)
    if rank > len(scores):
        return math.inf
    return float(np.partition(scores, rank - 1)[rank - 1])


def _radii(
    scores: Float[np.ndarray, "n n_joints"], joint_names: Sequence[str], level: float
) -> Float[np.ndarray, " n_joints"]:
    """Return each joint's radius; joints with few scores take their group's, or that of all."""
    known: Bool[np.ndarray, "n n_joints"] = np.isfinite(scores)
    counts = known.sum(axis=0)
    radii = np.full(len(joint_names), np.nan)
    of_all = conformal_radius(scores[known], level)
    group_of = {j: joints for joints in joint_groups(joint_names).values() for j in joints}
    for joint in range(len(joint_names)):
        if counts[joint] >= FEWEST:
            radii[joint] = conformal_radius(scores[known[:, joint], joint], level)
            continue
        joints = list(group_of.get(joint, ()))
        of_group = scores[:, joints][known[:, joints]]
        radii[joint] = conformal_radius(of_group, level) if len(of_group) >= FEWEST else of_all
    return np.where(np.isfinite(radii), radii, np.nan)


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100.0 * share:.1f} %"


def _mean(values: np.ndarray) -> float:
    values = values[np.isfinite(values)]
    return float(values.mean()) if len(values) else math.nan


def _plain(values: np.ndarray) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in values.tolist()]
