"""Abdomen, head, antennae, mandibles and wings of replicAnt's insects, posed by a few angles.

Model frame: x forward, y left, z up; radians.
"""

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float
from numpy.random import Generator

from smil_ray.core.skeleton import Skeleton

_ABDOMEN_SHARES = {"b_a_1": 0.16, "b_a_2": 0.26, "b_a_3": 0.24, "b_a_4": 0.22, "b_a_5": 0.12}
"""How the bend of the abdomen is divided among its joints."""


@dataclass(frozen=True)
class TrunkPose:
    """Angles of everything but the legs; those of antennae, mandibles and wings are (left, right).

    Attributes:
        abdomen: Roll, pitch (positive curls under the body) and yaw of the abdomen's tip.
        head: Roll, pitch (positive bows) and yaw (positive turns left).
        antenna_out: Away from the midline.
        antenna_up: Raised.
        elbow_in: Second joint of the antenna towards the midline.
        elbow_down: Second joint of the antenna downwards.
        tip_in: Third joint towards the midline.
        tip_down: Third joint downwards.
        mandible: Opened.
        wing_out: Spread.
        wing_up: Raised.
    """

    abdomen: Float[np.ndarray, "3"]
    head: Float[np.ndarray, "3"]
    antenna_out: Float[np.ndarray, "2"]
    antenna_up: Float[np.ndarray, "2"]
    elbow_in: Float[np.ndarray, "2"]
    elbow_down: Float[np.ndarray, "2"]
    tip_in: Float[np.ndarray, "2"]
    tip_down: Float[np.ndarray, "2"]
    mandible: Float[np.ndarray, "2"]
    wing_out: Float[np.ndarray, "2"]
    wing_up: Float[np.ndarray, "2"]

    def blended(self, other: "TrunkPose", share: float) -> "TrunkPose":
        """Return the pose between this one (share 0) and another (1)."""
        return TrunkPose(
            **{
                field.name: (1.0 - share) * getattr(self, field.name)
                + share * getattr(other, field.name)
                for field in fields(self)
            }
        )

    def rotations(self, skeleton: Skeleton) -> Float[np.ndarray, "n_joints 3"]:
        """Return the axis-angle rotations of the joints that the model has of these; else 0."""
        found = np.zeros((skeleton.n_joints, 3))
        roll, pitch, yaw = self.abdomen
        named: dict[str, tuple[float, float, float]] = {
            name: (share * roll, -share * pitch, share * yaw)
            for name, share in _ABDOMEN_SHARES.items()
        }
        named["b_h"] = tuple(self.head.tolist())
        for index, (letter, side) in enumerate((("l", 1.0), ("r", -1.0))):
            out, up = side * self.antenna_out[index], -self.antenna_up[index]
            named[f"an_1_{letter}"] = (0.0, up, out)
            named[f"an_2_{letter}"] = (
                0.0, self.elbow_down[index], -side * self.elbow_in[index]
            )  # fmt: skip
            named[f"an_3_{letter}"] = (0.0, self.tip_down[index], -side * self.tip_in[index])
            named[f"ma_{letter}"] = (0.0, 0.0, side * self.mandible[index])
            for wing in ("w_1", "w_2"):
                spread = (side * self.wing_up[index], 0.0, -side * self.wing_out[index])
                named[f"{wing}_{letter}"] = spread
        for name, rotation in named.items():
            if name in skeleton.index:
                found[skeleton.index[name]] = rotation
        return found


def draw_trunk(rng: Generator) -> TrunkPose:
    """Return a trunk at ease: everything moves somewhat, left and right alike but not equal."""
    return TrunkPose(
        abdomen=rng.normal((0.0, 0.15, 0.0), (0.12, 0.55, 0.45)),
        head=rng.normal((0.0, 0.05, 0.0), (0.16, 0.26, 0.30)),
        antenna_out=_pair(rng, 0.05, 0.40),
        antenna_up=_pair(rng, 0.0, 0.42),
        elbow_in=_pair(rng, 0.0, 0.42),
        elbow_down=_pair(rng, 0.05, 0.45),
        tip_in=_pair(rng, 0.0, 0.45),
        tip_down=_pair(rng, 0.05, 0.42),
        mandible=np.clip(_pair(rng, 0.15, 0.35), -0.15, 0.95),
        wing_out=np.clip(_pair(rng, 0.1, 0.16), -0.25, 0.5),
        wing_up=np.clip(_pair(rng, 0.08, 0.16), -0.25, 0.5),
    )


def _pair(rng: Generator, mean: float, spread: float) -> np.ndarray:
    """Normal numbers for left and right with a correlation of one half."""
    common, left, right = rng.standard_normal(3)
    return mean + spread * np.sqrt(0.5) * (common + np.array([left, right]))
