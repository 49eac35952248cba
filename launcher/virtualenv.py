"""Makes a virtual environment, also where the system's Python came without the means to."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path


def make(folder: Path) -> None:
    """An environment with a working Python and pip or uv; a broken one is replaced. May exit 1."""
    if works(folder):
        return
    said = []
    for way in (_by_standard_library, _by_uv, _by_virtualenv, _by_outside_pip):
        done = _attempt(way, folder)
        if done is None and works(folder):
            return
        if done:
            said.append(f"  {way.__name__[1:].replace('_', ' ')}: {done}")
    major, minor = sys.version_info[:2]
    raise SystemExit(
        f"No virtual environment could be made in {folder}:\n" + "\n".join(said) + "\n"
        f"Debian and Ubuntu keep the missing part apart: apt-get install python{major}.{minor}-venv"
    )


def works(folder: Path) -> bool:
    """Whether its Python runs and is the version we run on, with pip or uv to install with."""
    python = folder / "bin" / "python"
    if not python.exists():
        return False
    wanted = f"{sys.version_info[0]}.{sys.version_info[1]}"
    check = "import sys; print('%d.%d' % sys.version_info[:2])"
    said = subprocess.run([str(python), "-c", check], capture_output=True, text=True, check=False)
    return said.stdout.strip() == wanted and has_installer(python)


def has_installer(python: Path) -> bool:
    """Whether packages can be installed for that Python."""
    pip = subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False)
    return pip.returncode == 0 or shutil.which("uv") is not None


def _attempt(way: Callable[[Path], list[list[str]]], folder: Path) -> str | None:
    """Run the commands of a way; what went wrong, or None."""
    commands = way(folder)
    if not commands:
        return "not at hand"
    for command in commands:
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            return str(error)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines()
            return lines[-1] if lines else f"status {done.returncode}"
    return None


def _by_standard_library(folder: Path) -> list[list[str]]:
    return [[sys.executable, "-m", "venv", "--clear", str(folder)]]


def _by_uv(folder: Path) -> list[list[str]]:
    uv = shutil.which("uv")
    return [[uv, "venv", "--clear", "--python", sys.executable, str(folder)]] if uv else []


def _by_virtualenv(folder: Path) -> list[list[str]]:
    return [[sys.executable, "-m", "virtualenv", "--clear", str(folder)]]


def _by_outside_pip(folder: Path) -> list[list[str]]:
    """The system's pip (22.3 or newer) can work for another Python."""
    python = str(folder / "bin" / "python")
    return [
        [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)],
        [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "pip"],
    ]
