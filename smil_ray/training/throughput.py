"""Throughput of a run: steps and samples per second, waiting for data, GPU memory."""

import os
import resource
import sys
import time

import torch

from smil_ray.training.reports import Progress
from smil_ray.training.state import Position

PROGRESS_EVERY_S = 1.0
RSS_PER_GIB = 2**30 if sys.platform == "darwin" else 2**20
"""Units of `ru_maxrss` in a GiB: bytes on macOS, KiB elsewhere."""


class Throughput:
    """Counts steps, samples and waiting time of one run since its epoch began."""

    def __init__(self, device: torch.device) -> None:
        self.losses: dict[str, float] = {}
        self._device = device
        self._shown = 0.0
        self.restart()

    def restart(self) -> None:
        """Begin to count anew: an epoch begins."""
        self._began, self._cpu_began = time.perf_counter(), time.process_time()
        self._waited = self._away = self._cpu_away = 0.0
        self._steps = self._samples = 0

    def pause(self) -> None:
        """Stop the clocks: somebody else reads a batch, or trains another run."""
        self._left, self._cpu_left = time.perf_counter(), time.process_time()

    def resume(self, waited: float) -> None:
        """Let the clocks go on; of the pause, `waited` seconds were spent for this run."""
        self._away += time.perf_counter() - self._left - waited
        self._cpu_away += max(0.0, time.process_time() - self._cpu_left - waited)
        self._waited += waited

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
        elapsed = self._shown - self._began - self._away
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
        elapsed = time.perf_counter() - self._began - self._away
        used = resource.getrusage(resource.RUSAGE_SELF)
        metrics = {
            "train/epoch/seconds": elapsed,
            "train/epoch/samples_per_s": self._samples / elapsed,
            "train/epoch/data_wait_share": self._waited / elapsed,
            "system/cpu_cores": self._cpu_seconds() / elapsed,
            "system/load_1min": os.getloadavg()[0],
            "system/peak_memory_gib": used.ru_maxrss / RSS_PER_GIB,
        }
        memory = self._gpu_memory()
        return metrics if memory is None else {**metrics, "system/gpu_memory_gib": memory}

    def _gpu_memory(self) -> float | None:
        if self._device.type != "cuda":
            return None
        return torch.cuda.max_memory_allocated(self._device) / 2**30

    def _cpu_seconds(self) -> float:
        return time.process_time() - self._cpu_began - self._cpu_away
