"""The time of one prediction."""

import pytest
import torch

from smil_ray.models import latency
from smil_ray.models.latency import measure_latency


def test_latency_is_positive_and_leaves_the_network_as_it_was(make_regressor):
    regressor = make_regressor(head={"type": "mlp"}).train()
    before = {key: value.clone() for key, value in regressor.state_dict().items()}
    random = torch.get_rng_state()
    assert min(measure_latency(regressor, torch.device("cpu"))) > 0
    assert regressor.training
    assert torch.equal(torch.get_rng_state(), random)
    assert all(torch.equal(v, before[k]) for k, v in regressor.state_dict().items())


@pytest.mark.parametrize(
    ("times", "passes", "median"),
    [([9.0, 1.0, 2.0, 3.0, 4.0, 5.0], 6, 3000.0), ([9.0, 1.0], 2, 1000.0)],
)
def test_first_pass_is_not_counted_and_slow_networks_get_one_more(
    times: list[float],
    passes: int,
    median: float,
    make_regressor,
    monkeypatch: pytest.MonkeyPatch,
):
    left = 2 * times  # Of the backbone, then of the head.
    monkeypatch.setattr(latency, "_timed_pass", lambda *_: left.pop(0))
    monkeypatch.setattr(latency, "LIMIT_S", 1e9 if passes == 6 else -1.0)
    found = measure_latency(make_regressor(), torch.device("cpu"))
    assert found == (median, median)
    assert found.total_ms == 2 * median
    assert not left


def test_backbone_is_not_run_again_if_its_time_is_known(make_regressor):
    regressor = make_regressor()
    regressor.backbone.forward = None  # Whoever calls it fails.
    found = measure_latency(regressor, torch.device("cpu"), backbone_ms=7.0)
    assert found.backbone_ms == 7.0
    assert 0 < found.head_ms < 7000
