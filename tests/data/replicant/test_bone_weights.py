"""Scale and translation weights act linearly on the bones, whatever the pose and the shape.

Thirteen weights and a constant need fifteen samples before a fit can fail. Real sets that have
weights may be smaller than that; the built-in data set has enough, and there the fit must find
the directions of the body model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from smil_ray.data.replicant.annotations import read_frame
from smil_ray.data.replicant.reading import find_entries
from smil_ray.data.synthetic.animal import RenderBody
from smil_ray.data.synthetic.samples import SynthOptions, render_sample

FIELDS = [("scale_weights", "scale3D"), ("trans_weights", "translation")]
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Bones:
    """Weights (n, K) and betas (n, B) of n samples and what their bones have, (n, J, 3)."""

    weights: np.ndarray
    betas: np.ndarray
    values: np.ndarray

    @classmethod
    def read(cls, paths: Sequence[Path], field: str, key: str) -> "Bones":
        """Read one kind of weights and of bone transforms of each annotation."""
        rows = []
        for path in paths:
            listed = orjson.loads(path.read_bytes())["iterationData"]["subject Data"][0]
            joints = next(iter(listed.values()))["keypoints"].values()
            subject = read_frame(path).subjects[0]
            bones = [[joint["transform"][key][axis] for axis in "xyz"] for joint in joints]
            rows.append((getattr(subject, field), subject.betas, bones))
        return cls(*(np.array(column) for column in zip(*rows, strict=True)))

    def fit(self, *, with_betas: bool = False) -> tuple[np.ndarray, float]:
        """Return what each weight adds to each bone, (K, J, 3), and the largest residual.

        `with_betas`: the shape moves the bones too.
        """
        shape = [self.betas] if with_betas else []
        design = np.column_stack([self.weights, np.ones(len(self.weights)), *shape])
        if len(design) <= design.shape[1]:
            pytest.skip(f"{len(design)} samples cannot contradict {design.shape[1]} unknowns")
        target = self.values.reshape(len(design), -1)
        solution, *_ = np.linalg.lstsq(design, target, rcond=None)
        residual = np.abs(design @ solution - target).max()
        added = solution[: self.weights.shape[1]]
        return added.reshape(-1, *self.values.shape[1:]), float(residual)


@pytest.fixture(scope="module")
def render_body() -> RenderBody:
    return RenderBody.open("builtin")


@pytest.fixture(scope="module")
def annotations(render_body: RenderBody, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Annotations of built-in animals, more than there are weights."""
    folder = tmp_path_factory.mktemp("bones")
    count = render_body.model.n_scale_weights + render_body.model.n_betas + 6
    options = SynthOptions(samples=count, image_size=32, seed=5)
    for index in range(options.samples):
        name, content = next(
            item
            for item in render_sample(render_body, options, index).named().items()
            if item[0].endswith(".json")
        )
        (folder / name).write_bytes(content)
    return sorted(folder.iterdir())


@pytest.mark.parametrize(("field", "key"), FIELDS)
def test_real_weights_fit_bone_transforms_linearly(real_data: Path, field: str, key: str) -> None:
    entries = find_entries(real_data / "data" / "replicant" / "replicAnt-x-SMIL-TEX")
    _, residual = Bones.read([entry.json_path for entry in entries], field, key).fit()
    assert residual < TOLERANCE


@pytest.mark.parametrize(("field", "key"), FIELDS)
def test_weights_of_the_built_in_data_fit_the_directions_of_the_model(
    render_body: RenderBody, annotations: list[Path], field: str, key: str
) -> None:
    found, residual = Bones.read(annotations, field, key).fit(with_betas=True)
    assert residual < TOLERANCE
    expected = render_body.model.scaledirs if key == "scale3D" else render_body.model.transdirs
    assert expected is not None
    assert np.abs(expected.numpy()).max() > 0.01
    np.testing.assert_allclose(found, expected.numpy(), atol=TOLERANCE)


def test_weights_of_another_sample_do_not_fit(annotations: list[Path]) -> None:
    bones = Bones.read(annotations, "scale_weights", "scale3D")
    _, residual = replace(bones, weights=np.roll(bones.weights, 1, axis=0)).fit()
    assert residual > 100 * TOLERANCE
