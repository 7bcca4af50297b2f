"""The journal of a sweep: append only, and readable after any crash."""

from pathlib import Path

import pytest

from smil_ray.errors import DataError
from smil_ray.orchestration.tune.journal import Journal


def write_trial(journal: Journal, name: str, index: int = 0, status: str = "finished") -> None:
    journal.append(
        "start", trial=name, index=index, repeat=0, point={"k": 1}, labels={"k": 1}, digest="d"
    )
    journal.append("end", trial=name, status=status, metric=1.5, epochs=3.0, seconds=2.0)


def test_records_tell_how_every_trial_ended(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write_trial(journal, "a")
    journal.append("start", trial="b", index=1, repeat=0, point={}, labels={}, digest="e")
    records = Journal(tmp_path).records()
    assert (records["a"].status, records["a"].metric) == ("finished", 1.5)
    assert records["b"].status == "running"
    assert Journal(tmp_path).points() == {"a": {"k": 1}, "b": {}}


def test_trial_that_ran_twice_counts_the_time_of_both(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write_trial(journal, "a", status="failed")
    write_trial(journal, "a")
    assert journal.records()["a"].seconds == 4.0
    assert journal.records()["a"].status == "finished"


def test_half_written_last_line_is_dropped_and_the_next_one_is_whole(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write_trial(journal, "a")
    with journal.path.open("a") as stream:
        stream.write('{"event": "start", "tri')
    again = Journal(tmp_path)
    write_trial(again, "b", index=1)
    assert list(again.records()) == ["a", "b"]


def test_damaged_line_in_the_middle_is_named(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write_trial(journal, "a")
    lines = journal.path.read_text().splitlines()
    journal.path.write_text("\n".join([lines[0], "{broken", lines[1]]) + "\n")
    with pytest.raises(DataError, match="line 2"):
        journal.records()


DAMAGES = {
    b"\xe9": "byte 13 is not UTF-8",
    b'{"event": "sta': "not JSON",
    b"[1, 2]": "no event",
    b'{"event": "end", "trial": "a"}': "'end' with nothing as 'status'",
    b'{"event": "start", "trial": 7}': "'start' with 7 as 'trial'",
    b'{"event": "end", "trial": "lost", "status": "failed"}': "the start of lost is missing",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=DAMAGES.values())
def test_damage_names_its_line_and_is_set_aside_when_that_is_wanted(
    tmp_path: Path, damage: bytes
) -> None:
    journal = Journal(tmp_path)
    write_trial(journal, "a")
    write_trial(journal, "b", index=1)
    lines = journal.path.read_bytes().splitlines()
    bad = lines[2][:12] + damage + lines[2][12:] if damage == b"\xe9" else damage
    lines[2:2] = [bad]
    damaged = b"\n".join(lines) + b"\n"
    journal.path.write_bytes(damaged)
    with pytest.raises(DataError, match=rf"line 3 is damaged: {DAMAGES[damage]}.*--repair-j"):
        Journal(tmp_path).records()
    (problem,) = Journal(tmp_path).repair()
    assert problem.startswith(f"line 3: {DAMAGES[damage]}")
    assert list(Journal(tmp_path).records()) == ["a", "b"]
    assert (tmp_path / "journal.damaged_1.jsonl").read_bytes() == damaged
    assert Journal(tmp_path).repair() == []


def test_trial_whose_start_is_damaged_is_forgotten(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    write_trial(journal, "a")
    write_trial(journal, "b", index=1)
    lines = journal.path.read_bytes().splitlines()
    journal.path.write_bytes(b"\n".join([lines[0], lines[1], b"\xff", lines[3]]) + b"\n")
    assert len(Journal(tmp_path).repair()) == 2
    assert list(Journal(tmp_path).records()) == ["a"]


def test_rungs_hold_each_trial_once(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for value in (2.0, 2.0, 3.0):
        journal.append("rung", trial="a", rung=1, value=value)
    journal.append("rung", trial="a", rung=3, value=1.0)
    assert [(event["rung"], event["value"]) for event in journal.rungs()] == [(1, 3.0), (3, 1.0)]
