"""Threads that read ahead: order, bounds, errors, and an end when nobody takes any more."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest

from smil_ray.results.prediction.read_ahead import read_ahead


def square(number: int) -> int:
    time.sleep(0.002 * (number % 3))
    return number * number


def works(count: int, started: list[int]) -> Iterator[Callable[[], int]]:
    for number in range(count):
        started.append(number)
        yield partial(square, number)


def test_results_come_in_order() -> None:
    assert list(read_ahead(works(40, []), threads=4, ahead=5)) == [n * n for n in range(40)]


def test_no_more_is_begun_than_may_wait() -> None:
    started: list[int] = []
    found = read_ahead(works(100, started), threads=2, ahead=3)
    next(found)
    time.sleep(0.1)
    assert len(started) <= 6
    found.close()


def test_error_of_a_work_is_raised_where_its_result_is_taken() -> None:
    def fail() -> int:
        raise KeyError("broken")

    found = read_ahead([partial(square, 2), fail, partial(square, 3)])
    assert next(found) == 4
    with pytest.raises(KeyError, match="broken"):
        next(found)


def test_error_between_works_is_raised_after_what_came_before() -> None:
    def broken() -> Iterator[Callable[[], int]]:
        yield partial(square, 2)
        raise KeyError("no more")

    found = read_ahead(broken())
    assert next(found) == 4
    with pytest.raises(KeyError, match="no more"):
        next(found)


def test_threads_end_when_nobody_takes_any_more() -> None:
    before = threading.active_count()
    found = read_ahead(works(1000, []), threads=2, ahead=2)
    next(found)
    found.close()
    assert threading.active_count() == before
