import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread

from smil_ray.config import Config
from smil_ray.config.reading import config_from_dict
from smil_ray.results.alignment_plot import draw_alignment, write_alignment
from smil_ray.results.run_plots import (
    curve,
    draw_losses,
    draw_optimisation,
    draw_validation,
    write_run_plots,
)


@pytest.fixture
def config() -> Config:
    return config_from_dict(
        {
            "loss": {"stages": [[2, {"keypoint_2d": 1.0}], [90, {"keypoint_2d": 2.0}]]},
            "optim": {"stages": [[3, 1e-4]]},
            "train": {"select_metric": "val/pa_mpjpe_pct_bl"},
        }
    )


def rows(epochs: int = 4, steps: int = 5) -> list[dict]:
    """Lines of metrics.jsonl as a run writes them."""
    found = []
    for step in range(epochs * steps):
        losses = {"train/loss/total": 10.0 / (step + 1), "train/loss/keypoint_2d": 1.0}
        metrics = {**losses, "train/grad_norm": 2.0, "train/lr": 1e-3}
        found.append({"step": step + 1, "epoch": (step + 1) / steps, "metrics": metrics})
        if (step + 1) % steps == 0:
            epoch = (step + 1) // steps
            values = {"val/pa_mpjpe_pct_bl": abs(epoch - 3) + 1.0, "val/loss/keypoint_2d": 2.0}
            speed = {"train/epoch/samples_per_s": 9.0, "train/epoch/data_wait_share": 0.1}
            line = {"step": step + 1, "epoch": float(epoch), "metrics": {**values, **speed}}
            found.append(line)
    return found


def dashed(axes) -> list[float]:
    return [np.array(x.get_xdata())[0] for x in axes.lines if x.get_linestyle() == "--"]


def test_losses_of_each_term_with_the_stages_that_have_begun(config: Config) -> None:
    figure = draw_losses(rows(), config)
    assert figure is not None
    assert [axes.get_title() for axes in figure.axes] == ["total (weighted)", "keypoint_2d"]
    assert [dashed(axes) for axes in figure.axes] == [[2], [2]]
    assert figure.axes[0].get_yscale() == "linear"
    assert draw_losses(rows(epochs=10), config).axes[0].get_yscale() == "log"  # pyright: ignore


def test_validation_marks_the_best_epoch(config: Config) -> None:
    figure = draw_validation(rows(), config)
    assert figure is not None
    (star,) = [line for line in figure.axes[0].lines if line.get_marker() == "*"]
    np.testing.assert_array_equal(star.get_xydata(), [[3.0, 1.0]])


def test_optimisation_marks_stages_of_the_learning_rate(config: Config) -> None:
    figure = draw_optimisation(rows(), config)
    assert figure is not None
    assert dashed(figure.axes[0]) == [3]
    assert dashed(figure.axes[1]) == [2]


def test_curve_keeps_what_is_not_a_number_as_a_gap() -> None:
    lines = [{"epoch": 2.0, "metrics": {"a": None}}, {"epoch": 1.0, "metrics": {"a": 5.0}}]
    np.testing.assert_array_equal(curve(lines, "a"), [[1.0, 5.0], [2.0, np.nan]])
    assert curve(lines, "b").shape == (0, 2)


def test_plots_of_a_run_that_has_not_begun_are_left_out(tmp_path: Path, config: Config) -> None:
    assert write_run_plots([], config, tmp_path) == []


def test_plots_of_a_run_that_diverged_are_drawn(tmp_path: Path, config: Config) -> None:
    lines = json.loads(json.dumps(rows()).replace("2.0", "NaN"))
    written = write_run_plots(lines, config, tmp_path)
    assert [path.name for path in written] == ["losses.png", "validation.png", "optimisation.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(p.name for p in written)
    assert imread(written[0]).std() > 0


def test_alignment_shows_valid_joints_only(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    true = rng.normal(0, 30, (3, 5, 3))
    valid = np.ones((3, 5), dtype=bool)
    valid[0, 0] = False  # no root: the sample cannot be aligned
    valid[:, 4] = False
    figure = draw_alignment(true + 1.0, true, valid, list("rabcd"))
    assert figure is not None
    left, right = figure.axes
    assert left.collections[0].get_offsets().shape == (2 * 4, 2)  # pyright: ignore
    assert [label.get_text() for label in right.get_yticklabels()] == ["a", "b", "c"]
    assert max(bar.get_width() for bar in right.patches) == pytest.approx(0.0, abs=1e-9)  # pyright: ignore
    assert write_alignment(true, true, valid & False, list("rabcd"), tmp_path / "x.png") is None
