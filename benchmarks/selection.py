"""Which validation metric picks the network that is better on held-out samples?

Question: does `val/pose_score` choose better configurations than root-aligned MPJPE or PA-MPJPE?
Command:  python benchmarks/selection.py SWEEP [SWEEP ...]
Needs:    finished sweeps with three or more configurations, `repeats` of at least two, and a
          test split.
Prints:   a table per sweep. *Place* is where the chosen configuration stands among all by a
          held-out figure that the metric is not made of, 0 the best and 1 the worst; *agreement*
          is the share of pairs of configurations in the same order, 0.5 being chance.

Each kept checkpoint is evaluated once on the test split; its figures stay in `held_out.json` of
the trial's folder.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from smil_ray.cli.exit import exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when every sweep could be compared."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sweeps", type=Path, nargs="+", help="folders of finished sweeps")
    chosen = parser.parse_args(argv)
    return exit_code("selection.py", lambda: _compare(chosen.sweeps))


def _compare(sweeps: Sequence[Path]) -> int:
    from smil_ray.results.ranking.leaderboard import Leaderboard
    from smil_ray.results.ranking.levels import top_level
    from smil_ray.results.ranking.selection import JUDGES, TrialFigures, compare_metrics

    for folder in sweeps:
        trials = [
            TrialFigures(
                record.index, record.repeat, record.metrics, held_out(folder / record.folder)
            )
            for record in top_level(Leaderboard.load(folder).trials)
            if record.is_ranked
        ]
        choices = compare_metrics(trials)
        judges = [name for name in JUDGES if name in choices[0].places]
        heading = " | ".join(f"{name}: place (agreement)" for name in judges)
        lines = [
            f"{folder.name}: {len(trials)} trials, {choices[0].picks} seeds",
            "",
            f"| metric | mean place | {heading} |",
            "|---" * (len(judges) + 2) + "|",
        ]
        for choice in choices:
            cells = " | ".join(
                f"{choice.places[name]:.2f} ({choice.agreement[name]:.2f})" for name in judges
            )
            lines.append(f"| {choice.metric} | {choice.place:.2f} | {cells} |")
        sys.stdout.write("\n".join(lines) + "\n\n")
    return 0


def held_out(run: Path) -> dict[str, float]:
    """Return the figures of a run's kept checkpoint on the test split, measured once."""
    from smil_ray.results.evaluate import evaluate
    from smil_ray.results.report.winner import open_run

    record = run / "held_out.json"
    if not record.is_file():
        figures = evaluate(*open_run(run), split="test").metrics["network"]
        record.write_text(json.dumps(figures), encoding="utf-8")
    return json.loads(record.read_text(encoding="utf-8"))


if __name__ == "__main__":
    sys.exit(main())
