"""How fast a run is: rates, waiting for data, time left, GPU memory."""

import os
import resource
import sys
import time
from collections.abc import Iterator

import torch

from smil_ray.core.batch import Batch
from smil_ray.training.reports import Progress
from smil_ray.training.state import Position

PROGRESS_EVERY_S = 1.0
RSS_PER_GIB = 2**30 if sys.platform == "darwin" else 2**20
"""Units of `ru_maxrss` in a GiB: bytes on macOS, KiB elsewhere."""


class Pace:
    """Counts steps, samples and waiting time since the epoch began in this process."""

    def __init__(self, device: torch.device) -> None:
        self.losses: dict[str, float] = {}
        self._device = device
        self._shown = 0.0
        self._restart()

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Yield batches and count the time that was spent waiting for them."""
        self._restart()
        while True:
            began = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - began
            if batch is None:
                return
            yield batch

    def count(self, samples: int) -> None:
        """Count one step of `samples` samples, over all processes."""
        self._steps += 1
        self._samples += samples

    def is_due(self) -> bool:
        """Return true when the last progress is a while ago."""
        return time.perf_counter() - self._shown >= PROGRESS_EVERY_S

    def progress(self, position: Position, epochs: int, steps_per_epoch: int) -> Progress:
        """Return the state of affairs for people."""
        self._shown = time.perf_counter()
        elapsed = self._shown - self._began
        rate = self._steps / elapsed
        steps = epochs * steps_per_epoch
        return Progress(
            epoch=position.epoch + 1,
            epochs=epochs,
            step=position.step,
            steps=steps,
            steps_per_s=rate,
            samples_per_s=self._samples / elapsed,
            eta_s=(steps - position.step) / rate if rate > 0 else 0.0,
            wait_share=self._waited / elapsed,
            losses=self.losses,
            gpu_memory_gib=self._gpu_memory(),
        )

    def epoch_metrics(self) -> dict[str, float]:
        """Return the epoch's rates as metrics; call it when the last step is done.

        `system/cpu_cores` is how many cores this process kept busy, `system/load_1min` how many
        processes of the whole machine wanted one.
        """
        elapsed = time.perf_counter() - self._began
        used = resource.getrusage(resource.RUSAGE_SELF)
        metrics = {
            "train/epoch/seconds": elapsed,
            "train/epoch/samples_per_s": self._samples / elapsed,
            "train/epoch/data_wait_share": self._waited / elapsed,
            "system/cpu_cores": (time.process_time() - self._cpu_began) / elapsed,
            "system/load_1min": os.getloadavg()[0],
            "system/peak_memory_gib": used.ru_maxrss / RSS_PER_GIB,
        }
        memory = self._gpu_memory()
        return metrics if memory is None else {**metrics, "system/gpu_memory_gib": memory}

    def _gpu_memory(self) -> float | None:
        if self._device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self._device) / 2**30

    def _restart(self) -> None:
        self._began = time.perf_counter()
        self._cpu_began = time.process_time()
        self._waited = 0.0
        self._steps = self._samples = 0
