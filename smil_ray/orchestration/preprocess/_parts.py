"""The folder beside the output that holds finished shards until they are merged."""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smil_ray.data.hdf5.files import remove_leftovers, write_bytes, write_error
from smil_ray.data.hdf5.merge import StoreSize, merge
from smil_ray.data.hdf5.schema import StoreInfo, count
from smil_ray.data.hdf5.store import Hdf5Source
from smil_ray.data.hdf5.table import SampleTable
from smil_ray.errors import DataError
from smil_ray.orchestration.preprocess.plan import Plan, Shard
from smil_ray.orchestration.preprocess.shard import ShardManifest


class PartsFolder:
    """`OUTPUT.parts/`: settings.json, and per shard a file and its manifest."""

    def __init__(self, output: Path) -> None:
        self.output = output
        self.path = output.with_name(f"{output.name}.parts")
        self._settings_path = self.path / "settings.json"

    def prepare(self, settings: dict[str, Any], *, resume: bool) -> None:
        """Make the folder; without `resume` empty, with it only if the settings agree.

        Raises:
            DataError: The folder cannot be written, or was made with other settings.
        """
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.output.parent, self.output.name)
            if self.path.exists() and not resume:
                shutil.rmtree(self.path)
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(self.output, error) from error
        remove_leftovers(self.path)
        if self._settings_path.exists():
            self._check_settings(settings)
        else:
            write_bytes(self._settings_path, json.dumps(settings, indent=1).encode())

    def finished(self, shards: Sequence[Shard]) -> dict[int, ShardManifest]:
        """Return the manifests of shards that need not be made again, by index."""
        found = {}
        for shard in shards:
            manifest = ShardManifest.read(self.path / f"{shard.stem}.json")
            data = self.path / f"{shard.stem}.h5"
            if manifest is None or manifest.key != shard.key or not data.is_file():
                continue
            if data.stat().st_size == manifest.file_bytes:
                found[shard.index] = manifest
        return found

    def merge(self, plan: Plan, manifests: dict[int, ShardManifest], info: StoreInfo) -> str:
        """Copy all shards into the output, atomically; return the content hash.

        Raises:
            DataError: A shard is damaged, or the output cannot be written.
        """
        ordered = [manifests[shard.index] for shard in plan.shards]
        size = sum((manifest.size for manifest in ordered), StoreSize())
        drops = plan.left_out + [drop for manifest in ordered for drop in manifest.drops]
        notes = (note for m in ordered for note, number in m.notes.items() for _ in range(number))
        info = replace(info, notes=count(notes))
        self._check_room(sum(manifest.file_bytes for manifest in ordered))
        return merge(self._tables(plan.shards, manifests), size, self.output, info, drops)

    def remove(self) -> None:
        """Remove the folder, after the output is complete."""
        shutil.rmtree(self.path, ignore_errors=True)

    def _tables(
        self, shards: Sequence[Shard], manifests: dict[int, ShardManifest]
    ) -> Iterator[SampleTable]:
        for shard in shards:
            if not manifests[shard.index].size.samples:
                continue
            path = self.path / f"{shard.stem}.h5"
            source = Hdf5Source(path)
            if source.info.content_hash != manifests[shard.index].content_hash:
                path.unlink()
                raise DataError(
                    f"{path}: not what its manifest says", remedy="start again with --resume"
                )
            yield source.table()

    def _check_settings(self, settings: dict[str, Any]) -> None:
        try:
            found = json.loads(self._settings_path.read_bytes())
        except ValueError:
            found = {}
        for name, value in settings.items():
            if found.get(name, "nothing") != value:
                raise DataError(
                    f"{self.path}: made with another {name}",
                    expected=value,
                    found=found.get(name, "nothing"),
                    remedy="use the same settings, or leave out --resume to start anew",
                )

    def _check_room(self, wanted: int) -> None:
        free = shutil.disk_usage(self.output.parent).free
        if free < wanted:
            raise DataError(
                f"{self.output}: the disk is too full for the merged file",
                expected=f"{wanted / 1e6:.0f} MB free",
                found=f"{free / 1e6:.0f} MB",
                remedy="free some space and start again with --resume",
            )
