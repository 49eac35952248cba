"""Kernels of our own for decoding steps of few rows, where the processor has AVX-512 VNNI.

`kernels.c` is compiled when an image is built (`python -m workers.lm.inference.native`) or, where
there is a compiler, the first time a model is served; the result is kept. Without it, or on any
other processor, torch's operations compute the same numbers.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).with_name("kernels.c")
_FLAGS = ("-O3", "-shared", "-fPIC", "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni")
_NEEDED = frozenset({"avx512f", "avx512bw", "avx512vl", "avx512_vnni"})
_COMPILERS = ("cc", "gcc", "clang")
_COMPILES_WITHIN_S = 60


@cache
def kernels() -> ctypes.CDLL | None:
    """The compiled kernels, None where they cannot be had."""
    if not fits(Path("/proc/cpuinfo")):
        return None
    try:
        library = _loaded()
    except (OSError, RuntimeError, subprocess.SubprocessError):
        return None
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    for name in ("int8_linear", "plain_linear"):
        function = getattr(library, name)
        function.argtypes, function.restype = (pointer, pointer, number, pointer), None
    library.rms_norm.argtypes = (pointer, pointer, ctypes.c_float, number, number, pointer)
    library.rms_norm.restype = None
    return library


def fits(about: Path) -> bool:
    """Whether this processor has what the kernels are compiled for."""
    try:
        lines = about.read_text("utf-8", "replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return set(flags.split()) >= _NEEDED


def build(target: Path) -> None:
    """Compile into this file, whole or not at all. Raises OSError or SubprocessError."""
    compiler = next((found for name in _COMPILERS if (found := shutil.which(name))), None)
    if compiler is None:
        raise FileNotFoundError("there is no C compiler")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / target.name
        subprocess.run(
            [compiler, *_FLAGS, str(SOURCE), "-o", str(made), "-lm"],
            check=True, capture_output=True, timeout=_COMPILES_WITHIN_S,
        )  # fmt: skip
        made.replace(target)


def beside_source() -> Path:
    """Where an image has it. The name carries the digest: another source is another file."""
    return SOURCE.with_name(_name())


def _name() -> str:
    told = SOURCE.read_bytes() + " ".join(_FLAGS).encode()
    return f"kernels-{hashlib.sha256(told).hexdigest()[:16]}.so"


def _loaded() -> ctypes.CDLL:
    """What was compiled before, or is now."""
    for place in (beside_source(), _cache() / _name()):
        if _is_ours(place):
            return ctypes.CDLL(str(place))
    try:
        build(_cache() / _name())
        return ctypes.CDLL(str(_cache() / _name()))
    except OSError:
        # Nothing may be kept: a file that is loaded may go.
        with tempfile.TemporaryDirectory() as folder:
            build(Path(folder) / _name())
            return ctypes.CDLL(str(Path(folder) / _name()))


def _cache() -> Path:
    told = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(told) if told else Path.home() / ".cache") / "slipway"


def _is_ours(place: Path) -> bool:
    """There, and nobody else could have put it there."""
    try:
        found = place.stat()
    except OSError:
        return False
    return found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022
