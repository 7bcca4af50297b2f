"""Run folders reach the tracking server exactly once, whatever happens on the way."""

import json
from pathlib import Path

import pytest

from smil_ray.config import TrackingConfig
from smil_ray.tracking.sync.live import Syncer, track_run
from smil_ray.tracking.sync.metrics import TrackingError
from smil_ray.tracking.sync.run import RunSync, read_status
from tests.tracking.sync.fake_server import FakeServer


def write_steps(folder: Path, *steps: int, time: float = 1.0) -> None:
    with (folder / "metrics.jsonl").open("a") as stream:
        for step in steps:
            values = {"step": step, "epoch": step, "time": time, "metrics": {"val/pck@0.05": 1.0}}
            stream.write(json.dumps(values) + "\n")


def sent_steps(server: FakeServer) -> list[int]:
    (run,) = server.runs.values()
    return [step for _, step in run["points"]]


def test_push_sends_params_metrics_and_files_once(server: FakeServer, folder: Path) -> None:
    write_steps(folder, 1, 2)
    run = RunSync(folder, server)
    run.push()
    write_steps(folder, 3)
    run.push()
    run.push()
    (sent,) = server.runs.values()
    assert sent["points"] == [("val/pck_at_0.05", step) for step in (1, 2, 3)]
    assert sent["params"] == {"optim.learning_rate": 0.001}
    assert sent["files"]["./config.yaml"] == 1


def test_push_leaves_a_line_that_is_still_being_written(server: FakeServer, folder: Path) -> None:
    write_steps(folder, 1)
    with (folder / "metrics.jsonl").open("a") as stream:
        stream.write('{"step": 2, "metr')
    RunSync(folder, server).push()
    assert sent_steps(server) == [1]


def test_push_leaves_a_file_that_is_still_being_written(server: FakeServer, folder: Path) -> None:
    for name in (".loss.png.tmp", "pose.png"):
        (folder / "plots").mkdir(exist_ok=True)
        (folder / "plots" / name).write_bytes(b"picture")
    RunSync(folder, server).push()
    (sent,) = server.runs.values()
    assert [name for name in sent["files"] if name.startswith("plots")] == ["plots/pose.png"]


def test_new_process_goes_on_where_the_old_one_was_killed(
    server: FakeServer, folder: Path
) -> None:
    write_steps(folder, 1, 2)
    first = RunSync(folder, server)
    first.push()
    # Killed after the server accepted step 3 and before the offset was kept.
    state = (folder / "mlflow_sync.json").read_text()
    write_steps(folder, 3)
    first.push()
    (folder / "mlflow_sync.json").write_text(state)
    write_steps(folder, 4)
    RunSync(folder, server).push()
    assert sent_steps(server) == [1, 2, 3, 4]


def test_lost_answer_of_the_server_doubles_nothing(server: FakeServer, folder: Path) -> None:
    write_steps(folder, 1, 2)
    run = RunSync(folder, server)
    server.lose_answer = True
    with pytest.raises(TrackingError):
        run.push()
    run.push()
    assert sent_steps(server) == [1, 2]


def test_resumed_run_that_rewrote_its_metrics_is_sent_once(
    server: FakeServer, folder: Path
) -> None:
    write_steps(folder, 1, 2, 3)
    run = RunSync(folder, server)
    run.push()
    lines = (folder / "metrics.jsonl").read_text().splitlines(keepends=True)
    (folder / "new").write_text("".join(lines[:1]))
    (folder / "new").replace(folder / "metrics.jsonl")
    write_steps(folder, 2, 3, 4, 5)
    run.push()
    assert sent_steps(server) == [1, 2, 3, 4, 5]


def rewrite(folder: Path, keep: int, *steps: int) -> None:
    """Keep some lines and write others in the same file, as a new inode may have its number."""
    path = folder / "metrics.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:keep]))
    write_steps(folder, *steps)


