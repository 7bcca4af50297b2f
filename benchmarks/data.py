"""How fast are preprocessing and loading, against the bare decoding that they contain?

Command:   python benchmarks/data.py [--real-data FOLDER]
Takes:     about four minutes on 2 cores
Expected:  preprocess at least 70 % of a bare decode-resize-encode loop; HDF5 loading at least 12
           times JSON loading and at least 80 % of bare JPEG decoding
Writes:    the section "Data" of benchmarks/RESULTS.md, with machine and commit
"""

import argparse
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from _data_loops import (
    bare_decode,
    bare_loop,
    best_rates,
    core,
    decode_only,
    folder_of,
    linked,
    loop,
    median_rates,
    peak_mb,
    plain_json,
    timed,
)
from _single_items import single_items
from geometry import machine, write_section
from torch.utils.data import DataLoader

from smil_ray.core.batch import collate
from smil_ray.data.dataset import SmilDataset
from smil_ray.data.hdf5.merge import StoreSize, merge
from smil_ray.data.hdf5.store import Hdf5Source
from smil_ray.data.replicant.reading import Entry, find_entries
from smil_ray.orchestration.cluster import start_ray
from smil_ray.orchestration.preprocess.job import preprocess
from smil_ray.orchestration.preprocess.plan import PreprocessOptions, make_plan
from smil_ray.orchestration.preprocess.shard import make_shard

N, FEW, BATCH, LARGE, MANY, ROUNDS = 400, 100, 32, 10_000, 1600, 7


