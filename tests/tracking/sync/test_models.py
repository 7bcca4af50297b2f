"""The network of a run that people choose from goes to the server when the run ends."""

from pathlib import Path

import pytest

from smil_ray.config import TrackingConfig
from smil_ray.tracking.sync.live import track_run
from smil_ray.tracking.sync.run import RunSync
from smil_ray.tracking.sync.server import Status
from tests.tracking.sync.fake_server import FakeServer


def test_winner_sends_its_network_once_and_again_when_it_has_changed(
    server: FakeServer, winner: Path
) -> None:
    run = RunSync(winner, server)
    for _ in range(2):
        run = RunSync(winner, server)
        run.end("FINISHED")
        run.push()
    (sent,) = server.runs.values()
    (model,) = sent["models"]
    assert set(model.files) == {
        *("config.yaml", "checkpoints/index.json", "inputs/body_model-0.npz"),
        *("checkpoints/epoch_0002/model.safetensors", "checkpoints/epoch_0002/meta.json"),
    }
    assert not any("safetensors" in name for name in sent["files"])
    assert (run.state.model_id, run.state.model_sent) == ("m-1", model.fingerprint)
    (winner / "intervals.json").write_text("{}")
    run = RunSync(winner, server)
    run.end("FINISHED")
    run.push()
    assert run.state.model_id == "m-2"
    assert "intervals.json" in sent["models"][1].files


@pytest.mark.parametrize("status", ["FAILED", "KILLED"])
def test_run_that_did_not_finish_sends_weights_but_no_model(
    server: FakeServer, winner: Path, status: Status
) -> None:
    run = RunSync(winner, server)
    run.end(status)
    run.push()
    (sent,) = server.runs.values()
    assert "models" not in sent
    assert "checkpoint/model.safetensors" in sent["files"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run.json", '{"kind": "trial"}'),
        ("config.yaml", "tracking: {log_model: false}"),
        ("checkpoints/epoch_0002/meta.json", "{}"),
    ],
)
def test_trial_setting_and_damage_leave_the_weights_as_files(
    server: FakeServer, winner: Path, name: str, text: str
) -> None:
    (winner / name).write_text(text)
    run = RunSync(winner, server)
    run.end("FINISHED")
    run.push()
    (sent,) = server.runs.values()
    assert "models" not in sent
    assert "checkpoint/model.safetensors" in sent["files"]
    assert sent["status"] == "FINISHED"


def test_server_that_takes_no_models_never_keeps_a_run_from_ending(
    server: FakeServer, winner: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.takes_no_models = True
    run = RunSync(winner, server)
    run.end("FINISHED")
    run.push()
    (sent,) = server.runs.values()
    assert (sent["status"], run.is_done) == ("FINISHED", True)
    assert "checkpoint/model.safetensors" in sent["files"]
    assert "no such endpoint" in caplog.text
    server.takes_no_models = False
    run = RunSync(winner, server)
    run.end("FINISHED")
    run.push()
    assert len(sent["models"]) == 1


def test_what_comes_after_a_finished_training_cannot_make_it_fail(
    server: FakeServer, winner: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "smil_ray.tracking.tracker.Tracker.from_config", lambda *_: server, raising=True
    )
    (winner / "status.json").write_text('{"state": "finished"}')
    with pytest.raises(KeyboardInterrupt), track_run(winner, TrackingConfig()):
        raise KeyboardInterrupt
    (sent,) = server.runs.values()
    assert sent["status"] == "FINISHED"
