"""Small file systems of memory, so that a disk can be filled without filling the machine's."""

import os
import shutil
import subprocess
from pathlib import Path

#: Room for what chaos trains, several times over.
MIB = 192


def mount_small(folder: Path) -> bool:
    """A small file system of memory over the folder; False where that is not allowed."""
    folder.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0 or not shutil.which("mount"):
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={MIB}m,mode=755", "chaos", str(folder)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def unmount(folder: Path, *, keep: bool) -> None:
    """With `keep` its content goes beside it on the disk, for those who look later."""
    if not folder.is_mount():
        return
    if keep:
        aside = folder.with_name(f"{folder.name}-kept")
        shutil.copytree(folder, aside, dirs_exist_ok=True, symlinks=True)
    subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)
