"""Damaged `.npz` models: numpy parses an array's header before zipfile has seen its checksum."""

import zipfile
from pathlib import Path

import pytest

from smil_ray.body.model_file.reading import read_model_file, write_npz
from smil_ray.errors import ModelFileError
from tests.body.small_models import small_arrays

HEADER_BEGINS = 10


@pytest.mark.parametrize(
    "wrong", [b"(" * 60, b"x:\n  x\n y".ljust(60)], ids=["open bracket", "indentation"]
)
def test_damaged_header_of_an_array_is_refused(tmp_path: Path, wrong: bytes) -> None:
    path = write_npz(small_arrays(), tmp_path / "model.npz")
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    content = members["v_template.npy"]
    after = HEADER_BEGINS + len(wrong)
    members["v_template.npy"] = content[:HEADER_BEGINS] + wrong + content[after:]
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ModelFileError, match=r"model\.npz: not a readable \.npz"):
        read_model_file(path)
