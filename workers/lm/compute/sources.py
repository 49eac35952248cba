"""The code that computes, as one file: which code made a model can be read, and compared."""

import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
#: What decides how a model comes out, below the root of the installation.
CODE = ("workers/lm",)


def write_sources(target: Path) -> None:
    """Pack the sources; the same sources give the same bytes on every machine."""
    with target.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=FORMAT) as pack:
        for name, data in _sources():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o644
            pack.addfile(entry, io.BytesIO(data))


FORMAT = tarfile.USTAR_FORMAT


def read_sources(pack: Path) -> dict[str, str]:
    """Path to SHA-256 of each file in a pack."""
    with tarfile.open(pack, mode="r:") as files:
        return {
            entry.name: hashlib.sha256(data.read()).hexdigest()
            for entry in files
            if (data := files.extractfile(entry)) is not None
        }


def _sources() -> Iterator[tuple[str, bytes]]:
    for folder in CODE:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), path.read_bytes()
