"""Damaged files of any kind give a sample or a SampleError, never an error of internals."""

import copy
import json
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from smil_ray.config import CropConfig
from smil_ray.data import image_io
from smil_ray.data.filters import REASONS, SampleError
from smil_ray.data.replicant.reading import ReadOptions, find_entries, read_samples
from tests.data.replicant import tiny_replicant as tiny

VALUES = [
    None, [], {}, "x", "", 1e308, -1e6, 0, True, [1, 2], {"x": 1}, float("nan"), [[]], -5, 1e-300,
]  # fmt: skip


def paths(node: Any, above: tuple = ()) -> list[tuple]:
    keys = list(node) if isinstance(node, dict) else []
    keys = list(range(len(node))) if isinstance(node, list) else keys
    here = [(*above, key) for key in keys]
    return here + [path for key in keys for path in paths(node[key], (*above, key))]


def change(document: dict, path: tuple, rng: random.Random) -> None:
    node: Any = document
    try:
        for key in path[:-1]:
            node = node[key]
        if rng.random() < 0.3:
            del node[path[-1]]
        else:
            node[path[-1]] = rng.choice(VALUES)
    except (KeyError, IndexError, TypeError):
        return  # An earlier change removed the place.


def outcome(read: Callable[[], object]) -> object:
    """Return what was read, or the sentence of the reason."""
    try:
        return read()
    except SampleError as error:
        return None if error.reason == "unexpected" else REASONS[error.reason]


@pytest.mark.parametrize("seed", range(4))
def test_any_change_of_the_json_is_read_or_refused_with_a_reason(tmp_path: Path, seed: int):
    rng = random.Random(seed)
    original = tiny.frame(ids=("1", "2"))
    path = tiny.write(tmp_path, "a_00", original)
    (entry,) = find_entries(tmp_path)
    places = paths(original)
    for _ in range(60):
        document = copy.deepcopy(original)
        for place in rng.choices(places, k=rng.choice([1, 1, 2, 4])):
            change(document, place, rng)
        path.write_text(json.dumps(document))
        options = ReadOptions(size=32, crop=CropConfig(mode=rng.choice(["none", "bbox"])))
        assert outcome(partial(read_samples, entry, tiny.TinyBody(), options)) is not None


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", ["a_00.JPG", "a_00_ID.png"])
def test_any_change_of_picture_bytes_is_read_or_refused_with_a_reason(tmp_path, seed, name):
    rng = random.Random(seed)
    tiny.write(tmp_path, "a_00", tiny.frame())
    original = (tmp_path / name).read_bytes()
    read = image_io.read_id_mask if name.endswith("png") else image_io.read_rgb
    for _ in range(150):
        data = bytearray(original)
        for _ in range(rng.choice([1, 3, 20])):
            data[rng.randrange(min(700, len(data)))] = rng.choice([0, 255, 0xC4, 0xDA, 17])
        end = rng.randrange(len(data)) if rng.random() < 0.2 else len(data)
        assert outcome(partial(read, bytes(data[:end]))) is not None
