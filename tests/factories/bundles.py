"""Bundles taken apart and put together again, with something about them changed."""

import io
import json
import tarfile
from typing import Any

from models_app.registry.bundles.manifest import NAME
from models_app.registry.bundles.packing import bundle_of
from models_app.registry.models import ModelVersion

Entries = list[tuple[str, bytes]]


def bundle_bytes(version: ModelVersion, *, with_base: bool = True) -> bytes:
    """The bundle of a version."""
    return b"".join(bundle_of(version, with_base=with_base).packed.pieces())


def entries_of(data: bytes) -> Entries:
    """Names and bytes, in their order."""
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return [(info.name, archive.extractfile(info).read()) for info in archive]  # type: ignore[union-attr]


def manifest_in(data: bytes) -> dict[str, Any]:
    """The first entry."""
    return dict(json.loads(entries_of(data)[0][1]))


def packed(entries: Entries) -> bytes:
    """A tar file of these."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in entries:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def with_manifest(data: bytes, change: Any) -> bytes:
    """The bundle with its list changed by `change(manifest)`, in place."""
    entries = entries_of(data)
    manifest = json.loads(entries[0][1])
    change(manifest)
    return packed([(NAME, json.dumps(manifest).encode()), *entries[1:]])


def without_origin(manifest: dict[str, Any]) -> dict[str, Any]:
    """What must be equal however often a version is moved: all but the two keys `origin`."""
    base = manifest["base"]
    rest = {key: value for key, value in manifest.items() if key != "origin"}
    if base is not None:
        rest["base"] = {key: value for key, value in base.items() if key != "origin"}
    return rest
