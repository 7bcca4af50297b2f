"""Tables show intervals and differences, verdicts say what they mean, JSON keeps everything."""

import io
import json

import pytest
from rich.console import Console

from smil_ray.results.evaluation.captions import digits, is_better
from smil_ray.results.evaluation.record import Evaluation


def evaluation(
    ours: float = 5.0, theirs: float = 6.0, difference: tuple[float, float, float] | None = None
) -> Evaluation:
    key = "pa_mpjpe_pct_bl"
    return Evaluation(
        split="test",
        n_samples=40,
        metrics={
            "network": {key: ours, "rot_deg_joint": 30.0, "iou": 0.5},
            "mean pose": {key: theirs, "rot_deg_joint": 35.0},
            "nearest neighbour": {key: 7.0},
        },
        counts={key: 40, "iou": 12},
        intervals={"network": {key: (4.5, 5.5)}, "mean pose": {key: (5.25, 6.75)}},
        differences={"mean pose": {key: difference}} if difference else {},
        per_group={
            "network": {key: {"legs": 5.5, "body": 2.0}},
            "mean pose": {key: {"legs": 6.5, "body": 2.5}},
        },
    )


def shown(found: Evaluation, width: int = 200) -> str:
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(found.table(width))
    return console.export_text()


def test_table_shows_baselines_then_the_network_with_intervals_and_numbers() -> None:
    text = shown(evaluation(difference=(-1.0, -1.5, -0.5)))
    order = [text.index(name) for name in ("mean pose", "nearest neighbour", "network")]
    assert order == sorted(order)
    line = next(line for line in text.splitlines() if "PA-MPJPE" in line)
    assert "6.00 [5.25, 6.75]" in line
    assert "5.00 [4.50, 5.50]" in line
    assert "-1.00 [-1.50, -0.500]" in line
    assert line.split("│")[2].strip() == "40"
    assert "-17 %" in line
    assert "joint rotation [deg]" in text
    assert "[low, high]: 95 % interval" in text
    iou = next(line for line in text.splitlines() if "silhouette IoU" in line)
    assert iou.split("│")[2].strip() == "12"


def test_without_3d_labels_2d_figures_and_the_reason_are_shown() -> None:
    found = Evaluation(
        split="test",
        n_samples=40,
        metrics={"network": {"pck_auc_bbox": 0.5, "kp2d_px_input": 9.0, "iou": 0.4}},
        counts={"pck_auc_bbox": 40, "kp2d_px_input": 40, "iou": 12, "pa_mpjpe_pct_bl": 0},
        left_out={"mean pose": "no training sample has rotations."},
        body_chain="b_a_5 - b_t",
        per_group={"network": {"pa_mpjpe_pct_bl": {}, "pck@0.10_bbox": {"legs": 0.25}}},
    )
    for width in (80, 200):
        text = " ".join(shown(found, width).split())
        assert "no 3D figures: the samples have no 3D joints" in text
        assert "body length" not in text
    assert found.verdict() == ""
    groups = found.group_table()
    assert groups is not None
    assert [column.header for column in groups.columns] == ["part", "PCK@0.10"]


def test_narrow_table_puts_intervals_on_lines_of_their_own() -> None:
    text = shown(evaluation(difference=(-1.0, -1.5, -0.5)), 80)
    assert "(N = 12)" in text
    assert "…" not in text
    lines = text.splitlines()
    place = next(number for number, line in enumerate(lines) if "[4.50" in line)
    assert "5.00" not in lines[place]
    assert "5.00" in lines[place - 1]


@pytest.mark.parametrize(
    ("ours", "difference", "said"),
    [
        (5.0, (-1.0, -1.5, -0.5), "beats the mean pose in PA-MPJPE: 5.00 against 6.00"),
        (5.9, (-0.1, -0.4, 0.2), "cannot be told apart"),
        (6.0, (0.0, -0.4, 0.4), "does not beat the mean pose"),
        (6.5, (0.5, 0.2, 0.8), "does not read its joints"),
    ],
)
def test_verdict_follows_the_interval_of_the_difference(
    ours: float, difference: tuple[float, float, float], said: str
) -> None:
    assert said in evaluation(ours, difference=difference).verdict()


def test_without_a_mean_pose_nothing_is_said() -> None:
    assert Evaluation("all", 3, {"network": {"pa_mpjpe_pct_bl": 5.0}}).verdict() == ""


def test_record_comes_back_from_json_and_from_older_leaderboards() -> None:
    found = evaluation(difference=(-1.0, -1.5, -0.5))
    assert Evaluation.from_record(found.as_record()) == found
    assert Evaluation.from_record(json.loads(json.dumps(found.as_record()))) == found
    older = {"split": "test", "n_samples": 40, "figures": found.metrics, "picture": "x.png"}
    assert Evaluation.from_record(older).metrics == found.metrics


def test_parts_of_the_body_stand_beside_the_mean_pose() -> None:
    table = evaluation().group_table()
    assert table is not None
    console = Console(width=120, file=io.StringIO(), record=True)
    console.print(table)
    line = next(line for line in console.export_text().splitlines() if "legs" in line)
    assert "5.50 (6.50)" in line
    assert Evaluation("test", 1, {"network": {}}).group_table() is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (6.2, "6.20"),
        (41.53, "41.5"),
        (0.7123, "0.712"),
        (0.0062, "0.006"),
        (0.0001, "0.0001"),
        (-0.5, "-0.500"),
        (123.4, "123"),
        (1234.6, "1235"),
        (0.0, "0.000"),
        (None, "-"),
    ],
)
def test_digits_are_three(value: float | None, text: str) -> None:
    assert digits(value) == text


def test_larger_shares_and_smaller_errors_are_better() -> None:
    assert is_better("pck_auc_bbox", 0.5, 0.4)
    assert is_better("val/iou", 0.5, 0.4)
    assert not is_better("pose_score", 0.5, 0.4)
