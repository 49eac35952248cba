"""Faults of the machine: no processor time, no disk, a wrong clock."""

import os

from tests.chaos.clock import why_not
from tests.chaos.faults.base import Fault, Skip
from tests.chaos.node import burn


class Starved(Fault):
    """Busy processes take the processors; no lease may run out because of that."""

    name = "cpu_starved"
    harmful = False
    holds_s = (6, 10)

    def inject(self) -> None:
        count = 3 * (os.cpu_count() or 1)
        self.burners = [burn(30) for _ in range(count)]

    def mend(self) -> None:
        for burner in self.burners:
            burner.kill()
            burner.wait()


class DiskFull(Fault):
    """The folder of checkpoints or spools has no byte left for a while."""

    name = "disk_full"
    holds_s = (2, 5)
    folders = ("checkpoints", "spool")

    def inject(self) -> None:
        folder = self.site.stack.data_dir / self.random.choice(self.folders)
        if not folder.is_mount():
            raise Skip("no small file system could be mounted: that takes root")
        self.filler = folder / "filler"
        block = b"\0" * (1 << 16)
        with self.filler.open("wb", buffering=0) as stream:
            try:
                while stream.write(block):
                    pass
            except OSError:
                return

    def mend(self) -> None:
        self.filler.unlink(missing_ok=True)


class ClockSkewed(Fault):
    """Somebody sets the clock of a node minutes wrong; only the server's time decides anything."""

    name = "clock_skewed"
    harmful = False
    holds_s = (6, 14)

    def inject(self) -> None:
        if reason := why_not():
            raise Skip(reason)
        self.victim = self.site.nodes[self.scene.node()]
        self.victim.clock.set(self.random.choice((-3600, -420, -90, 90, 420, 3600)))

    def mend(self) -> None:
        self.victim.clock.set(0)
