"""A training step as a GPU would see it: shapes and devices are real, numbers are not.

PyTorch's fake tensors refuse operations on tensors of two devices and questions about values, for
which a GPU would be waited for. What they let pass is watched: copies between host and device.
"""

import traceback
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from smil_ray.body import lbs
from smil_ray.body.smil_model import SmilModel
from smil_ray.core.batch import Sample, collate
from smil_ray.data.augment import Augmenter
from smil_ray.data.augment_batch import with_changed_pictures
from smil_ray.losses.terms import LOSS_TERMS
from smil_ray.models.unused import unused_parameters
from smil_ray.training.assemble import assemble
from smil_ray.training.validation.metrics import MetricSums
from tests.memory_data import MemoryData, tiny_config

GPU = torch.device("cuda", 0)
EVERYTHING = {
    "joint_scales": "pca",
    "joint_translations": "pca",
    "rotation_representation": "axis_angle",
    "camera": "known",
}


class Copies(TorchDispatchMode):
    """Notes each operation that has tensors on the host and on the GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves((args, kwargs, out)) if isinstance(t, torch.Tensor)]
        if {"cpu", "cuda"} <= {tensor.device.type for tensor in tensors}:
            ours = [f for f in traceback.extract_stack()[:-1] if "/torch/" not in f.filename]
            self.found.append(f"{func} in {ours[-1].filename}, line {ours[-1].lineno}")
        return out


@pytest.fixture(autouse=True)
def _forget_fake_plans() -> Iterator[None]:
    lbs.kinematic_plan.cache_clear()
    yield
    lbs.kinematic_plan.cache_clear()


@pytest.mark.parametrize("frame", ["camera", "root"])
@pytest.mark.parametrize("head", ["mlp", "transformer_decoder", "joint_tokens"])
@pytest.mark.parametrize("extra", [{}, EVERYTHING], ids=["plain", "everything"])
def test_no_step_but_the_first_waits_for_the_gpu(
    insect: SmilModel,
    samples: list[Sample],
    frame: str,
    head: str,
    extra: dict[str, Any],
) -> None:
    config = tiny_config(
        model={"head": {"type": head}, "reference_frame": frame, **extra},
        data={"augment": {"enabled": True}},
    )
    parts = assemble(config, MemoryData(samples), insect)
    assert unused_parameters(parts.regressor) == ()
    augmenter = Augmenter(config.data.augment, insect.skeleton, 1, pictures=False)
    here = collate([augmenter(sample, 0) for sample in samples[:3]], frame)
    # Silhouettes have as many numbers as faces are in reach of pixels: their values decide.
    possible = set(LOSS_TERMS) - {"silhouette"}
    if not extra:
        possible -= {"log_beta_scales", "betas_trans", "limb_scale"}
    if head != "joint_tokens":
        possible -= {"keypoint_heatmap", "keypoint_place", "keypoint_confidence"}
    with FakeTensorMode(allow_non_fake_inputs=True):
        network, objective = parts.regressor.to(GPU).train(), parts.objective.to(GPU)
        model, batch = objective.model, here.to(GPU)
        sums = MetricSums(model.skeleton, 32, config.body, keeps_samples=True)
        copies = Copies()
        for _ in range(2):  # In the first step, tables of the body model go to the GPU.
            copies = Copies()
            with copies:
                changed = with_changed_pictures(batch)
                params = network(changed.image, intrinsics=changed.intrinsics)
                inputs = objective.inputs(params, changed, sorted(possible))
                for term in possible:
                    assert LOSS_TERMS[term](inputs).device == GPU
                sums.add(params, changed, model)
    assert copies.found == []


def test_copies_are_noticed() -> None:
    with FakeTensorMode(), Copies() as copies:
        torch.ones(3, device=GPU).new_tensor([1.0, 2.0, 3.0])
    assert len(copies.found) == 1
    assert __file__ in copies.found[0]
