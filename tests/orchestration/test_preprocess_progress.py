"""Progress in numbers and words."""

import io

import pytest
from rich.console import Console

from smil_ray.orchestration.preprocess_progress import Progress, ProgressBar, sentence


def test_rate_counts_this_run_only_and_gives_the_time_left() -> None:
    progress = Progress(done=60, total=180, kept=58, dropped=2, resumed=20, seconds=4.0)
    assert progress.rate == pytest.approx(10.0)
    assert progress.seconds_left == pytest.approx(12.0)
    assert sentence(progress) == "10.0/s, 0:12 left, 2 dropped"


def test_time_left_is_infinite_before_the_first_entry() -> None:
    assert Progress(0, 10, 0, 0, 0, 1.0).seconds_left == float("inf")


def test_bar_shows_counts_and_rate() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=120)
    with ProgressBar(console) as bar:
        bar.update(Progress(done=60, total=180, kept=60, dropped=0, resumed=0, seconds=4.0))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "60/180" in shown
    assert "15.0/s" in shown
