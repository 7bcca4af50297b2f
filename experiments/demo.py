"""The whole product once, in a few minutes on two cores: what `make demo` runs.

Question: which head reads the pose of a synthetic insect best from the features of one pretrained
          backbone, and is it better than always answering the mean pose?
Command:  python experiments/demo.py --output demo_output
Needs:    two CPU cores, 4 GB of memory, no GPU, no network; six to seven minutes.
Expect:   two trials, the winner trained on, and a table in which its PA-MPJPE, its root-aligned
          MPJPE and its PCK on held-out samples are clearly better than the mean pose's.

Poses are as wide as real ones. The views are easier than `smil-ray synth` makes by default (seen
from above, head towards the top, filling the picture), because some minutes on two cores cannot
teach a network every view.
"""

import argparse
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter

from rich.console import Console

from smil_ray.cli.arguments import count, count_or_zero
from smil_ray.cli.exit import exit_code
from smil_ray.cli.progress import progress_bar
from smil_ray.config.reading import read_yaml, sweep_from_dict

CONFIG = Path(__file__).parent / "configs" / "demo.yaml"
INPUT_SIZE = 128


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; 0 when everything worked, 2 with one sentence for a mistake."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--output", type=Path, default=Path("demo_output"))
    parser.add_argument("--samples", type=count, default=3000)
    parser.add_argument("--seed", type=count_or_zero, default=7)
    chosen = parser.parse_args(argv)
    output = chosen.output.absolute()
    return exit_code("demo.py", lambda: _demo(output, chosen.samples, chosen.seed))


def _demo(output: Path, samples: int, seed: int) -> int:
    # Imported late, so that --help answers at once.
    from smil_ray.orchestration.cluster import start_ray
    from smil_ray.orchestration.tune.job import SLOTS, TRIAL_SLOT

    start = perf_counter()
    console = Console(soft_wrap=True)
    output.mkdir(parents=True, exist_ok=True)
    with start_ray(resources={TRIAL_SLOT: SLOTS}, dashboard=True):
        pictures, data = _make_data(output, samples, seed, console)
        folder = _search(data, output, console)
    winner = _show_winner(folder, output, console)
    console.rule(f"done in {perf_counter() - start:.0f} s")
    lines = {
        "pictures": pictures,
        "data set": data,
        "sweep": folder,
        "report": folder / "report.html",
        "overlays": output / "predictions.png",
        "compare": f"cd {shlex.quote(str(output))} && mlflow ui",
        "predict": f"smil-ray predict {shlex.quote(str(winner))} IMAGE... --out predictions",
        "next": "python experiments/tune_backbones.py --help",
    }
    for name, value in lines.items():
        console.print(f"{name + ':':10s} {value}", highlight=False, markup=False)
    return 0


def _make_data(output: Path, samples: int, seed: int, console: Console) -> tuple[Path, Path]:
    from smil_ray.body.smil_model import SmilModel
    from smil_ray.config import CropConfig
    from smil_ray.data.doctor.examination import examine
    from smil_ray.data.synthetic.samples import EASY_VIEW, SynthOptions
    from smil_ray.orchestration.preprocess.job import preprocess
    from smil_ray.orchestration.preprocess.plan import PreprocessOptions
    from smil_ray.orchestration.synth import synthesize

    pictures, data = output / "replicant", output / f"demo_{INPUT_SIZE}.h5"
    console.rule("1. smil-ray synth: a data set in replicAnt's format")
    options = SynthOptions(samples=samples, seed=seed, name="demo", **EASY_VIEW)
    with progress_bar("rendering", console) as update:
        synthesize(pictures, options, progress=update)
    console.rule("2. smil-ray doctor: what a trainer would trip over")
    with progress_bar("examining", console) as update:
        report = examine(pictures, SmilModel.builtin(), progress=update)
    console.print(report.table(), highlight=False, markup=False)
    console.rule("3. smil-ray preprocess: JSON and images to one HDF5 file")
    settings = PreprocessOptions(size=INPUT_SIZE, crop=CropConfig(mode="bbox"), resume=True)
    with progress_bar("preprocessing", console) as update:
        made = preprocess(
            [pictures], data, settings, progress=lambda state: update(state.done, state.total)
        )
    console.print(f"{made.kept} samples kept, dropped: {made.dropped or 'none'}")
    return pictures, data


def _search(data: Path, output: Path, console: Console) -> Path:
    from smil_ray.orchestration.tune.job import SweepHooks, run_sweep
    from smil_ray.results.ranking.table import ranking_table
    from smil_ray.results.report.page import write_report
    from smil_ray.results.report.winner import evaluate_winner, measure_samples

    console.rule("4. experiments/tune_backbones.py: search, then train the winner on")
    hooks = SweepHooks(
        evaluate=evaluate_winner,
        sample_errors=measure_samples,
        report=write_report,
        notify=lambda line: console.print(line, highlight=False, markup=False),
    )
    sweep = sweep_from_dict(read_yaml(CONFIG), source=str(CONFIG))
    tracking = f"tracking.uri={json.dumps(f'sqlite:///{output}/mlflow.db')}"
    outcome = run_sweep(sweep, [tracking], data=data, output_dir=output / "runs", hooks=hooks)
    console.print(ranking_table(outcome.leaderboard, width=console.width))
    return outcome.folder


def _show_winner(folder: Path, output: Path, console: Console) -> Path:
    from smil_ray.results.evaluate import evaluate, print_evaluation
    from smil_ray.results.prediction_sheet import write_prediction_sheet
    from smil_ray.results.report.winner import open_run

    console.rule("5. smil-ray evaluate: the winner on samples that it never saw")
    winner = folder / "final"
    loaded, dataset = open_run(winner)
    evaluation = evaluate(loaded, dataset)
    evaluation.write_json(output / "evaluation.json")
    print_evaluation(evaluation, console)
    write_prediction_sheet(loaded, dataset, output / "predictions.png")
    return winner


if __name__ == "__main__":
    sys.exit(main())
