"""`parameters.npz`: all that was predicted, row by row, never in memory as a whole."""

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from smil_ray.results.prediction.parts import Results


def write_parameters(results: Results, path: Path, more: Mapping[str, np.ndarray]) -> Path:
    """Write every quantity of the rows, and `more` arrays that hold for all of them."""
    partial = path.with_name(f".{path.name}.partial")
    with zipfile.ZipFile(partial, "w", allowZip64=True) as archive:
        for name, value in more.items():
            with archive.open(f"{name}.npy", "w") as file:
                np.lib.format.write_array(file, value, allow_pickle=False)
        for name in results.quantities():
            _write_quantity(archive, results, name)
    partial.replace(path)
    return path


def _write_quantity(archive: zipfile.ZipFile, results: Results, name: str) -> None:
    kinds = {(chunk[name].dtype, chunk[name].shape[1:]) for chunk in results.chunks(names=[name])}
    # Texts are as wide as the longest of their part.
    kind = max((kind for kind, _ in kinds), key=lambda kind: kind.itemsize)
    shape = next(iter(kinds))[1]
    header = {
        "descr": np.lib.format.dtype_to_descr(kind),
        "fortran_order": False,
        "shape": (len(results), *shape),
    }
    with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
        np.lib.format.write_array_header_2_0(file, header)
        for chunk in results.chunks(names=[name]):
            file.write(np.ascontiguousarray(chunk[name], dtype=kind).tobytes())
