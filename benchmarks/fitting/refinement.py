"""What fitting to joints and masks adds to a prediction, and what it finds without one.

Command:   python benchmarks/fitting/refinement.py FOLDER [--samples N] [--only ROW ...]
Takes:     about 10 minutes on one idle core with 200 samples
Expected:  with true 2D joints PA-MPJPE falls for at least 95 % of the samples and rises for none
           by more than 1 %; from scratch at least 80 % come below 5 % of body length; with the
           head's own maps the 2D error falls and PA-MPJPE does not rise
Writes:    the section "Refinement" of benchmarks/RESULTS.md

FOLDER is what `python benchmarks/learning.py --only "told places of joints in training" --output
FOLDER` left: held-out pictures of the built-in insect, and a network that takes prompts. Its
training poses are the prior. Every row fits the same samples; all their joints count, seen or not,
unless said otherwise.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from geometry import write_section
from learning import some_joints

from smil_ray.core.batch import Batch
from smil_ray.core.frames import change_frame
from smil_ray.core.params import SmilParams
from smil_ray.data.dataset import SmilDataset
from smil_ray.fitting.fit import Body, refine
from smil_ray.fitting.prior import PosePrior
from smil_ray.fitting.scratch import fit_from_scratch
from smil_ray.fitting.state import Target
from smil_ray.render.camera import Camera
from smil_ray.results.evaluate import batches
from smil_ray.results.refinement.targets import SPREAD_OF_SCALE
from smil_ray.training.checkpoint.loading import LoadedRegressor, load_regressor
from smil_ray.training.validation.procrustes import align

PROMPTS = 5
MASK_SIDE = 64
CONVERGED_PCT = 5.0


@dataclass(frozen=True)
class Case:
    """Held-out samples and what a network says of them."""

    batch: Batch
    plain: SmilParams
    told: SmilParams
    prompts: torch.Tensor
    body: Body

    def target(self, *, masks: bool = False, visible: bool = False) -> Target:
        """Return the true joints, and the masks."""
        known = self.batch.keypoint_presence
        if visible:
            known = known & self.batch.keypoint_visibility
        return Target(
            self.batch.keypoints_2d.nan_to_num(),
            known,
            intrinsics=self.batch.intrinsics,
            masks=self._masks() if masks else None,
        )

    def own_maps(self, *, told: bool = False) -> Target:
        """Return where the heat maps saw the joints, and the prompts in their place."""
        xy, scale = self.plain.keypoint_xy, self.plain.keypoint_scale
        assert xy is not None
        assert scale is not None
        spread = SPREAD_OF_SCALE * scale
        given = self.prompts.isfinite().all(dim=-1) & told
        return Target(
            torch.where(given[..., None], self.prompts.nan_to_num(), xy),
            torch.ones_like(given),
            torch.where(given, 0.0, spread),
            self.batch.intrinsics,
        )

    def _masks(self) -> torch.Tensor:
        assert self.batch.mask is not None
        masks = self.batch.mask.float() / 255.0
        size = (MASK_SIDE, MASK_SIDE)
        return torch.nn.functional.interpolate(masks, size=size, mode="area")[:, 0]

    def pa_pct(self, params: SmilParams) -> np.ndarray:
        """Return PA-MPJPE of each sample, percent of body length."""
        points = self.body.model.pose(params).joints.double()
        wanted, known = self.batch.keypoints_3d.double(), self.batch.keypoint_presence
        away = (align(points, wanted, known) - wanted).norm(dim=-1).mean(dim=1)
        return (100.0 * away / self.batch.body_length.double()).numpy()

    def error_2d(self, params: SmilParams) -> np.ndarray:
        """Return each sample's mean 2D distance to the true joints, percent of the picture."""
        camera = Camera.from_params(params, self.batch.intrinsics)
        xy, _ = camera.project(self.body.model.pose(params).joints)
        away = (xy - self.batch.keypoints_2d).norm(dim=-1)
        return (100.0 * away.nanmean(dim=1)).numpy()


def main() -> None:
    """Measure the rows and write the section."""
    parser = argparse.ArgumentParser(description="What fitting to joints and masks adds.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--only", nargs="+", choices=[*ROWS])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    case = load(arguments.folder, arguments.samples)
    lines = [row("the network", case, case.plain, case.plain, None)]
    lines.append(row(f"the network, told {PROMPTS} joints", case, case.told, case.plain, None))
    print("\n".join([HEAD, *lines]), flush=True)
    for name in arguments.only or ROWS:
        base, fitted = ROWS[name]
        began, cpu = time.perf_counter(), time.process_time()
        found = fitted(case)
        spent = (time.perf_counter() - began, time.process_time() - cpu)
        lines.append(row(name, case, found, base(case), spent))
        print(lines[-1], flush=True)
    if not arguments.only:
        write_section("Refinement", section(lines, arguments.samples))


