"""The folder beside the output that holds finished shards until they are merged.

Beside an output in an object store it lies there, too; the machine of the driver then holds the
manifests, and one shard at a time while it merges them.
"""

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from smil_ray.config.addresses import joined, remote_address
from smil_ray.data.hdf5.files import remove_leftovers, write_bytes, write_error
from smil_ray.data.hdf5.merge import StoreSize, merge
from smil_ray.data.hdf5.schema import StoreInfo, count
from smil_ray.data.hdf5.store import Hdf5Source
from smil_ray.data.hdf5.table import SampleTable
from smil_ray.errors import DataError
from smil_ray.orchestration.preprocess.plan import Plan, Shard
from smil_ray.orchestration.preprocess.shard import ShardManifest
from smil_ray.storage.node_cache import folder_of, keep_copy
from smil_ray.storage.store import download, listing, remove_all, upload


class PartsFolder:
    """`OUTPUT.parts/`: settings.json, and per shard a file and its manifest.

    Attributes:
        output: The file to write, on this machine.
        path: The folder, on this machine.
        home: Its address in an object store, where the output is to go there.
    """

    def __init__(self, output: Path | str) -> None:
        self._address = remote_address(output)
        self.output = Path(output)
        self.home = None
        if self._address is not None:
            self.output = folder_of("preprocess", self._address)
            self.home = f"{self._address}.parts"
        self.path = self.output.with_name(f"{self.output.name}.parts")
        self._settings_path = self.path / "settings.json"

    def exists(self) -> bool:
        """Return whether an earlier run left something."""
        return self.path.exists() or (self.home is not None and bool(listing(self.home)))

    def prepare(self, settings: dict[str, Any], *, resume: bool) -> None:
        """Make the folder; without `resume` empty, with it only if the settings agree.

        Raises:
            DataError: The folder cannot be written, or was made with other settings.
            StorageError: The object store does not answer.
        """
        try:
            self.output.parent.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self.output.parent, self.output.name)
            # What an object store holds is the truth.
            if self.path.exists() and (self.home is not None or not resume):
                shutil.rmtree(self.path)
            self.path.mkdir(exist_ok=True)
        except OSError as error:
            raise write_error(self.output, error) from error
        if self.home is not None:
            self._fetch_manifests(self.home, resume=resume)
        remove_leftovers(self.path)
        if self._settings_path.exists():
            self._check_settings(settings)
        else:
            write_bytes(self._settings_path, json.dumps(settings, indent=1).encode())
            if self.home is not None:
                upload(self._settings_path, joined(self.home, self._settings_path.name))

    def finished(self, shards: Sequence[Shard]) -> dict[int, ShardManifest]:
        """Return the manifests of shards that need not be made again, by index."""
        sizes = {path.name: path.stat().st_size for path in self.path.glob("*.h5")}
        if self.home is not None:
            sizes = {name: stamp.size for name, stamp in listing(self.home).items()}
        found = {}
        for shard in shards:
            manifest = ShardManifest.read(self.path / f"{shard.stem}.json")
            if manifest is None or manifest.key != shard.key:
                continue
            if sizes.get(f"{shard.stem}.h5") == manifest.file_bytes:
                found[shard.index] = manifest
        return found

    def merge(self, plan: Plan, manifests: dict[int, ShardManifest], info: StoreInfo) -> str:
        """Copy all shards into the output, atomically; return the content hash.

        Raises:
            DataError: A shard is damaged, or the output cannot be written.
            StorageError: The object store does not answer.
        """
        ordered = [manifests[shard.index] for shard in plan.shards]
        size = sum((manifest.size for manifest in ordered), StoreSize())
        drops = plan.left_out + [drop for manifest in ordered for drop in manifest.drops]
        notes = (note for m in ordered for note, number in m.notes.items() for _ in range(number))
        info = replace(info, notes=count(notes))
        self._check_room(sum(manifest.file_bytes for manifest in ordered))
        found = merge(self._tables(plan.shards, manifests), size, self.output, info, drops)
        if self._address is not None:
            upload(self.output, self._address)
            self.output = keep_copy(self.output, self._address)
        return found

    def remove(self) -> None:
        """Remove the folder, after the output is complete."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self.home is not None:
            remove_all(self.home)

    def _tables(
        self, shards: Sequence[Shard], manifests: dict[int, ShardManifest]
    ) -> Iterator[SampleTable]:
        for shard in shards:
            if not manifests[shard.index].size.samples:
                continue
            path = self.path / f"{shard.stem}.h5"
            if self.home is not None:
                download(joined(self.home, path.name), path)
            source = Hdf5Source(path)
            if source.info.content_hash != manifests[shard.index].content_hash:
                path.unlink()
                raise DataError(
                    f"{path}: not what its manifest says", remedy="start again with --resume"
                )
            yield source.table()
            if self.home is not None:
                path.unlink()

    def _fetch_manifests(self, home: str, *, resume: bool) -> None:
        if not resume:
            remove_all(home)
            return
        for name in listing(home):
            if name.endswith(".json"):
                download(joined(home, name), self.path / name)

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
