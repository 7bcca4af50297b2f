"""How do synthesis, preprocessing and the feature cache grow with samples and processes?

Question: which share of each stage is serial, what would 64 cores and 1,000,000 samples take, and
          what breaks first? Does memory stay flat over 100,000 samples?
Command:  python benchmarks/cluster/scaling.py
Takes:    about twelve minutes on 2 idle cores, and 3 GB of disk
Expected: less than a tenth of each stage is serial; memory of workers does not grow
Writes:   the section "Scaling" of benchmarks/RESULTS.md, with machine and commit

The time of a stage is fitted by start + samples x (serial + parallel / processes), over two sizes
and 1 and 2 processes. What is said about 64 cores is a projection by this formula, no measurement:
nothing here has 64 cores, a network, or the disk of a cluster.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import torch
from scipy.optimize import nnls

sys.path.insert(0, str(Path(__file__).parents[1]))
from _memory import Watch, resident_mb
from geometry import machine, write_section

from smil_ray.config.reading import load_config
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.replicant.reading import find_entries
from smil_ray.data.synthetic.samples import SynthOptions
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.features import build_features
from smil_ray.orchestration.preprocess.job import preprocess
from smil_ray.orchestration.preprocess.plan import PreprocessOptions, shard_size
from smil_ray.orchestration.synth import synthesize

SIZES, PROCESSES, ROUNDS = (300, 1200), (1, 2), 2
SIDE, PIXELS, BACKBONE = 512, 224, "tf_efficientnet_lite0"
CORES, SAMPLES = 64, 1_000_000
MANY, TINY = 100_000, 32


@dataclass(frozen=True)
class Fit:
    """Seconds of a stage: start + samples x (serial + parallel / processes)."""

    start: float
    serial: float
    parallel: float
    error: float

    @classmethod
    def of(cls, seconds: dict[tuple[int, int], float]) -> "Fit":
        """Return the fit to seconds by (samples, processes); no part is below 0."""
        rows = np.array([[1.0, n, n / p] for n, p in seconds])
        times = np.array(list(seconds.values()))
        # Of relative errors, so that the short runs count as well.
        parts, _ = nnls(rows / times[:, None], np.ones(len(times)))
        return cls(*parts, error=float(np.abs(rows @ parts / times - 1.0).max()))

    @property
    def serial_share(self) -> float:
        """Share of the work for a sample that only one process does."""
        return self.serial / (self.serial + self.parallel)

    def seconds(self, samples: int, processes: int) -> float:
        """Return the seconds that so many processes take for so many samples."""
        return self.start + samples * (self.serial + self.parallel / processes)


def main() -> None:
    """Measure everything and write the section."""
    parser = argparse.ArgumentParser(description="How stages grow with samples and processes.")
    parser.add_argument("--sizes", type=int, nargs=2, default=SIZES)
    parser.add_argument("--many", type=int, default=MANY, help="samples of the run over many")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    before = machine()
    with tempfile.TemporaryDirectory(prefix="scaling-") as name:
        place = Path(name)
        with start_ray("local", num_cpus=max(PROCESSES)):
            stages = Stages(place)
            stages.warm_up()
            seconds = measured(stages, tuple(chosen.sizes), chosen.rounds)
            facts = stages.facts(max(chosen.sizes))
        flat = memory(place, chosen.many)
    text = report(before, seconds, facts, flat)
    print(text)
    write_section("Scaling", text)


class Stages:
    """Runs each stage on `samples` samples with `processes` processes."""

    def __init__(self, place: Path) -> None:
        self._place = place
        self._count = 0
        self.run: dict[str, Callable[[int, int], None]] = {
            "synthesis": self._synthesise,
            "preprocessing": self._preprocess,
            "feature cache": self._cache,
        }

    def warm_up(self) -> None:
        """Let Ray's workers import what they need, and make the inputs of later stages."""
        for stage in self.run.values():
            for processes in PROCESSES:
                stage(16, processes)

    def facts(self, samples: int) -> dict[str, float]:
        """Return bytes of a sample in each form."""
        pictures = sum(p.stat().st_size for p in self._pictures(samples).iterdir())
        cache = next(self._place.glob(f"cache_{samples}_*"))
        return {
            "pictures": pictures / samples,
            "file": self._file(samples).stat().st_size / samples,
            "cache": sum(p.stat().st_size for p in cache.rglob("*") if p.is_file()) / samples,
        }

    def _pictures(self, samples: int) -> Path:
        return self._place / f"pictures_{samples}"

    def _file(self, samples: int) -> Path:
        return self._place / f"data_{samples}.h5"

    def _fresh(self, name: str) -> Path:
        self._count += 1
        return self._place / f"{name}_{self._count}"

    def _synthesise(self, samples: int, processes: int) -> None:
        folder = self._fresh("synth")
        options = SynthOptions(samples=samples, image_size=SIDE)
        synthesize(folder, options, num_workers=processes)
        if not self._pictures(samples).exists():
            folder.rename(self._pictures(samples))

    def _preprocess(self, samples: int, processes: int) -> None:
        options = PreprocessOptions(size=PIXELS, num_workers=processes)
        preprocess([self._pictures(samples)], self._file(samples), options)

    def _cache(self, samples: int, processes: int) -> None:
        folder = self._fresh(f"cache_{samples}")
        config = load_config(
            None,
            [
                f"data.path={self._file(samples)}",
                f"data.feature_cache_dir={folder}",
                f"model.backbone.name={BACKBONE}",
                f"model.backbone.input_size={PIXELS}",
            ],
        )
        build_features(config, num_workers=processes, device="cpu")


