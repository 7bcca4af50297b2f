"""Files of schema version 1, as they were written before version 2, for tests of reading them."""

import json
from pathlib import Path

import h5py
import numpy as np

from smil_ray.core.batch import LABELS
from smil_ray.data.hdf5 import schema
from smil_ray.data.hdf5.schema import StoreInfo
from smil_ray.data.hdf5.table import SampleTable


def write_schema_one(path: Path, table: SampleTable, info: StoreInfo) -> str:
    """Write samples with HDF5's oldest format and texts of variable length in attributes."""
    columns = {
        **table.columns,
        schema.NAMES: fixed(table.names),
        schema.SAMPLE_GROUPS: fixed(table.groups),
        schema.RGB_OFFSETS: table.rgb.offsets,
        schema.MASK_OFFSETS: table.masks.offsets,
    }
    content_hash = info.content_hash_with(columns[schema.DIGESTS])
    with h5py.File(path, "w") as file:
        for place, values in columns.items():
            file[place] = values
        file[schema.RGB_BLOB], file[schema.MASK_BLOB] = table.rgb.data, table.masks.data
        file[schema.PRESENCE].attrs["labels"] = json.dumps(LABELS)
        file[schema.JOINT_NAMES] = fixed(info.joint_names)
        file[schema.PARENTS] = np.array(info.parents, dtype=np.int32)
        file[schema.NOTES] = fixed(tuple(info.notes))
        file[schema.NOTE_COUNTS] = np.array(list(info.notes.values()), dtype=np.int64)
        for place in schema.DROPS:
            file[place] = fixed(())
        file["metadata"].attrs.update(
            format=schema.FORMAT,
            schema_version=1,
            content_hash=content_hash,
            columns_hash=schema.columns_hash(columns, 1),
            total_samples=len(table),
            input_size=info.input_size,
            n_betas=info.n_betas,
            n_weights=info.n_weights,
            model_name=info.model_name,
            model_hash=info.model_hash,
            settings=json.dumps(info.settings, sort_keys=True),
            drop_counts=json.dumps(info.drop_counts),
        )
    return content_hash


def fixed(texts: tuple[str, ...]) -> np.ndarray:
    """Return strings as fixed-length UTF-8 bytes."""
    encoded = [text.encode() for text in texts]
    return np.array(encoded, dtype=f"S{max([1, *map(len, encoded)])}")


def make_hang(path: Path) -> None:
    """Damage a file of schema 1 so that reading a text of variable length never ends.

    The head of the first object in the heap of texts becomes zero: free space of length zero,
    over which the HDF5 library steps for ever.
    """
    data = bytearray(path.read_bytes())
    first = data.index(b"GCOL") + 16
    data[first : first + 16] = bytes(16)
    path.write_bytes(data)
