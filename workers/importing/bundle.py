"""Bundles as they come in: every entry must be listed, once, with its size and digest.

Nothing that a bundle says of itself opens a door: its files pass the gate and the scan like all.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from models_app.registry.bundles.manifest import (
    MOST_BYTES,
    NAME,
    BundleRefused,
    File,
    manifest_read,
)
from workers.importing.intake import CHUNK, Intake
from workers.scanning.report import Report

Place = Callable[[str], Path | None]


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Files that the team has already, by digest with their sizes, and where they lie."""

    sizes: Mapping[str, int]
    place: Place

    def find(self, sha256: str, size: int) -> Path | None:
        """Where a file lies that need not be written again."""
        return self.place(sha256) if self.sizes.get(sha256) == size else None


class Listing:
    """The list of a bundle, and which of its files have come."""

    def __init__(self, data: bytes, intake: Intake, stored: Stored) -> None:
        """Raises BundleRefused."""
        self.text, self.manifest = data.decode(errors="replace"), manifest_read(data)
        self._intake, self._stored = intake, stored
        self._listed = self.manifest.listed()
        self._left = dict(self._listed)
        intake.total = sum(file.size for file in self._listed.values())
        # Its files lie one folder deeper, and those of a base beside them.
        limits = intake.limits
        for content in (self.manifest, self.manifest.base):
            count = len(content.version.files) if content else 0
            if count > limits.files:
                said = f"A version of {count:,} files; at most {limits.files:,} are taken."
                intake.report.add("files.many", NAME, said)
        intake.gate.limits = replace(limits, depth=limits.depth + 1, files=2 * limits.files + 1)

    @property
    def report(self) -> Report:
        return self._intake.report

    def named(self) -> dict[str, Any]:
        """The version by what it was called, and what it holds."""
        origin, digest = self.manifest.origin, self.manifest.version.digest
        return {"model": origin.model, "number": origin.number, "digest": digest}

    def expects(self, name: str, size: int) -> bool:
        """Whether this entry is listed with this size; else the report says what it is."""
        file = self._listed.get(name)
        if file is None:
            self.report.add("bundle.unlisted", name, f"It has {size:,} bytes.")
        elif size != file.size:
            self._left.pop(name, None)
            said = f"It has {size:,} bytes; {file.size:,} are listed."
            self.report.add("bundle.digest", name, said)
        return file is not None and size == file.size

    def take(self, name: str, stamp: str, stream: BinaryIO) -> None:
        """Take an expected file; what the team has already is compared and not written again."""
        file = self._left.pop(name)
        found = self._taken(name, stamp, stream, file)
        if found != file.sha256:
            said = f"Its SHA-256 is {found[:16]}…; {file.sha256[:16]}… is listed."
            self.report.add("bundle.digest", name, said)

    def _taken(self, name: str, stamp: str, stream: BinaryIO, file: File) -> str:
        stored = self._stored.find(file.sha256, file.size)
        if stored is None or (name, stamp) in self._intake.begun:
            self._intake.take(name, stamp, stream)
            whole = self._intake.files.get(name)
            return whole.sha256 if whole else file.sha256  # else a kind that is not taken
        digest = hashlib.sha256()
        while chunk := stream.read(CHUNK):
            self._intake.room(0)
            digest.update(chunk)
        if digest.hexdigest() == file.sha256:
            entry = {"sha256": file.sha256, "size": file.size}
            self._intake.adopt(name, stamp, stored, entry, "")
        return digest.hexdigest()

    def finish(self) -> None:
        """The bundle has ended: what is still expected is missing."""
        for name, file in self._left.items():
            self.report.add("bundle.missing", name, f"{file.size:,} bytes are listed.")


def listing_of(
    intake: Intake, stored: Stored, stream: BinaryIO | None, size: int, *, first: bool
) -> Listing | None:
    """The list in an entry called `slipway-bundle.json`; what is wrong goes into the report."""
    try:
        if not first:
            raise BundleRefused("bundle.manifest", "It must be the first entry of a tar file.")
        if stream is None:
            raise BundleRefused("bundle.manifest", "It is no plain file.")
        if size > MOST_BYTES:
            raise BundleRefused("bundle.manifest", f"It has more than {MOST_BYTES:,} bytes.")
        return Listing(stream.read(size), intake, stored)
    except BundleRefused as error:
        intake.report.add(error.rule, error.file, error.what)
        return None


NOTHING = Stored(sizes={}, place=lambda sha256: None)
__all__ = ["NAME", "NOTHING", "Listing", "Stored", "listing_of"]
