"""Meshes as .obj files."""

from pathlib import Path

import numpy as np
import pytest
import torch

from smil_ray.body.mesh_io import write_obj
from smil_ray.errors import ModelFileError


def test_obj_holds_vertices_and_faces_counted_from_one(tmp_path: Path) -> None:
    vertices = np.array([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.5, -2.0]])
    path = write_obj(tmp_path / "mesh.obj", vertices, np.array([[0, 1, 2]]))
    lines = path.read_text().splitlines()
    assert lines[2:] == ["v 0.000000 1.500000 -2.000000", "f 1 2 3"]
    tensors = torch.tensor(vertices, requires_grad=True), torch.tensor([[0, 1, 2]])
    again = write_obj(tmp_path / "again.obj", *tensors)
    assert again.read_text() == path.read_text()


def test_obj_of_vertices_that_are_not_finite_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match=r"mesh\.obj.*finite"):
        write_obj(tmp_path / "mesh.obj", np.full((3, 3), np.nan), np.array([[0, 1, 2]]))
    assert list(tmp_path.iterdir()) == []


def test_obj_in_a_folder_that_is_not_there_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="cannot be written"):
        write_obj(tmp_path / "absent" / "mesh.obj", np.zeros((3, 3)), np.array([[0, 1, 2]]))
