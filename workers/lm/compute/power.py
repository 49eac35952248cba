"""Energy that the processors of this machine have used, where the kernel tells; no torch."""

from pathlib import Path

#: Intel's and AMD's running average power limit counters, a folder for each package.
POWERCAP = Path("/sys/class/powercap")


def energy_joules(root: Path = POWERCAP) -> float | None:
    """Joules of all packages since an arbitrary moment; None where they cannot be read.

    The counters wrap around now and then: a difference below zero says nothing.
    """
    total, found = 0, False
    for folder in sorted(root.glob("intel-rapl:*")):
        if folder.name.count(":") != 1:  # a part of a package, counted with it
            continue
        try:
            total += int((folder / "energy_uj").read_text())
        except (OSError, ValueError):
            return None
        found = True
    return total / 1e6 if found else None
