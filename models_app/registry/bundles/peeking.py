"""Whether an archive is a bundle, by its first entry, before anything of it is taken."""

import tarfile
from typing import BinaryIO

from models_app.registry.bundles.manifest import (
    MOST_BYTES,
    NAME,
    BundleRefused,
    Manifest,
    manifest_read,
)


def manifest_peek(stream: BinaryIO) -> Manifest | None:
    """The manifest of an uncompressed bundle; None for anything else. Raises BundleRefused."""
    head = stream.read(tarfile.BLOCKSIZE)
    try:
        entry = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return None  # the import says what is wrong with it
    if entry.name.removeprefix("./") != NAME:
        return None
    if not entry.isreg():
        raise BundleRefused("bundle.manifest", "It is no plain file.")
    if entry.size > MOST_BYTES:
        raise BundleRefused("bundle.manifest", f"It has more than {MOST_BYTES:,} bytes.")
    return manifest_read(stream.read(entry.size))
