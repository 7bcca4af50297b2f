"""Frames most worth labelling: the most uncertain ones, not all of one moment."""

import numpy as np

from smil_ray.results.uncertainty.ranking import most_uncertain


def test_most_uncertain_frames_are_spread_over_a_video() -> None:
    frames = np.arange(100)
    uncertainty = np.exp(-0.5 * ((frames - 40) / 5.0) ** 2) + 1e-3 * frames
    chosen = most_uncertain(uncertainty, ["film"] * 100, frames, 5)
    assert chosen[0] == 40
    assert len(chosen) == 5
    assert np.diff(np.sort(chosen)).min() >= 10


def test_pictures_are_taken_by_their_uncertainty_alone() -> None:
    names = [f"{number}.png" for number in range(6)]
    uncertainty = np.array([0.1, 0.6, np.nan, 0.5, 0.2, 0.4])
    assert most_uncertain(uncertainty, names, np.zeros(6, dtype=int), 3) == [1, 3, 5]
    assert most_uncertain(uncertainty, names, np.zeros(6, dtype=int), 99) == [1, 3, 5, 4, 0]


def test_each_video_has_its_own_spread() -> None:
    sources = ["a"] * 10 + ["b"] * 10
    frames = np.tile(np.arange(10), 2)
    chosen = most_uncertain(np.linspace(1.0, 0.0, 20), sources, 3 * frames, 12)
    assert len(chosen) == 12
    assert {sources[row] for row in chosen} == {"a", "b"}
