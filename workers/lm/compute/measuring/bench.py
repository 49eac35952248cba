"""Timing of one action on one device."""

import time
from collections.abc import Callable

import torch

TRIES, LEAST_S = 4, 0.02
#: How long single calls are tried by the wall.
WALL_S = 0.3


class Bench:
    """Runs an action often enough to be timed and keeps the best try."""

    def __init__(self, device: torch.device, threads: int) -> None:
        self.device = device
        alone = device.type == "cpu" and threads == 1
        self._clock = time.process_time if alone else time.perf_counter

    def random(self, *shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Numbers on the device."""
        return torch.randn(*shape, device=self.device).to(dtype)

    def seconds(self, action: Callable[[], object]) -> float:
        """Seconds of one call, at best.

        By the wall single calls are timed: threads that wait for one that was descheduled would
        spoil every longer try, and some single call goes through undisturbed.
        """
        action()
        if self._clock is time.perf_counter:
            until = time.perf_counter() + WALL_S
            best = self._run(action, 1)
            while time.perf_counter() < until:
                best = min(best, self._run(action, 1))
            return best
        times = 1
        while (taken := self._run(action, times)) < LEAST_S:
            times *= 2 if taken > LEAST_S / 4 else 4
        return min(taken, *(self._run(action, times) for _ in range(TRIES))) / times

    def _run(self, action: Callable[[], object], times: int) -> float:
        begun = self._clock()
        for _ in range(times):
            action()
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return self._clock() - begun


def rounded(value: float) -> float:
    """Four significant figures; more were noise."""
    return float(f"{value:.4g}")
