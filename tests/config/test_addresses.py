"""Addresses in an object store beside paths."""

from pathlib import Path

import pytest

from smil_ray.config import DataConfig
from smil_ray.config.addresses import absolute_place, joined, remote_address
from smil_ray.errors import ConfigError


@pytest.mark.parametrize(
    ("place", "address"),
    [
        ("s3://lab/ants.h5", "s3://lab/ants.h5"),
        ("gs://lab/runs/", "gs://lab/runs"),
        (Path("s3://lab/ants.h5"), "s3://lab/ants.h5"),
        (Path("s3://lab") / "ants" / "a.json", "s3://lab/ants/a.json"),
        ("/data/ants.h5", None),
        ("s3", None),
        (Path("runs"), None),
        (None, None),
    ],
)
def test_address_is_told_from_path(place: str | Path | None, address: str | None) -> None:
    assert remote_address(place) == address


def test_address_with_settings_is_refused() -> None:
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL"):
        remote_address("s3://lab/ants.h5?endpoint_override=127.0.0.1:5000")


def test_address_stays_where_paths_become_absolute() -> None:
    assert absolute_place("s3://lab/ants.h5") == "s3://lab/ants.h5"
    assert absolute_place("ants.h5") == str(Path("ants.h5").absolute())
    data = DataConfig(path="s3://lab/ants.h5").with_absolute_paths()
    assert data.path == "s3://lab/ants.h5"
    assert joined("s3://lab/runs/", "a", "b") == "s3://lab/runs/a/b"
