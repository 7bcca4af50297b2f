"""What a run was given and keeps in its own folder, so that the folder can go anywhere.

`RUN/inputs/` holds files that are named by the hash of their content and never change:

- `body_model-HASH.npz`: the body model, in the safe form
- `backbone-HASH.safetensors`: the weights that a backbone had before it was trained; those of one
  that is never trained are in every checkpoint
- `prior-HASH.safetensors`: what poses and shapes are likely by the training split, or by that of
  the run that this one began with
- `init_from/`: the checkpoint that the run began with, without what only a resume needs

Runs side by side share a file by hard links.
"""

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save, save_file

from smil_ray.body.smil_model import SmilModel
from smil_ray.config import Config
from smil_ray.errors import CheckpointError, ModelFileError
from smil_ray.losses.prior import ParameterPrior
from smil_ray.models.backbones import Backbone
from smil_ray.training.batches.features import weights_hash
from smil_ray.training.checkpoint.files import STATE

INPUTS = "inputs"
PARENT = "init_from"
_DIGITS = 16


def keep_body_model(run: Path, model: SmilModel) -> Path:
    """Put the body model into a run folder, unless it is there; return its file.

    Raises:
        CheckpointError: It cannot be written.
    """
    name = f"body_model-{model.content_hash[:_DIGITS]}.npz"
    return _keep(run, name, lambda path: model.save(path))


def keep_backbone(run: Path, backbone: Backbone) -> Path:
    """Put a backbone's weights, as they are now, into a run folder; return the file.

    Raises:
        CheckpointError: It cannot be written.
    """
    name = f"backbone-{weights_hash(backbone)[:_DIGITS]}.safetensors"
    state = backbone.model.state_dict()
    plain = {key: value.detach().cpu().contiguous().clone() for key, value in state.items()}
    return _keep(run, name, lambda path: save_file(plain, path))


def keep_prior(run: Path, prior: ParameterPrior) -> Path:
    """Put what poses and shapes are likely into a run folder; return the file.

    Raises:
        CheckpointError: It cannot be written.
    """
    tensors = {name: value.detach().cpu().contiguous() for name, value in prior.tensors().items()}
    digest = hashlib.sha256(save(tensors)).hexdigest()
    name = f"prior-{digest[:_DIGITS]}.safetensors"
    return _keep(run, name, lambda path: save_file(tensors, path))


def kept_prior(run: Path) -> ParameterPrior | None:
    """Return what poses and shapes a run holds for likely; None in runs that keep nothing of it.

    Raises:
        CheckpointError: The file is damaged.
    """
    path = next(iter(sorted((run / INPUTS).glob("prior-*.safetensors"))), None)
    if path is None:
        return None
    try:
        return ParameterPrior(**load_file(path))
    except (OSError, SafetensorError, TypeError) as error:
        raise CheckpointError(f"{path} cannot be read: {error}") from error


def kept_body_model(run: Path) -> Path | None:
    """Return the file of the body model in a run folder; None in runs that kept none."""
    return next(iter(sorted((run / INPUTS).glob("body_model-*.npz"))), None)


def kept_backbone(run: Path) -> Path | None:
    """Return the file of the backbone's first weights in a run folder; None without one."""
    return next(iter(sorted((run / INPUTS).glob("backbone-*.safetensors"))), None)


def keep_parent(run: Path, checkpoint: Path) -> Path:
    """Put the checkpoint that a run begins with into its folder, unless it is there.

    Raises:
        CheckpointError: It cannot be written.
    """
    target = run / INPUTS / PARENT
    if target.is_dir():
        return target
    partial = target.with_name(f".{os.getpid()}-{PARENT}")
    try:
        partial.mkdir(parents=True, exist_ok=True)
        for path in checkpoint.iterdir():
            if path.name != STATE and path.is_file():
                _link_or_copy(path, partial / path.name)
        partial.rename(target)
    except OSError as error:
        raise CheckpointError(
            f"{target} cannot be written: {error}",
            remedy="free space or choose another run.output_dir",
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def kept_parent(run: Path) -> Path | None:
    """Return the checkpoint that a run began with; None in runs that kept none."""
    place = run / INPUTS / PARENT
    return place if place.is_dir() else None


def open_body_model(config: Config, run: Path) -> SmilModel:
    """Return the body model that a run keeps, or else the one that its configuration names.

    Raises:
        ModelFileError: It is missing or damaged.
    """
    return SmilModel.open(kept_body_model(run) or config.body.model)


def _keep(run: Path, name: str, write: Callable[[Path], object]) -> Path:
    target = run / INPUTS / name
    if target.is_file():
        return target
    partial = target.with_name(f".{os.getpid()}-{name}")
    try:
        target.parent.mkdir(exist_ok=True)
        if not _link(run, name, partial):
            write(partial)
        partial.replace(target)
    except (OSError, ModelFileError, SafetensorError) as error:
        raise CheckpointError(
            f"{target} cannot be written: {error}",
            remedy="free space or choose another run.output_dir",
        ) from error
    finally:
        with contextlib.suppress(NotADirectoryError):
            partial.unlink(missing_ok=True)
    return target


def _link(run: Path, name: str, partial: Path) -> bool:
    """Take the file of a run beside this one, if there is one; false if there is none."""
    beside = next(iter(run.parent.glob(f"*/{INPUTS}/{name}")), None)
    if beside is None:
        return False
    _link_or_copy(beside, partial)
    return True


def _link_or_copy(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links; a full disk is noticed by the copy.
        shutil.copyfile(source, target)
