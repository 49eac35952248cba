"""The installed packages, each with a digest of what it has installed.

Looked at once: what is installed later, a running process does not load.
"""

import csv
import hashlib
from functools import cache
from importlib import metadata

#: Files that tell how a package came here, not what it is.
_HOW = {"INSTALLER", "REQUESTED", "RECORD", "direct_url.json"}


@cache
def package_versions() -> dict[str, str]:
    """Name to version, sorted by name."""
    found = {
        distribution.metadata["Name"]: distribution.version
        for distribution in metadata.distributions()
        if distribution.metadata["Name"]
    }
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


@cache
def package_digests() -> dict[str, str]:
    """Name to SHA-256 over the files of a package and their digests, as its RECORD lists them.

    Two machines with the same wheels agree, wherever these lie: scripts, whose first line names
    the interpreter, and the marks of the installer are left out.
    """
    found = {}
    for distribution in metadata.distributions():
        record, name = distribution.read_text("RECORD"), distribution.metadata["Name"]
        if record and name:
            found[name] = _digest(record)
    return dict(sorted(found.items(), key=lambda pair: pair[0].lower()))


def _digest(record: str) -> str:
    lines = sorted(
        f"{row[0]},{row[1]},{row[2]}\n"
        for row in csv.reader(record.splitlines())
        if len(row) == 3
        and row[1]
        and not row[0].startswith(("..", "/"))
        and not _tells_how(row[0])
    )
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _tells_how(path: str) -> bool:
    folder, _, name = path.rpartition("/")
    return folder.endswith(".dist-info") and name in _HOW
