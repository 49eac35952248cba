"""Whether the code and the packages on disk are still those that a template has loaded."""

import hashlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings

#: Below the root of the installation: what a job's process may load.
CODE = ("console", "models_app", "workers")
#: What folders are called in which packages are installed.
PACKAGES = {"site-packages", "dist-packages"}


def sources_state() -> str:
    """Changes with every change of our code, and when a package is installed, changed or removed.

    By names, sizes and times of change, so it takes milliseconds.
    """
    digest = hashlib.sha256()
    for root in CODE:
        for entry in sorted(_modules(str(Path(settings.BASE_DIR) / root)), key=lambda e: e.path):
            found = entry.stat()
            digest.update(f"{entry.path}\0{found.st_size}\0{found.st_mtime_ns}\n".encode())
    for place in map(Path, sys.path):
        if place.name in PACKAGES and place.is_dir():
            # The folder changes when the record of a package's version comes or goes.
            digest.update(f"{place}\0{place.stat().st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _modules(folder: str) -> Iterator["os.DirEntry[str]"]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name != "__pycache__":
                    yield from _modules(entry.path)
            elif entry.name.endswith(".py"):
                yield entry
