"""Files of backbone weights that are none."""

from pathlib import Path

import pytest

from smil_ray.errors import ConfigError
from smil_ray.models.weights.files import read_weights


@pytest.mark.parametrize("name", ["vit.safetensors", "vit.pth"])
def test_git_lfs_pointer_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 12\n")
    with pytest.raises(ConfigError, match=rf"{name}: a Git LFS pointer.*git lfs pull"):
        read_weights(path)
