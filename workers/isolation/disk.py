"""How much an attempt has on the disk: a walk over its folders, as rarely as is safe."""

import os
import time
from pathlib import Path

from models_app.jobs.states import ReasonCode
from workers.isolation.fence import MIB, Breach

LEAST_S, MOST_S = 0.5, 30.0
#: A walk may take this share of the time at most.
SHARE = 0.02


class DiskMeter:
    """Measures folders against a limit. Other attempts' inputs (links into the store) are left out.

    The pace follows what the last walk cost and how soon the limit could be reached.
    """

    def __init__(self, folders: list[Path], limit_mib: int, *, skip: Path | None = None) -> None:
        self.folders, self.limit_mib, self.skip = folders, limit_mib, skip
        self.most_mib = 0
        self._bytes, self._looked_at, self._next = 0, 0.0, 0.0

    def breach(self, *, now: bool = False) -> Breach | None:
        """Look if it is time (or `now`); the limit that was passed, if any."""
        if not self.limit_mib or (not now and time.monotonic() < self._next):
            return None
        begun = time.monotonic()
        used = sum(self._walk(folder) for folder in self.folders)
        self._pace(used, begun)
        self.most_mib = max(self.most_mib, used // MIB)
        if used <= self.limit_mib * MIB:
            return None
        code = ReasonCode.DISK_FULL
        return Breach(code=code, used=used // MIB, limit=self.limit_mib, permanent=False)

    def _pace(self, used: int, begun: float) -> None:
        ended = time.monotonic()
        grown = (used - self._bytes) / max(begun - self._looked_at, 0.001)
        wait = MOST_S
        if self._looked_at and grown > 0:
            wait = (self.limit_mib * MIB - used) / grown / 4
        elif not self._looked_at:
            wait = LEAST_S
        least = max(LEAST_S, (ended - begun) / SHARE)
        # What grows by bursts is looked at again before long, however still it is now.
        self._next = ended + max(least, min(wait, 3.0 if used else MOST_S, MOST_S))
        self._bytes, self._looked_at = used, begun

    def _walk(self, folder: Path) -> int:
        """Bytes on the disk under a folder; a file with several names counts once, links do not."""
        total, seen, waiting = 0, set(), [str(folder)]
        skip = str(self.skip) if self.skip else ""
        while waiting:
            try:
                entries = list(os.scandir(waiting.pop()))
            except OSError:
                continue
            for entry in entries:
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if entry.path != skip:
                            waiting.append(entry.path)
                        continue
                    found = entry.stat(follow_symlinks=False)
                except OSError:
                    continue
                if found.st_nlink > 1 and found.st_ino in seen:
                    continue
                seen.add(found.st_ino)
                total += found.st_blocks * 512
        return total
