"""A search is not fooled by its own loss weights: real trainings, weights down to zero."""

import pytest

from smil_ray.body.smil_model import SmilModel
from smil_ray.config.reading import merge, sweep_from_dict
from smil_ray.orchestration.tune.job import SweepHooks, SweepOutcome, run_sweep
from smil_ray.results.ranking.records import TrialRecord
from smil_ray.tracking.run_dir import RunDir
from tests.insect_data import write_insects
from tests.memory_data import TINY, make_samples

METRIC = "val/mpjpe_ra_pct_bl"
pytestmark = [
    pytest.mark.ray,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def outcome(shared_ray: str, tmp_path_factory: pytest.TempPathFactory) -> SweepOutcome:
    """A search over what the weight of the rotation and the point terms is, zero included."""
    folder = tmp_path_factory.mktemp("weights")
    samples = make_samples(SmilModel.builtin(), 48)
    data = write_insects(folder / "insects.h5", samples)
    weights = {"betas": 0.01, "fov": 0.01, "trans": 0.0}
    base = {
        "data": {"limit": None, "batch_size": 8, "feature_cache": "off"},
        "train": {"epochs": 6, "select_metric": METRIC, "overlay_samples": 0},
        "optim": {"learning_rate": 3e-3},
        "loss": {"base_weights": weights},
        "tracking": {"enabled": False},
    }
    sweep = sweep_from_dict(
        {
            "name": "weights",
            "search": "grid",
            "execution": "inline",
            "base": merge(TINY, base),
            "space": {
                "loss.base_weights.global_rot": {"choice": [1.0, 0.0]},
                "loss.base_weights.keypoint_3d": {"choice": [30.0, 0.0]},
            },
        }
    )
    return run_sweep(sweep, data=data, output_dir=folder, hooks=SweepHooks())


def weighted_loss(outcome: SweepOutcome, record: TrialRecord) -> float:
    """Return the smallest validation loss of a trial under the trial's own weights."""
    run = RunDir.open(outcome.folder / record.folder)
    weights = run.load_config().loss.base_weights
    return min(
        sum(
            weight * row["metrics"][f"val/loss/{term}"]
            for term, weight in weights.items()
            if weight
        )
        for row in run.read_metrics()
        if METRIC in row["metrics"]
    )


def error(outcome: SweepOutcome, record: TrialRecord) -> float:
    rows = RunDir.open(outcome.folder / record.folder).read_metrics()
    return min(row["metrics"][METRIC] for row in rows if METRIC in row["metrics"])


def test_winner_is_the_best_by_the_metric_and_not_by_the_weighted_loss(
    outcome: SweepOutcome,
) -> None:
    trials = outcome.trials
    assert [record.status for record in trials] == ["finished"] * 4
    errors = {record.name: error(outcome, record) for record in trials}
    losses = {record.name: weighted_loss(outcome, record) for record in trials}
    assert outcome.best is not None
    assert outcome.best.name == min(errors, key=errors.__getitem__)
    fooled = min(losses, key=losses.__getitem__)
    assert fooled != outcome.best.name
    # The smallest loss is that of the trial whose weights ask for nothing.
    weights = {record.name: record.labels for record in trials}[fooled]
    assert set(weights.values()) == {0.0}
    assert errors[fooled] > 1.05 * errors[outcome.best.name]
    # And it has the smallest loss in training, too, which is the one that people watch.
    assert fooled == min(trials, key=lambda record: _training_loss(outcome, record)).name


def _training_loss(outcome: SweepOutcome, record: TrialRecord) -> float:
    rows = RunDir.open(outcome.folder / record.folder).read_metrics()
    name = "train/epoch/loss/total"
    return min(row["metrics"][name] for row in rows if name in row["metrics"])
