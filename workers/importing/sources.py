"""Where an import's files come from, with what only the worker may know: places, the token."""

from pathlib import Path
from typing import Any

from django.conf import settings

from models_app.core.blobs import blob_path, tree_materialise
from models_app.core.sealing import unseal
from models_app.registry.bundles.manifest import Manifest
from models_app.registry.importing import check_hub, import_folder
from models_app.registry.models import ImportToken, ModelVersion
from models_app.registry.services.importing import SEAL
from models_app.registry.states import VersionState
from workers.importing.archive import manifest_in
from workers.importing.errors import ImportRefused

#: Versions of the team whose files need not be transferred again.
KNOWN_VERSIONS = 300


def source_inputs(version: ModelVersion, folder: Path) -> dict[str, Any]:
    """What the child is told of the source. Raises FieldError where it cannot be read now."""
    source = version.source
    if source["kind"] == "path":
        return _path_inputs(version)
    if source["kind"] == "push":
        pushed = tree_materialise(source["manifest"], folder / "pushed")
        return {"kind": "path", "root": str(pushed), "blobs": "", "commit": ""}
    if source["kind"] == "upload":
        archive = source["files"][0]
        tree_materialise({"archive": archive}, folder)
        return _archive_inputs(version, folder / "archive", archive["sha256"])
    row = ImportToken.objects.filter(version=version).first()
    return {
        "kind": "hub",
        "url": check_hub(source["url"]),
        "repo": source["repo"],
        "revision": source["revision"],
        "token": unseal(row.sealed, SEAL) if row else "",
        "allowed": list(settings.IMPORT_HUBS),
        "known": known_files(version),
    }


def bundle_manifest(source: dict[str, Any]) -> Manifest | None:
    """The list of a bundle; None for anything else, and for what the child will refuse."""
    if source["kind"] != "archive":
        return None
    try:
        return manifest_in(Path(source["archive"]))
    except ImportRefused:
        return None


def _path_inputs(version: ModelVersion) -> dict[str, Any]:
    found = import_folder(version.source["path"], version.source.get("revision", ""))
    if found.root.is_file():
        facts = found.root.stat()
        stamp = f"{facts.st_ino}-{facts.st_size}-{facts.st_mtime_ns}"
        return _archive_inputs(version, found.root, stamp)
    return {
        "kind": "path",
        "root": str(found.root),
        "blobs": str(found.blobs) if found.blobs else "",
        "commit": found.commit,
    }


def _archive_inputs(version: ModelVersion, path: Path, stamp: str) -> dict[str, Any]:
    sizes = known_files(version)["sha256"]
    return {"kind": "archive", "archive": str(path), "stamp": stamp, "known": sizes}


def known_files(version: ModelVersion) -> dict[str, Any]:
    """Files of the team's own versions; those of others are transferred, for who asks for a digest
    need not have a right to the file."""
    sizes: dict[str, int] = {}
    etags: dict[str, Any] = {}
    rows = ModelVersion.objects.filter(model__team=version.model.team, state=VersionState.READY)
    for manifest, source in rows.values_list("manifest", "source")[:KNOWN_VERSIONS]:
        sizes |= {entry["sha256"]: entry["size"] for entry in manifest.values()}
        if "url" in version.source and source.get("url") == version.source["url"]:
            etags |= {
                entry["etag"]: {"sha256": entry["sha256"], "size": entry["size"]}
                for entry in source.get("files", {}).values()
                if "etag" in entry
            }
    return {"sha256": sizes, "etags": etags}


def stored_place(sha256: str) -> Path | None:
    """Where a stored file lies on this machine."""
    path = blob_path(sha256)
    return path if path.exists() else None