def measured(
    stages: Stages, sizes: tuple[int, ...], rounds: int
) -> dict[str, dict[tuple[int, int], float]]:
    """Return the shortest seconds of each stage by (samples, processes)."""
    found: dict[str, dict[tuple[int, int], float]] = {}
    for name, run in stages.run.items():
        times: dict[tuple[int, int], float] = {}
        for _ in range(rounds):
            for samples in sizes:
                for processes in PROCESSES:
                    start = perf_counter()
                    run(samples, processes)
                    took = perf_counter() - start
                    key = (samples, processes)
                    times[key] = min(times.get(key, took), took)
                    print(f"{name} {samples} samples {processes} processes: {took:.1f} s")
        found[name] = times
    return found


def memory(place: Path, samples: int) -> list[str]:
    """Preprocess and read many small samples and say how memory grows."""
    few, many = place / "few", place / "many"
    synthesize(few, SynthOptions(samples=25, image_size=64), num_workers=1)
    linked(few, many, samples)
    done = [0.0]
    output = place / "many.h5"
    options = PreprocessOptions(size=TINY, num_workers=2, min_visible_keypoints=0)
    start = perf_counter()
    before = resident_mb(Path("/proc/self"))
    with start_ray("local", num_cpus=2), Watch(lambda: done[0], "ray::") as watch:
        preprocess(
            [many], output, options, progress=lambda s: done.__setitem__(0, s.done / s.total)
        )
    took = perf_counter() - start
    last = watch.readings[-1]
    dataset = SmilDataset.from_path(output)
    grown = []
    for part in np.array_split(np.arange(len(dataset)), 4):
        for at in range(0, len(part), 64):
            dataset.samples(part[at : at + 64].tolist())
        grown.append(resident_mb(Path("/proc/self")))
    files = 3 * samples
    return [
        f"Preprocessing of {samples:,} entries of 64 px ({files:,} files, hard links to 25) to "
        f"{TINY} px in 2 processes: {took:.0f} s, {output.stat().st_size / 1e6:.0f} MB, "
        f"{shards(samples, TINY):,} shards. Memory that is a process's own, MB:",
        "",
        "| shards finished | driver | largest worker |",
        "|---|---|---|",
        *(
            f"| {share:.0%} | {watch.at(share).driver:.0f} | {watch.at(share).worker:.0f} |"
            for share in (0.1, 0.25, 0.5, 0.75, 0.99)
        ),
        f"| merged | {last.driver:.0f} | {last.worker:.0f} |",
        "",
        f"The driver began with {before:.0f} MB. Reading the file once, in batches of 64, it had "
        f"{', '.join(f'{mb:.0f}' for mb in grown)} MB after each quarter.",
    ]


def shards(samples: int, side: int) -> int:
    """Return how many shards preprocessing makes by default."""
    return -(-samples // shard_size(samples, side))


def linked(few: Path, many: Path, samples: int) -> None:
    """Fill a new folder with links to a few entries under many names."""
    many.mkdir()
    entries = find_entries(few)
    for number in range(samples):
        entry = entries[number % len(entries)]
        for path, suffix in (
            (entry.json_path, ".json"),
            (entry.image_path, ".JPG"),
            (entry.mask_path, "_ID.png"),
        ):
            assert path is not None
            (many / f"m_{number:07d}{suffix}").hardlink_to(path)


def report(
    before: str,
    seconds: dict[str, dict[tuple[int, int], float]],
    facts: dict[str, float],
    flat: list[str],
) -> str:
    """Return the section."""
    fits = {name: Fit.of(times) for name, times in seconds.items()}
    keys = list(next(iter(seconds.values())))
    heads = " | ".join(f"{n} samples, {p} proc. s" for n, p in keys)
    gb = {name: size * SAMPLES / 1e9 for name, size in facts.items()}
    lines = [
        "## Scaling",
        "",
        f"`python benchmarks/cluster/scaling.py`, {before}.",
        f"Pictures of {SIDE} px, samples and backbone ({BACKBONE}) of {PIXELS} px, one thread a",
        "process; the shorter of two rounds, Ray running already. The fit is start + samples x",
        "(serial + parallel / processes); *error* is its largest relative one.",
        "",
        f"| stage | {heads} | serial ms | parallel ms | serial share | error |",
        f"|---|{'---|' * len(keys)}---|---|---|---|",
    ]
    for name, fit in fits.items():
        times = " | ".join(f"{seconds[name][key]:.1f}" for key in keys)
        lines.append(
            f"| {name} | {times} | {fit.serial * 1e3:.2f} | {fit.parallel * 1e3:.2f} "
            f"| {fit.serial_share:.1%} | {fit.error:.0%} |"
        )
    lines += [
        "",
        f"Projection by the fit, no measurement, to {SAMPLES:,} samples:",
        "",
        f"| stage | 1 core h | {CORES} cores h | of it serial h |",
        "|---|---|---|---|",
        *(
            f"| {name} | {fit.seconds(SAMPLES, 1) / 3600:.1f} "
            f"| {fit.seconds(SAMPLES, CORES) / 3600:.2f} | {fit.serial * SAMPLES / 3600:.2f} |"
            for name, fit in fits.items()
        ),
        "",
        f"Projected bytes: {gb['pictures']:.0f} GB of pictures and annotations in "
        f"{3 * SAMPLES:,} files; {gb['file']:.0f} GB of HDF5 in one file, twice that while "
        f"{shards(SAMPLES, PIXELS):,} shards are merged; {gb['cache']:.0f} GB of features on each "
        "node that trains.",
        "",
        *flat,
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
