"""`make lock`: writes requirements/<role>.txt, all packages of a role with their versions.

No hashes: one hash in a run makes them compulsory for torch, too, and pip then prefers the wheel
with CUDA, whose hash it knows, over the smaller one for CPUs that is at hand.
"""

import re
import subprocess
import sys
from pathlib import Path

from launcher import installer
from launcher.bootstrap import PROJECT, REQUIREMENTS, ROLES

CONSTRAINTS = REQUIREMENTS / "constraints.txt"
_HEADER = "# Made by `make lock` from pyproject.toml; do not edit.\n"
#: CUDA's parts come with torch where they are needed; listed, every machine would fetch them.
_CUDA = re.compile(r"^(nvidia-|triton|cuda-)")
_LOCAL_VERSION = re.compile(r"^(torch==[^+\s]+)\+\S+")
#: Wants other versions of what the others have, so it is resolved by itself and constrains nobody.
APART = ("vllm",)
#: needed by redis-py on Python below 3.11.3 (Debian 12); a lock made on a newer one would omit it
_MARKED = {"async-timeout": "python_full_version < '3.11.3'"}


def main() -> int:
    """Resolve all roles together, then each of them within that; existing pins are kept."""
    REQUIREMENTS.mkdir(exist_ok=True)
    keep = ["-c", str(CONSTRAINTS)] if CONSTRAINTS.exists() and "--upgrade" not in sys.argv else []
    together = [role for role in ROLES if role not in ("base", *APART)]
    every = [word for role in together for word in ("--extra", role)]
    CONSTRAINTS.write_text(_HEADER + _resolve([*every, *keep]))
    for role in ROLES:
        extra = [] if role == "base" else ["--extra", role]
        text = _resolve(extra if role in APART else [*extra, "-c", str(CONSTRAINTS)])
        (REQUIREMENTS / f"{role}.txt").write_text(_HEADER + text)
    return 0


def _resolve(arguments: list[str]) -> str:
    python = Path(sys.executable)
    uv = installer.find_uv(python)
    if not uv:
        raise SystemExit("uv is needed to make the lock and could not be installed")
    settings = installer.pip_settings(python)
    done = subprocess.run(
        [
            *uv, "pip", "compile", "--quiet", "--python-version", "3.11", "--no-header",
            "--no-annotate", *installer.uv_flags(settings), *arguments, "pyproject.toml",
        ],
        cwd=PROJECT,
        env=installer.uv_environment(settings),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(done.returncode)
    lines = [_plain(line) for line in done.stdout.splitlines() if not _CUDA.match(line)]
    return "\n".join(lines) + "\n"


def _plain(line: str) -> str:
    line = _LOCAL_VERSION.sub(r"\1", line)
    name = line.partition("==")[0]
    return f"{line} ; {_MARKED[name]}" if name in _MARKED and ";" not in line else line


if __name__ == "__main__":
    sys.exit(main())