def load(folder: Path, samples: int) -> Case:
    """Return the first held-out samples, and what the last run of the folder says of them."""
    run = next(iter(sorted((folder / "runs").glob("told_places*"))))
    loaded = load_regressor(run)
    held_out = SmilDataset.from_path(folder / "bbox_1_held_out.h5", input_size=loaded.input_size)
    (batch,) = batches(held_out, range(samples), "camera", samples)
    prompts = some_joints(batch, PROMPTS)
    train = SmilDataset.from_path(folder / "bbox_1_train.h5", input_size=loaded.input_size)
    poses = [each.target for each in batches(train, range(min(len(train), 3000)), "camera", 64)]
    prior = PosePrior.fit(
        torch.cat([each.joint_rot for each in poses]), torch.cat([each.betas for each in poses])
    )
    return Case(
        batch,
        predicted(loaded, batch, None),
        predicted(loaded, batch, prompts),
        prompts,
        Body(loaded.model, loaded.config.body, prior),
    )


def predicted(loaded: LoadedRegressor, batch: Batch, prompts: torch.Tensor | None) -> SmilParams:
    """Return the network's answers in the camera frame, axis-angle."""
    assert batch.image is not None
    found: list[dict[str, torch.Tensor]] = []
    with torch.no_grad():
        for first in range(0, batch.size, 32):
            some = slice(first, first + 32)
            params = loaded.regressor(
                batch.image[some],
                intrinsics=batch.intrinsics[some],
                prompts=None if prompts is None else prompts[some],
            )
            params = change_frame(params, "camera").with_representation("axis_angle")
            found.append(params.as_dict())
    names = [name for name in found[0] if name != "keypoint_logits"]
    return SmilParams(**{name: torch.cat([each[name] for each in found]) for name in names})


def bare(params: SmilParams) -> SmilParams:
    """Return parameters without where their joints were seen."""
    return replace(params, keypoint_xy=None, keypoint_scale=None)


def scratch(case: Case, target: Target) -> SmilParams:
    """Return what is found without the network."""
    fov = case.batch.target.fov[:, 0]
    return fit_from_scratch(target, case.body, fov_deg=fov).params


def from_prediction(case: Case, start: SmilParams, target: Target) -> SmilParams:
    """Return the prediction refined."""
    return refine(bare(start), target, case.body).params


Fitted = Callable[[Case], SmilParams]


def _plain(case: Case) -> SmilParams:
    return case.plain


ROWS: dict[str, tuple[Fitted, Fitted]] = {
    "refined to the true 2D joints": (
        _plain,
        lambda case: from_prediction(case, case.plain, case.target()),
    ),
    "refined to the true 2D joints and masks": (
        _plain,
        lambda case: from_prediction(case, case.plain, case.target(masks=True)),
    ),
    "refined to the head's own heat maps": (
        _plain,
        lambda case: from_prediction(case, case.plain, case.own_maps()),
    ),
    f"told {PROMPTS} joints, refined to these and the heat maps": (
        _plain,
        lambda case: from_prediction(case, case.told, case.own_maps(told=True)),
    ),
    "from scratch, true 2D joints": (_plain, lambda case: scratch(case, case.target())),
    "from scratch, true 2D joints and masks": (
        _plain,
        lambda case: scratch(case, case.target(masks=True)),
    ),
    "from scratch, seen 2D joints and masks": (
        _plain,
        lambda case: scratch(case, case.target(masks=True, visible=True)),
    ),
}
"""Name -> what it is compared with, and the fit."""

HEAD = (
    "| what | PA-MPJPE % | median | below 5 % | better | worst rise | 2D error % | s a sample "
    "| CPU s |\n|---|---|---|---|---|---|---|---|---|"
)


def row(
    name: str,
    case: Case,
    found: SmilParams,
    base: SmilParams,
    spent: tuple[float, float] | None,
) -> str:
    """Return a line of the table."""
    error, before = case.pa_pct(found), case.pa_pct(base)
    rise = 100.0 * (error / before - 1.0).max()
    seconds = ["-", "-"] if spent is None else [f"{each / len(error):.2f}" for each in spent]
    cells = [
        name,
        f"{error.mean():.2f}",
        f"{np.median(error):.2f}",
        f"{100.0 * (error < CONVERGED_PCT).mean():.1f} %",
        f"{100.0 * (error < before).mean():.1f} %",
        f"{rise:+.1f} %",
        f"{case.error_2d(found).mean():.2f}",
        *seconds,
    ]
    return "| " + " | ".join(cells) + " |"


def section(lines: list[str], samples: int) -> str:
    """Return the section of RESULTS.md."""
    text = (
        f"`python benchmarks/fitting/refinement.py FOLDER`, one thread, load average "
        f"{os.getloadavg()[0]:.1f} at the end. {samples} held-out samples of the learning "
        "benchmark's built-in\ninsect (crops of 128 px); *better* and *worst rise* are PA-MPJPE "
        "against the network's own, sample by sample. Fits that begin with the\nprediction have "
        "the camera that the network guessed; those from scratch know the field of view.\n"
    )
    return "\n".join([text, HEAD, *lines])


if __name__ == "__main__":
    main()
