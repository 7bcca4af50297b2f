"""Progress in numbers."""

import pytest

from smil_ray.orchestration.preprocess._progress import Progress


def test_rate_counts_this_run_only_and_gives_the_time_left() -> None:
    progress = Progress(done=60, total=180, kept=58, dropped=2, resumed=20, seconds=4.0)
    assert progress.rate == pytest.approx(10.0)
    assert progress.seconds_left == pytest.approx(12.0)


def test_time_left_is_infinite_before_the_first_entry() -> None:
    assert Progress(0, 10, 0, 0, 0, 1.0).seconds_left == float("inf")
