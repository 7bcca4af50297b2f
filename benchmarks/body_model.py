"""A body model and no pictures: does a network of ten minutes read its joints, and real pictures?

Command:   python benchmarks/body_model.py MODEL [--real DATA ...] [--output FOLDER]
Takes:     3 minutes for the pictures, 10 for the training, on 2 cores
Expected:  PA-MPJPE on held-out synthetic pictures below the mean pose's, its interval too; on real
           pictures of another animal little: PCK@0.1 well below the synthetic one
Writes:    the section "Another body model" of benchmarks/RESULTS.md, and overlays in FOLDER

Pictures by `smil-ray synth --model MODEL`, from all sides but below, cut around the animal; a
pretrained backbone whose last blocks are trained with joint tokens. DATA are replicAnt folders;
each is evaluated whole, cut in the same way.
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from _learning.rows import FINE_TUNED, SIZE, VALIDATION, Data, Row, configuration
from geometry import machine, write_section

from smil_ray.config import Config, CropConfig
from smil_ray.config.reading import config_from_dict, merge
from smil_ray.data.dataset import SmilDataset
from smil_ray.results.evaluate import evaluate
from smil_ray.results.prediction_sheet import write_prediction_sheet
from smil_ray.training.checkpoint.loading import load_regressor

IMAGES, HELD_OUT, EPOCHS = 6_000, 500, 3
VIEW: dict[str, Any] = {
    "image_size": 192,
    "occlusion": 0.15,
    "out_of_frame": 0.05,
    "lowest_view_deg": 15.0,
    "least_fill": 0.4,
}
TITLE = "Another body model"
FIGURES = {
    "pa_mpjpe_pct_bl": "PA-MPJPE %",
    "mpjpe_ra_pct_bl": "root-aligned %",
    "pck@0.10_bbox": "PCK@0.1",
    "rot_deg_joint": "joint rotation deg",
    "rot_deg_global": "root rotation deg",
}


def main() -> None:
    """Make the data, train, evaluate, write the section."""
    parser = argparse.ArgumentParser(description="A body model and no pictures.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--real", nargs="+", type=Path, default=[], metavar="DATA")
    parser.add_argument("--output", type=Path, default=Path("runs/body_model"))
    arguments = parser.parse_args()
    folder, model = arguments.output.absolute(), str(arguments.model.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    files = {part: synthetic(folder, model, part) for part in ("train", "held_out")}
    began = time.perf_counter()
    run = trained(folder, model, files["train"])
    seconds = time.perf_counter() - began
    data = {"synthetic, held out": files["held_out"]}
    data |= {source.name: real(folder, model, source.absolute()) for source in arguments.real}
    rows = [
        row
        for name, file in data.items()
        for row in figures(run, name, file, folder / f"{file.stem}.png")
    ]
    text = section(arguments.model.name, seconds, rows)
    print(text)
    write_section(TITLE, text + "\n")


def synthetic(folder: Path, model: str, part: str) -> Path:
    """Return the HDF5 file of a part; it is made where it is not there yet."""
    from smil_ray.data.synthetic.samples import SynthOptions
    from smil_ray.orchestration.synth import synthesize

    file = folder / f"{part}.h5"
    if not file.exists():
        count, seed = (IMAGES, 1) if part == "train" else (HELD_OUT, 2)
        options = SynthOptions(samples=count, seed=seed, name=part, model=model, **VIEW)
        synthesize(folder / part, options)
        cut(folder / part, model, file)
    return file


def real(folder: Path, model: str, source: Path) -> Path:
    """Return the HDF5 file of a replicAnt folder, cut around the animals."""
    file = folder / f"real_{source.name}.h5"
    if not file.exists():
        cut(source, model, file)
    return file


def cut(source: Path, model: str, file: Path) -> None:
    """Preprocess a folder, with boxes around the animals."""
    from smil_ray.orchestration.preprocess.job import preprocess
    from smil_ray.orchestration.preprocess.plan import PreprocessOptions

    crop = CropConfig(mode="bbox")
    preprocess([source], file, PreprocessOptions(size=SIZE, model=model, crop=crop, resume=True))


def config_of(folder: Path, model: str, data: Path) -> Config:
    """Return the configuration of the learning benchmark's fine-tuned network for a model."""
    row = Row(round(IMAGES * (1 - VALIDATION)), EPOCHS, FINE_TUNED, data=Data())
    base = configuration(row, 0, str(data), str(folder / "runs")).model_dump(mode="json")
    return config_from_dict(merge(base, {"body": {"model": model}, "data": {"limit": None}}))


def trained(folder: Path, model: str, data: Path) -> Path:
    """Train, or go on with a training that was interrupted; return the run folder."""
    from smil_ray.orchestration.train.job import run_training

    return run_training(config_of(folder, model, data), execution="inline").run_dir.path


def figures(run: Path, name: str, file: Path, sheet: Path) -> list[str]:
    """Return a row of the table for each predictor on a data file; write overlays."""
    loaded = load_regressor(run)
    data = SmilDataset.from_path(file, model=loaded.model, input_size=loaded.input_size)
    found = evaluate(loaded, data, split="all")
    write_prediction_sheet(loaded, data, sheet, split="all")
    rows = [
        f"| {name} | {len(data)} | {predictor} | "
        + " | ".join(found.cell(predictor, key)[0] for key in FIGURES)
        + " |"
        for predictor in found.metrics
    ]
    return [*rows, f"| | | difference | {' '.join(found.difference('pa_mpjpe_pct_bl'))} |||||"]


def section(model: str, seconds: float, rows: list[str]) -> str:
    """Return the section's text."""
    columns = ["data", "samples", "predictor", *FIGURES.values()]
    lines = [
        f"## {TITLE}",
        "",
        f"`python benchmarks/body_model.py {model}`, {machine()}.",
        f"{IMAGES} pictures of `smil-ray synth --model {model}`, {EPOCHS} epochs, {SIZE} px: "
        f"{seconds / 60:.0f} minutes of training. Baselines are of the data in "
        "the row, so the mean pose of few real pictures is one that has seen them.",
        "",
        f"| {' | '.join(columns)} |",
        "|---" * len(columns) + "|",
        *rows,
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
