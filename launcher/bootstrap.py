"""Makes the Python environment: `python3 -m launcher.bootstrap web worker embedded`.

Run by the system's Python, so nothing here may need more than the standard library, and the first
lines must be readable for a Python that is too old.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.util
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parent.parent
REQUIREMENTS = PROJECT / "requirements"
#: what `requirements/<role>.txt` there is; each file is complete in itself
ROLES = ("base", "web", "worker", "embedded", "formats", "openvino", "vllm", "dev")
RUNNING_ROLES = ("web", "worker", "embedded")
_OLDEST = (3, 11)
_FALLBACKS = ("python3.11", "python3.12", "python3.13", "python3.14")
#: set before this program replaces itself by another Python, so that it does so only once
_ENTERED = "SLIPWAY_ENVIRONMENT_ENTERED"
_NEWER = "SLIPWAY_NEWER_PYTHON"


def venv_folder() -> Path:
    """Where the environment lies: `.venv`, or what SLIPWAY_VENV says."""
    return PROJECT / os.environ.get("SLIPWAY_VENV", ".venv")


def venv_python(folder: Path) -> Path:
    """Its interpreter."""
    return folder / "bin" / "python"


def ensure(roles: list[str]) -> bool:
    """Bring the environment up to date; False when there was nothing to do. Exits 1 on failure.

    Two at once wait for each other; an interrupted one is completed by the next.
    """
    folder = venv_folder()
    if is_current(folder, roles):
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    with _alone(folder):
        if is_current(folder, roles):
            return False
        from launcher import installer, virtualenv

        begun = time.monotonic()
        wanted = sorted({*roles, *_stamp(folder).get("roles", [])} & set(ROLES))
        _say(f"preparing {folder} ({', '.join(wanted)}); the first time takes a minute or more")
        _stamp_file(folder).unlink(missing_ok=True)
        virtualenv.make(folder)
        installer.install(venv_python(folder), [REQUIREMENTS / f"{role}.txt" for role in wanted])
        _write_stamp(folder, wanted)
        _say(f"environment ready after {time.monotonic() - begun:.0f} s")
    return True


def is_current(folder: Path, roles: list[str]) -> bool:
    """Whether what those roles need was installed from the present requirement files."""
    known = _stamp(folder)
    return (
        venv_python(folder).exists()
        and set(roles) <= set(known.get("roles", []))
        and known.get("digest") == _digest(known["roles"], str(known.get("python")))
        and known.get("python") == _python_version()
    )


def enter_environment(argv: list[str]) -> None:
    """Go on in the checkout's environment where this Python lacks the packages; may not return."""
    if importlib.util.find_spec("django"):
        return
    if os.environ.get(_ENTERED):
        raise SystemExit(f"{sys.executable} has no Django; remove {venv_folder()} and start again")
    require_python()
    ensure(["worker"] if argv[:1] == ["worker"] else list(RUNNING_ROLES))
    python = str(venv_python(venv_folder()))
    os.environ[_ENTERED] = "1"
    os.execv(python, [python, str(PROJECT / "manage.py"), *argv])


def require_python() -> None:
    """Go on under a Python that is new enough; exits with the remedy where there is none."""
    if sys.version_info[:2] >= _OLDEST:
        return
    for name in _FALLBACKS:
        path = shutil.which(name)
        if path and not os.environ.get(_NEWER):
            os.environ[_NEWER] = "1"
            os.execv(path, [path, *_own_arguments()])
    found = ".".join(str(part) for part in sys.version_info[:3])
    raise SystemExit(
        f"Slipway needs Python 3.11 or newer; {sys.executable} is {found}.\n"
        "Install one (Debian, Ubuntu: apt-get install python3.11 python3.11-venv; anywhere: "
        "uv python install 3.11) and name it: make PYTHON=python3.11 up"
    )


def _own_arguments() -> list[str]:
    if Path(sys.argv[0]).name == "manage.py":
        return sys.argv
    return ["-m", "launcher.bootstrap", *sys.argv[1:]]


def _stamp_file(folder: Path) -> Path:
    return folder / ".stamp"


def _stamp(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads(_stamp_file(folder).read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _write_stamp(folder: Path, roles: list[str]) -> None:
    version = _python_version()
    text = json.dumps({"roles": roles, "python": version, "digest": _digest(roles, version)})
    _stamp_file(folder).write_text(text + "\n")


def _digest(roles: list[str], python: str) -> str:
    total = hashlib.sha256(python.encode())
    for role in sorted(roles):
        with contextlib.suppress(OSError):
            total.update((REQUIREMENTS / f"{role}.txt").read_bytes())
    return total.hexdigest()


def _python_version() -> str:
    """Of the base interpreter: the same inside the environment and outside of it."""
    return ".".join(str(part) for part in sys.version_info[:3])


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other bootstraps of the same environment waiting."""
    import fcntl

    with (folder.parent / f"{folder.name}.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            _say("another process prepares the environment; waiting for it")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(text: str) -> None:
    print(f"bootstrap: {text}", file=sys.stderr, flush=True)


def main(argv: list[str]) -> int:
    """Install the roles named in `argv` (all that a start needs by default)."""
    require_python()
    roles = argv or list(RUNNING_ROLES)
    unknown = [role for role in roles if role not in ROLES]
    if unknown:
        _say(f"no such role: {', '.join(unknown)}; there are {', '.join(ROLES)}")
        return 2
    ensure(roles)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
