"""What bodies are fitted to, and a batch of bodies on the way there."""

from dataclasses import dataclass, field, replace
from functools import cached_property

from jaxtyping import Bool, Float, Int64
from torch import Tensor

from smil_ray.body.posed_body import PosedBody
from smil_ray.body.smil_model import SmilModel
from smil_ray.core.params import SmilParams
from smil_ray.fitting.prior import PosePrior
from smil_ray.render.camera import Camera
from smil_ray.render.silhouette.soft import soft_silhouette

ROBUST_SHARE = 0.05
"""2D distances well beyond this share of the picture count hardly more: they are mistakes."""


@dataclass(frozen=True)
class Target:
    """What bodies are fitted to.

    Attributes:
        xy: Joints in the picture, fractions of width and height; anything where not known.
        known: Which joints count.
        scale: How far off each may be, a fraction of the picture; None: exact.
        intrinsics: fx, fy, cx, cy as fractions; only the principal point is used.
        masks: Silhouettes 0-1, a few pixels a side; all 0 where there is none.
        animals: Number of the animal in each row; rows of one animal are frames that follow one
            another. None: every row is another animal.
    """

    xy: Float[Tensor, "batch n_joints 2"]
    known: Bool[Tensor, "batch n_joints"]
    scale: Float[Tensor, "batch n_joints"] | None = None
    intrinsics: Float[Tensor, "batch 4"] | None = None
    masks: Float[Tensor, "batch h w"] | None = None
    animals: Int64[Tensor, " batch"] | None = None

    def rows(self, index: Int64[Tensor, " n"]) -> "Target":
        """Return the rows at `index`; one may come more than once."""
        chosen = {
            name: value[index] for name, value in vars(self).items() if isinstance(value, Tensor)
        }
        return replace(self, **chosen)


@dataclass(frozen=True)
class State:
    """A batch of bodies on the way, in the camera frame.

    Attributes:
        params: Axis-angle.
        start: Where the fit began.
        posed: The bodies of `params`.
        target: What they are fitted to.
        prior: What poses and shapes are likely.
        robust: 2D distances well beyond this share of the picture count hardly more.
    """

    params: SmilParams
    start: SmilParams
    posed: PosedBody
    target: Target
    model: SmilModel
    prior: PosePrior | None = None
    robust: float = field(default=ROBUST_SHARE)

    @property
    def joints(self) -> Float[Tensor, "batch n_joints 3"]:
        """Camera coordinates, model units."""
        return self.posed.joints

    @cached_property
    def _vertices(self) -> Float[Tensor, "batch n_verts 3"]:
        return self.posed.skin()

    def silhouettes(self, height: int, width: int, *, sigma: float) -> Float[Tensor, "batch h w"]:
        """Return soft silhouettes of the bodies; see `soft_silhouette`."""
        camera = Camera.from_params(self.params, self.target.intrinsics)
        xy, depth = camera.project(self._vertices)
        return soft_silhouette(xy, depth, self.model.faces, height, width, sigma=sigma)
