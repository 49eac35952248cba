"""Everything that a version was made of, as things that have a digest and can be fetched.

Each item is a sequence of bytes whose plain SHA-256 is its digest: a stored file, or a fact of the
database in canonical JSON (sorted keys, no spaces, UTF-8). So whoever has the addresses needs
nothing of Slipway to check them.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.urls import reverse

from models_app.core.blobs import CHUNK, blob_open
from models_app.core.digests import canonical_json
from models_app.registry.models import ModelVersion
from models_app.registry.recording import CODE, ENVIRONMENT, LOG, METRICS, RUN, log_bytes

#: What an item is to the version.
INPUT, OUTPUT, RECORD = "input", "output", "record"
#: The items that decide what comes out of a training; with the seed they are its recipe.
RECIPE = ("dataset", "config", "base", "adapter", "converted", "checkpoint", "code", "environment")
_NAMES = {ENVIRONMENT: "environment", CODE: "code", LOG: "log", METRICS: "metrics", RUN: "run"}


@dataclass(frozen=True, kw_only=True)
class Item:
    """One thing with a digest. Without `content` its bytes are the stored file of that digest."""

    name: str
    role: str
    digest: str
    size: int | None = None
    content: Any = None

    def parts(self) -> Iterator[bytes]:
        """The bytes, a piece at a time; BlobMissing if they are gone."""
        if self.content is not None:
            yield from self.content()
            return
        with blob_open(self.digest) as stream:
            while piece := stream.read(CHUNK):
                yield piece

    def to_dict(self, version: ModelVersion) -> dict[str, Any]:
        """Plain JSON with the address."""
        return {
            "name": self.name,
            "role": self.role,
            "algorithm": "sha256",
            "digest": self.digest,
            "size": self.size,
            "href": reverse("api_model_version_evidence", args=[version.pk, self.name]),
        }


def version_evidence(version: ModelVersion) -> list[Item]:
    """All items of a version; what a version that was not trained here has not got is left out."""
    return [*_inputs(version), *_outputs(version), *_record(version)]


def version_item(version: ModelVersion, name: str) -> Item | None:
    """One item by its name."""
    return next((item for item in version_evidence(version) if item.name == name), None)


def _inputs(version: ModelVersion) -> Iterator[Item]:
    data, config, base = version.dataset_version, version.config_revision, version.base_version
    if data is not None:
        yield _tree("dataset", INPUT, data.digest, data.manifest)
        yield from _files("dataset", INPUT, data.manifest)
        if data.source.get("kind") == "upload":
            found = {entry["name"]: entry for entry in data.source.get("files", [])}
            yield from _files("source", INPUT, found)
    if config is not None:
        value = {"kind": config.config.kind, "spec": config.spec}
        yield _fact("config", INPUT, config.digest, value)
    if version.produced_by is not None:
        job = version.produced_by
        yield _fact("params", INPUT, job.params_digest, job.params)
    if base is not None:
        yield _tree("base", INPUT, base.digest, base.manifest)
        yield from _files("base", INPUT, base.manifest)
    if version.source_version is not None:
        converted = version.source_version
        yield _tree("converted", INPUT, converted.digest, converted.manifest)
        yield from _files("converted", INPUT, converted.manifest)
    if version.begun_with is not None:
        yield _tree("adapter", INPUT, version.begun_with.digest, version.begun_with.manifest)
        yield from _files("adapter", INPUT, version.begun_with.manifest)
    begun = version.continued_from
    if begun:
        state = begun["manifest"][f"{begun['name']}/state.json"]
        yield Item(name="checkpoint", role=INPUT, digest=begun["digest"], size=state["size"])
        yield from _files("checkpoint", INPUT, begun["manifest"])


def _outputs(version: ModelVersion) -> Iterator[Item]:
    if version.digest:
        yield _tree("files", OUTPUT, version.digest, version.manifest)
        yield from _files("files", OUTPUT, version.manifest)


def _record(version: ModelVersion) -> Iterator[Item]:
    record = getattr(version, "record", None)
    files = record.files if record else {}
    for file, entry in sorted(files.items()):
        name = _NAMES.get(file, file)
        yield Item(name=name, role=RECORD, digest=entry["sha256"], size=entry["size"])
    job = version.produced_by
    if LOG not in files and version.log_digest and job is not None:
        yield Item(
            name="log", role=RECORD, digest=version.log_digest, content=lambda: log_bytes(job)
        )


def _tree(name: str, role: str, digest: str, manifest: Any) -> Item:
    """A tree of files by name, digest and size: what `core.digests.tree_digest` takes."""
    listing = {path: [entry["sha256"], entry["size"]] for path, entry in manifest.items()}
    return _fact(name, role, digest, listing)


def _fact(name: str, role: str, digest: str, value: Any) -> Item:
    data = canonical_json(value).encode()
    return Item(name=name, role=role, digest=digest, size=len(data), content=lambda: iter([data]))


def _files(prefix: str, role: str, manifest: Any) -> Iterator[Item]:
    for path, entry in sorted(manifest.items()):
        if "sha256" in entry:
            name = f"{prefix}/{path}"
            yield Item(name=name, role=role, digest=entry["sha256"], size=entry["size"])


def item_digest(item: Item) -> tuple[str, int]:
    """The SHA-256 and the size of what is there now; BlobMissing if nothing is."""
    digest, size = hashlib.sha256(), 0
    for piece in item.parts():
        digest.update(piece)
        size += len(piece)
    return digest.hexdigest(), size
