"""What the tracking server learns of the data that a run was trained on."""

import json
from pathlib import Path
from typing import Any

from smil_ray.tracking.sync.run import RunSync
from smil_ray.tracking.sync.tags import DataInput
from tests.tracking.sync.test_live import FakeServer


def test_data_are_named_once_as_soon_as_they_are_known(tmp_path: Path) -> None:
    server = FakeServer()
    facts: dict[str, Any] = {"name": "run", "data": "/data/ants.h5"}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    run = RunSync(tmp_path, server)
    run.push()
    (sent,) = server.runs.values()
    assert "data" not in sent
    facts |= {"data_hash": "a1" * 32, "samples": {"train": 9, "val": 1}}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    run.push()
    RunSync(tmp_path, server).push()
    expected = DataInput("ants.h5", "/data/ants.h5", "a1" * 32, {"train": 9, "val": 1})
    assert sent["data"] == [expected]


def test_several_sources_are_named_together(tmp_path: Path) -> None:
    server = FakeServer()
    facts = {"data": None, "data_hash": "b2", "sources": {"synthetic": {}, "photos": {}}}
    (tmp_path / "run.json").write_text(json.dumps(facts))
    RunSync(tmp_path, server).push()
    (sent,) = server.runs.values()
    assert [(each.name, each.place) for each in sent["data"]] == [("synthetic, photos", "")]
