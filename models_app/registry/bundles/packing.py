"""A version as a bundle: a tar file whose bytes follow from what it holds and nothing else."""

import hashlib
from dataclasses import dataclass
from typing import Any

from models_app.core.digests import canonical_json
from models_app.core.packing import Packed
from models_app.registry.bundles.manifest import (
    BASE,
    FILES,
    FORMAT,
    NAME,
    SCHEMA,
    SUFFIX,
    manifest_read,
)
from models_app.registry.bundles.record import content_of
from models_app.registry.models import ModelVersion
from models_app.registry.states import Family

Entries = list[tuple[str, int, bytes | str]]


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A bundle that can be read from any byte on. `tag` stands for its bytes."""

    filename: str
    tag: str
    packed: Packed


def bundle_of(version: ModelVersion, *, with_base: bool) -> Bundle:
    """The bundle of a version; `with_base`: of an adapter, the files of its base as well.

    Raises BundleRefused where no console would take it.
    """
    base = version.base_version if version.model.family == Family.ADAPTER else None
    manifest = manifest_of(version, base, with_base=with_base)
    data = (canonical_json(manifest) + "\n").encode()
    manifest_read(data)
    entries: Entries = [(NAME, len(data), data)]
    if base is not None and with_base:
        entries += _files(BASE, base.manifest)
    entries += _files(FILES, version.manifest)
    return Bundle(
        filename=f"{version.model.name}-v{version.number}{SUFFIX}",
        tag=hashlib.sha256(data).hexdigest(),
        packed=Packed(entries),
    )


def manifest_of(
    version: ModelVersion, base: ModelVersion | None, *, with_base: bool
) -> dict[str, Any]:
    """The first file, as plain JSON."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA,
        **content_of(version),
        "base": {**content_of(base), "included": with_base} if base is not None else None,
    }


def _files(prefix: str, manifest: dict[str, Any]) -> Entries:
    return [(prefix + path, e["size"], e["sha256"]) for path, e in sorted(manifest.items())]
