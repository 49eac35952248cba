"""Where control groups are mounted, and where in them this process lives."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROC = Path("/proc")


@dataclass(frozen=True)
class Hierarchy:
    """One mounted hierarchy: of version 2, or of version 1 with the named controllers."""

    version: int
    mount: Path
    #: The group that is seen at the mount point: `/` outside containers.
    root: str
    controllers: frozenset[str]

    def folder(self, group: str) -> Path:
        """The folder of a group as /proc/self/cgroup names it."""
        path = PurePosixPath(group)
        if path.is_relative_to(self.root):
            return self.mount / path.relative_to(self.root)
        return self.mount


def hierarchies(proc: Path = PROC) -> list[Hierarchy]:
    """All that are mounted; empty on systems without control groups."""
    try:
        lines = (proc / "self/mountinfo").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        head, _, tail = line.partition(" - ")
        fields, kind = head.split(), tail.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        options = frozenset(kind[2].split(",")) if kind[0] == "cgroup" else frozenset()
        found.append(
            Hierarchy(
                version=2 if kind[0] == "cgroup2" else 1,
                mount=Path(_plain(fields[4])),
                root=_plain(fields[3]),
                controllers=options,
            )
        )
    return found


def own_group(controller: str, proc: Path = PROC) -> str:
    """The group of this process for one controller of version 1, or with "" of version 2."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return "/"
    for line in lines:
        number, names, path = line.split(":", 2)
        if (controller and controller in names.split(",")) or (not controller and number == "0"):
            return path
    return "/"


def _plain(text: str) -> str:
    """mountinfo writes spaces and the like as octal numbers."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found.group(1), 8)), text)
