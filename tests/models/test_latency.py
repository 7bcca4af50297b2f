"""The time of one prediction."""

import pytest
import torch

from smil_ray.models import latency
from smil_ray.models.latency import latency_ms


def test_latency_is_positive_and_leaves_the_network_as_it_was(make_regressor):
    regressor = make_regressor(head={"type": "mlp"}).train()
    before = {key: value.clone() for key, value in regressor.state_dict().items()}
    random = torch.get_rng_state()
    assert latency_ms(regressor, torch.device("cpu")) > 0
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
    left = list(times)
    monkeypatch.setattr(latency, "_timed_pass", lambda *_: left.pop(0))
    monkeypatch.setattr(latency, "LIMIT_S", 1e9 if passes == 6 else -1.0)
    assert latency_ms(make_regressor(), torch.device("cpu")) == median
    assert not left
