"""Addresses of networks, and the ones that are none."""

from pathlib import Path

import pytest

from smil_ray.errors import ConfigError
from smil_ray.tracking.models.address import ModelAddress
from smil_ray.tracking.models.local import is_address, network_folder
from smil_ray.tracking.sync.metrics import TrackingError


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("models:/ants@champion", {"name": "ants", "alias": "champion"}),
        ("models:/a b.c@x", {"name": "a b.c", "alias": "x"}),
        ("models:/ants/12", {"name": "ants", "version": "12"}),
        ("models:/m-0a1b", {"model_id": "m-0a1b"}),
    ],
)
def test_address_means_alias_version_or_model(text: str, meaning: dict[str, str]) -> None:
    assert ModelAddress.parse(text) == ModelAddress(text, **meaning)
    assert ModelAddress.parse(str(Path(text))) == ModelAddress(text, **meaning)


@pytest.mark.parametrize(
    "text",
    ["models:/", "models:/ants", "models:/ants/first", "models:/ants@", "models:/a@b/3"],
)
def test_other_forms_are_refused_with_the_ones_that_are_known(text: str) -> None:
    with pytest.raises(ConfigError, match="models:/NAME@ALIAS"):
        ModelAddress.parse(text)


def test_folder_stays_as_it_is(tmp_path: Path) -> None:
    assert not is_address(tmp_path)
    assert network_folder(tmp_path) == tmp_path


def test_missing_database_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(TrackingError, match=r"models:/ants@x: there is no MLflow database .*\.db"):
        network_folder("models:/ants@x")
    assert list(tmp_path.iterdir()) == []