def test_rewritten_file_that_grew_beyond_what_was_read_is_sent_once(
    server: FakeServer, folder: Path
) -> None:
    write_steps(folder, 1, 2, 300)
    run = RunSync(folder, server)
    run.push()
    # The last line that was sent is gone, and what stands there now is longer.
    rewrite(folder, 2, 301, 302, 303, 304)
    run.push()
    assert sent_steps(server) == [1, 2, 300, 301, 302, 303, 304]


@pytest.mark.parametrize("again", [(), (3,), (3, 4, 5), (3, 4, 5, 6, 7)])
def test_rewritten_file_of_any_length_loses_and_doubles_nothing(
    server: FakeServer, folder: Path, again: tuple[int, ...]
) -> None:
    write_steps(folder, 1, 2, 3, 4, time=1.0)
    run = RunSync(folder, server)
    run.push()
    rewrite(folder, 2)
    write_steps(folder, *again, time=2.0)
    run.push()
    write_steps(folder, *range(max((2, *again)) + 1, 10), time=3.0)
    RunSync(folder, server).push()
    assert sent_steps(server) == list(range(1, 10))


def test_server_that_is_away_gets_everything_later(
    server: FakeServer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.away = True
    with Syncer(interval_s=0.01) as syncer:
        run = RunSync(folder, server)
        syncer.add(run)
        write_steps(folder, 1)
        syncer.push_all()
        syncer.push_all()
        server.away = False
        run.end("FINISHED")
    assert sent_steps(server) == [1]
    assert [record.message for record in caplog.records].count(caplog.records[0].message) == 1


def test_unsent_run_is_named_at_the_end(
    server: FakeServer, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.away = True
    with Syncer(interval_s=60.0) as syncer:
        syncer.add(RunSync(folder, server))
    assert str(folder) in caplog.text


def test_rejected_run_does_not_stop_the_others(
    server: FakeServer, folder: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir()
    refusing = FakeServer()
    refusing.rejects = True
    with Syncer(interval_s=60.0) as syncer:
        syncer.add(RunSync(folder, refusing))
        syncer.add(RunSync(other, server))
    assert len(server.runs) == 1


def test_child_run_names_its_parent(server: FakeServer, folder: Path) -> None:
    child = folder / "trials" / "trial_000"
    child.mkdir(parents=True)
    parent = RunSync(folder, server)
    run = RunSync(child, server, parent=parent)
    run.push()
    assert server.runs[run.run_id()]["parent"] == parent.run_id()
    assert run.state.parent == "../.."


def test_end_sends_the_best_checkpoint_without_optimiser_state(
    server: FakeServer, folder: Path
) -> None:
    best = folder / "checkpoints" / "epoch_0002"
    best.mkdir(parents=True)
    for name in ("model.safetensors", "state.pt", "meta.json"):
        (best / name).touch()
    index = {"best": "epoch_0002", "last": "epoch_0003"}
    (folder / "checkpoints" / "index.json").write_text(json.dumps(index))
    run = RunSync(folder, server)
    run.end("FAILED", "why")
    run.push()
    (sent,) = server.runs.values()
    assert {"checkpoint/model.safetensors", "checkpoint/meta.json"} <= set(sent["files"])
    assert not any("state.pt" in name for name in sent["files"])
    assert (sent["status"], sent["reason"]) == ("FAILED", "why")


@pytest.mark.parametrize(
    ("state", "status"),
    [("finished", "FINISHED"), ("failed", "FAILED"), ("stopped", "KILLED"), ("odd", "KILLED")],
)
def test_status_file_decides_how_a_run_ends(tmp_path: Path, state: str, status: str) -> None:
    (tmp_path / "status.json").write_text(json.dumps({"state": state, "reason": "r"}))
    assert read_status(tmp_path, "KILLED") == (status, "r")


def test_track_run_does_nothing_when_tracking_is_off(folder: Path) -> None:
    with track_run(folder, TrackingConfig(enabled=False)) as run:
        assert run is None
    assert not (folder / "mlflow_sync.json").exists()