def main() -> None:
    """Measure everything and write the section."""
    parser = argparse.ArgumentParser(description="Time preprocessing and loading.")
    default = os.environ.get("SMIL_RAY_REAL_DATA", Path(__file__).parents[2] / "shared")
    parser.add_argument("--real-data", type=Path, default=Path(default))
    parser.add_argument("--samples", type=int, default=N)
    parser.add_argument("--memory-of", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of is not None:
        print(memory_of(arguments.memory_of))
        return
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory(prefix="data-") as name:
        place = Path(name)
        masked, bare, source = folder_of(place, arguments.real_data, arguments.samples)
        folders = {"without masks": bare, "with masks": masked}
        lines = [
            "## Data",
            "",
            f"`python benchmarks/data.py`, {machine()}.",
            f"{arguments.samples} entries of 1024 px, {source}; the best of several rounds in",
            "which everything takes its turn. Other processes change core time least; with a load",
            "average over 1 at the start, times by the clock mean little.",
            "",
            *shards(place, folders),
            "",
            *jobs(place, folders),
            "",
            *loading(place, folders),
            "",
            *single_items(place / "masked_224.h5", FEW),
            "",
            *loaders(place, masked),
            "",
            *memory(place, masked),
            "",
            *large_file(place),
        ]
    text = "\n".join(lines) + "\n"
    print(text)
    write_section("Data", text)


def shards(place: Path, folders: dict[str, Path]) -> list[str]:
    """Time what one worker does against bare loops, by core time; keep the files."""
    rows = [
        "What one worker does (read, check, label, resize, encode, write a shard), against a loop",
        "that only reads, decodes, resizes and encodes the pictures (decodes and resizes masks)",
        "with OpenCV, one that decodes as smil_ray does (JPEG at reduced scale, a quicker PNG",
        "decoder), and nothing but that decoding; samples per second of core time, by the median",
        f"of {ROUNDS} rounds in which the ways take turns:",
        "",
        "| pictures | px | smil_ray | bare | ratio | same decoders | ratio | decoding | ratio |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, folder in folders.items():
        for size in (224, 512):
            options = PreprocessOptions(size=size, chunk_size=FEW)
            shard = make_plan([folder], options).shards[0]
            entries = [entry for entry in shard.entries if isinstance(entry, Entry)]
            output = place / f"{folder.name}_{size}"
            output.mkdir()
            rates = median_rates(
                {
                    "ours": partial(core, partial(make_shard, shard, output, options)),
                    "bare": partial(core, partial(bare_loop, entries, size, same=False)),
                    "same": partial(core, partial(bare_loop, entries, size, same=True)),
                    "decoding": partial(core, partial(decode_only, entries, size)),
                },
                len(shard.entries),
                rounds=ROUNDS,
            )
            (output / f"{shard.stem}.h5").rename(place / f"{output.name}.h5")
            ours = rates.pop("ours")
            others = (f"{rate:.0f} | {ours / rate:.0%}" for rate in rates.values())
            rows.append(f"| {name} | {size} | {ours:.0f} | {' | '.join(others)} |")
            print(rows[-1], flush=True)
    return rows


def jobs(place: Path, folders: dict[str, Path]) -> list[str]:
    """Time the whole job on Ray against bare loops in as many processes, by the clock."""
    rows = [
        f"The whole job at 224 px on {MANY} entries by the clock, on a Ray that runs already,",
        "planning, start of the workers (the seconds of a job of two entries) and merge included,",
        "against the bare loop in as many processes:",
        "",
        "| pictures | processes | smil_ray | bare loop | ratio | start s |",
        "|---|---|---|---|---|---|",
    ]
    with start_ray("local", num_cpus=2):
        for name, folder in folders.items():
            many = linked(folder, place / f"many_{folder.name}", MANY)
            few = linked(folder, place / f"few_{folder.name}", 2)
            entries = find_entries(many)
            for workers in (1, 2):
                rates = best_rates(
                    {
                        "ours": partial(run_job, many, place / "job.h5", workers),
                        "bare": partial(loop, entries, 224, workers),
                    },
                    len(entries),
                    rounds=2,
                )
                start = min(run_job(few, place / "job.h5", workers) for _ in range(2))
                ours, bare = rates["ours"], rates["bare"]
                rows.append(
                    f"| {name} | {workers} | {ours:.0f} | {bare:.0f} | {ours / bare:.0%} "
                    f"| {start:.1f} |"
                )
                print(rows[-1], flush=True)
    return rows


def run_job(folder: Path, output: Path, workers: int) -> float:
    """Return the seconds that the job takes."""
    options = PreprocessOptions(size=224, num_workers=workers)
    return preprocess([folder], output, options).seconds


def loading(place: Path, folders: dict[str, Path]) -> list[str]:
    """Time reading samples from HDF5, from JSON folders, and bare JPEG decoding."""
    rows = [
        "Loading in batches in one process, samples per second of core time. Plain JSON: json,",
        "OpenCV at full size, resize, a loop over joints, as scripts usually do it. Bare decode:",
        "stored JPEGs from memory, nothing else; HDF5 also reads them, checks their CRC, decodes",
        "the mask, makes a `Sample`:",
        "",
        "| pictures | px | HDF5 | JSON folder | ratio | plain JSON | ratio | bare decode "
        "| HDF5 / bare |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, folder in folders.items():
        for size in (224, 512):
            file = place / f"{folder.name}_{size}.h5"
            dataset, table = SmilDataset.from_path(file), Hdf5Source(file).table()
            json_set = SmilDataset.from_path(folder, input_size=size)
            pictures = [table.rgb[i] for i in range(len(table))]
            order = np.random.default_rng(0).permutation(len(dataset))
            quick = {
                "HDF5": partial(core, partial(read, dataset, order)),
                "bare": partial(core, partial(bare_decode, pictures)),
            }
            slow = {
                "JSON": partial(core, partial(read, json_set, order)),
                "plain": partial(core, partial(plain_json, find_entries(folder)[:FEW], size)),
            }
            rates = best_rates(quick, len(order), rounds=20) | best_rates(slow, len(order))
            h5, bare = rates["HDF5"], rates["bare"]
            rows.append(
                f"| {name} | {size} | {h5:.0f} | {rates['JSON']:.0f} | {h5 / rates['JSON']:.1f} "
                f"| {rates['plain']:.0f} | {h5 / rates['plain']:.1f} | {bare:.0f} "
                f"| {h5 / bare:.0%} |"
            )
            print(rows[-1], flush=True)
    return rows


def loaders(place: Path, folder: Path) -> list[str]:
    """Time a DataLoader with 0, 1 and 2 processes."""
    rows = [
        f"Through a DataLoader by the clock, masks included, batches of {BATCH} collated:",
        "",
        "| px | processes | HDF5 | JSON folder | ratio |",
        "|---|---|---|---|---|",
    ]
    for size in (224, 512):
        h5 = SmilDataset.from_path(place / f"{folder.name}_{size}.h5")
        json_set = SmilDataset.from_path(folder, input_size=size)
        for workers in (0, 1, 2):
            fast = loader_rate(h5, 20 * FEW, workers)
            slow = loader_rate(json_set, FEW, workers)
            rows.append(f"| {size} | {workers} | {fast:.0f} | {slow:.0f} | {fast / slow:.1f} |")
            print(rows[-1], flush=True)
    return rows


def loader_rate(dataset: SmilDataset, samples: int, workers: int) -> float:
    """Return samples/s of a shuffling DataLoader whose processes are up, best of two epochs."""
    loader = DataLoader(
        dataset.view(np.arange(samples) % FEW),
        batch_size=BATCH,
        shuffle=True,
        collate_fn=partial(collate, reference_frame="camera"),
        num_workers=workers,
        multiprocessing_context="forkserver" if workers else None,
        persistent_workers=workers > 0,
    )
    epochs = [timed(lambda: [len(batch.names) for batch in loader]) for _ in range(3)]
    return samples / min(epochs[1:])


def memory(place: Path, folder: Path) -> list[str]:
    """Measure what opening and reading adds to a process's memory."""
    rows = ["Memory that opening and reading 100 samples add to a process, MB:", ""]
    for path in (place / f"{folder.name}_224.h5", folder):
        command = [sys.executable, __file__, "--memory-of", str(path)]
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        rows.append(f"- {'HDF5' if path.is_file() else 'JSON folder'}: {float(found):.0f}")
    return rows


def memory_of(path: Path) -> float:
    """Return by how many MB this process grows while it opens a data set and reads some."""
    peak_mb()
    before = peak_mb()
    dataset = SmilDataset.from_path(path)
    read(dataset, np.arange(FEW))
    return peak_mb() - before


def large_file(place: Path) -> list[str]:
    """Time opening and reading a file of many samples, made of copies under other names."""
    source = Hdf5Source(next(place.glob("masked_224.h5")))
    table = source.table()
    copies = -(-LARGE // len(table))
    tables = (
        replace(table, names=tuple(f"{copy:04d}/{name}" for name in table.names))
        for copy in range(copies)
    )
    first = replace(table, names=tuple(f"0000/{name}" for name in table.names))
    size = sum((StoreSize.of(first) for _ in range(copies)), StoreSize())
    path = place / "large.h5"
    writing = timed(partial(merge, tables, size, path, source.info))
    opening = min(timed(partial(SmilDataset.from_path, path)) for _ in range(3))
    dataset = SmilDataset.from_path(path)
    some = np.random.default_rng(0).permutation(len(dataset))[:2000]
    accesses = {
        "random": partial(core, partial(read, dataset, some)),
        "sequential": partial(core, partial(read, dataset, np.arange(2000))),
    }
    rates = best_rates(accesses, 2000)
    return [
        f"A file of {len(dataset)} samples at 224 px ({path.stat().st_size / 1e6:.0f} MB): merged "
        f"in {writing:.1f} s, opened in {opening:.2f} s; random access {rates['random']:.0f}, "
        f"sequential {rates['sequential']:.0f} samples per second of core time.",
    ]


def read(dataset: SmilDataset, order: np.ndarray) -> None:
    """Read samples in batches."""
    for i in range(0, len(order), BATCH):
        dataset.samples(order[i : i + BATCH].tolist())


if __name__ == "__main__":
    main()
