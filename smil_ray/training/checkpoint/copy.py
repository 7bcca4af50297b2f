"""A run that begins where another one stood."""

import json
import os
import shutil
from pathlib import Path

from smil_ray.errors import CheckpointError
from smil_ray.training.checkpoint.files import META, read_meta
from smil_ray.training.checkpoint.folder import last_entry


def copy_newest_checkpoint(parent: Path, checkpoints: Path) -> Path:
    """Copy the newest checkpoint of a run to the checkpoints of another, which goes on from it.

    The copy has no selection value: the other run's figure is not this one's best. A run that
    has checkpoints already stays as it is.

    Args:
        parent: The checkpoints of the run to go on from.
        checkpoints: The checkpoints of the run that begins.

    Returns:
        The newest checkpoint of the run that begins.

    Raises:
        CheckpointError: The parent has no checkpoint, or the copy cannot be written.
    """
    own = last_entry(checkpoints)
    if own is not None:
        return own.path
    entry = last_entry(parent)
    if entry is None:
        raise CheckpointError(
            f"{parent} has no checkpoint to go on from",
            remedy="keep the run folders of a search until it has ended",
        )
    target = checkpoints / entry.path.name
    partial = checkpoints / f".{target.name}.{os.getpid()}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(entry.path, partial)
        meta = {**read_meta(entry.path), "select_value": None, "copied_from": str(entry.path)}
        (partial / META).write_text(json.dumps(meta, indent=2), encoding="utf-8")
        partial.rename(target)
    except OSError as error:
        raise CheckpointError(
            f"Checkpoint {target} cannot be written: {error}",
            remedy="free space, then resume the search",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target
