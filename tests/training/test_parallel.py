"""Two processes on gloo against one with the double batch; each test starts processes."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch.multiprocessing.spawn import spawn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.optimizer import register_optimizer_step_pre_hook

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.training import state
from smil_ray.training.assemble import assemble
from smil_ray.training.checkpoint.files import load_checkpoint
from smil_ray.training.loop import fit
from smil_ray.training.reports import Hooks
from smil_ray.training.world import World
from tests.memory_data import open_memory_data, tiny_config

pytestmark = pytest.mark.slow


def train(rank: int, size: int, folder: str, config: Config, extra: bool = False) -> None:
    """Train as one of `size` processes and save weights and gradients of the first step.

    With `extra` the head has a layer that it does not use.
    """
    torch.set_num_threads(1)
    host: Any = None
    wrapped: list[tuple[bool, bool]] = []
    if size > 1:
        store = f"file://{folder}/rendezvous"
        torch.distributed.init_process_group("gloo", store, rank=rank, world_size=size)
        host = torch.distributed.new_group(backend="gloo")

    def wrap(*args: Any, **settings: Any) -> DistributedDataParallel:
        wrapped.append((settings["find_unused_parameters"], settings["broadcast_buffers"]))
        return DistributedDataParallel(*args, **settings)

    state.DistributedDataParallel = wrap  # pyright: ignore[reportAttributeAccessIssue]
    model = SmilModel.builtin()
    parts = assemble(config, open_memory_data(config, model), model)
    if extra:
        parts.regressor.head.left_over = torch.nn.Linear(2, 2)
    gradients: list[dict[str, torch.Tensor]] = []

    def remember(optimizer: Any, *_: object) -> None:
        if not gradients:
            named = parts.regressor.named_parameters()
            gradients.append({k: p.grad.clone() for k, p in named if p.grad is not None})

    handle = register_optimizer_step_pre_hook(remember)
    fit(parts, config, folder=Path(folder), hooks=Hooks(), world=World(rank, size, host=host))
    handle.remove()
    weights = dict(parts.regressor.state_dict())
    found = {"weights": weights, "gradients": gradients[0], "wrapped": wrapped}
    torch.save(found, Path(folder) / f"{rank}.pt")
    if size > 1:
        torch.distributed.destroy_process_group()


def results(
    folder: Path, size: int, config: Config, *, extra: bool = False
) -> list[dict[str, Any]]:
    folder.mkdir()
    if size == 1:
        train(0, 1, str(folder), config)
    else:
        spawn(train, (size, str(folder), config, extra), nprocs=size)
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(size)]


@pytest.fixture(autouse=True)
def _loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "lo")
    path = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}{os.pathsep}{path}")


@pytest.mark.parametrize("accumulate", [1, 2])
def test_two_processes_give_the_gradients_of_the_double_batch(
    tmp_path: Path, accumulate: int
) -> None:
    def config(batch: int) -> Config:
        return tiny_config(
            data={"batch_size": batch, "limit": None},
            model={"head": {"dropout": 0.0}},
            optim={"clip_norm": None, "accumulate": accumulate},
            train={"epochs": 1},
        )

    one = results(tmp_path / "one", 1, config(4))[0]
    first, second = results(tmp_path / "two", 2, config(2))
    for name, gradient in one["gradients"].items():
        torch.testing.assert_close(
            first["gradients"][name], gradient, atol=1e-6, rtol=1e-4, msg=name
        )
    for name, weight in first["weights"].items():
        torch.testing.assert_close(second["weights"][name], weight, atol=0, rtol=0, msg=name)


def test_two_processes_validate_like_one(tmp_path: Path) -> None:
    def config(batch: int) -> Config:
        return tiny_config(
            data={"batch_size": batch}, optim={"learning_rate": 1e-12}, train={"epochs": 1}
        )

    results(tmp_path / "one", 1, config(4))
    results(tmp_path / "two", 2, config(2))
    found = [
        load_checkpoint(tmp_path / name / "checkpoints" / "epoch_0001").meta["metrics"]
        for name in ("one", "two")
    ]
    for name in (key for key in found[0] if key.startswith("val/") and "loss" not in key):
        assert found[1][name] == pytest.approx(found[0][name], rel=1e-4, abs=1e-6), name


@pytest.mark.parametrize(
    ("freeze", "extra", "wrapped"),
    [
        # Wrapped anew when the last block thaws, whose batch statistics then move.
        ({"unfreeze_at_epoch": 1, "last_blocks": 1}, False, [(False, False), (False, True)]),
        (False, True, [(True, True)]),
    ],
)
def test_graphs_are_searched_only_for_networks_with_unused_parameters(
    tmp_path: Path, freeze: Any, extra: bool, wrapped: list[tuple[bool, bool]]
) -> None:
    config = tiny_config(
        data={"batch_size": 2},
        model={"backbone": {"name": "test_resnet", "freeze": freeze}},
        train={"epochs": 2},
    )
    first, second = results(tmp_path / "two", 2, config, extra=extra)
    assert first["wrapped"] == second["wrapped"] == wrapped
    for name, weight in first["weights"].items():
        if "running" not in name:  # Batch statistics are the first process's from the next step.
            torch.testing.assert_close(second["weights"][name], weight, atol=0, rtol=0, msg=name)
