"""Installs requirement files: by uv, told how pip is configured, or else by pip."""

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

UV = "uv==0.13.9"
#: pip's settings that decide where packages come from, and what uv calls them
_FLAGS = {
    "index-url": "--default-index",
    "extra-index-url": "--index",
    "find-links": "--find-links",
    "trusted-host": "--allow-insecure-host",
}
_SECTIONS = ("global", "install", ":env:")  # later ones win, as in pip


def install(python: Path, files: Sequence[Path], *, apart: Path | None = None) -> None:
    """Install what the files pin into the environment of `python`; exits 1 when nothing works.

    `apart`: exactly these packages go into a folder of their own instead, without what they need.
    """
    wanted = [word for file in files for word in ("-r", str(file))]
    if apart:
        wanted += ["--no-deps", "--target", str(apart)]
    uv = find_uv(python)
    if uv:
        settings = pip_settings(python)
        command = [*uv, "pip", "install", "--quiet", "--python", str(python)]
        if _runs([*command, *uv_flags(settings), *wanted], uv_environment(settings)):
            return
        print("bootstrap: uv failed; trying pip", file=sys.stderr, flush=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not _runs([*pip, "--no-compile", *wanted], dict(os.environ)):
        raise SystemExit(
            "The packages could not be installed; see the lines above. Behind a proxy or with an "
            "index of your own, configure pip (pip config set global.index-url ...) and try again."
        )


def find_uv(python: Path) -> list[str] | None:
    """How to call uv: from the environment, from PATH, or installed now if that can be done."""
    own = python.parent / "uv"
    if own.exists():
        return [str(own)]
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--retries", "1", UV], capture_output=True, check=False)
    if own.exists():
        return [str(own)]
    path = shutil.which("uv")
    return [path] if path else None


def pip_settings(python: Path) -> dict[str, str]:
    """pip's configuration from its files and from PIP_* variables, by plain names."""
    said = subprocess.run(
        [str(python), "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    ).stdout
    if not said:  # an environment without pip: at least the variables
        return {
            name[4:].lower().replace("_", "-"): value
            for name, value in os.environ.items()
            if name.startswith("PIP_")
        }
    found: dict[str, dict[str, str]] = {section: {} for section in _SECTIONS}
    for line in said.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.partition(".")
        if section in found:
            found[section][name.lstrip(".")] = str(ast.literal_eval(value))
    merged: dict[str, str] = {}
    for section in _SECTIONS:
        merged.update(found[section])
    return merged


def uv_flags(settings: Mapping[str, str]) -> list[str]:
    """uv reads neither pip.conf nor PIP_*: say the same in its words."""
    flags = [
        word
        for name, flag in _FLAGS.items()
        for value in settings.get(name, "").split()
        for word in (flag, value)
    ]
    if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
        flags.append("--no-index")
    # As pip does: all indexes are equal. Versions are pinned, so none can push in a newer one.
    return [*flags, "--index-strategy", "unsafe-best-match"]


def uv_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The variables for uv, with the certificates and the proxy that pip was given."""
    environment = dict(os.environ)
    if settings.get("cert"):
        environment.setdefault("SSL_CERT_FILE", settings["cert"])
    if settings.get("proxy"):
        environment.setdefault("HTTPS_PROXY", settings["proxy"])
    return environment


def _runs(command: Sequence[str], environment: Mapping[str, str]) -> bool:
    return subprocess.run(command, env=dict(environment), check=False).returncode == 0
