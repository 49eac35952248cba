"""Lays the shards of dataset versions out for a job."""

from pathlib import Path

from models_app.core.blobs import tree_materialise
from models_app.datasets.models import DatasetVersion
from models_app.datasets.selectors import SPLITS, split_files


def version_shards(version: DatasetVersion, folder: Path) -> list[dict[str, str]]:
    """The shards of a version as files under `folder`: `{split, path, sha256}` in order."""
    found = [
        (split, path, entry) for split in SPLITS for path, entry in split_files(version, split)
    ]
    tree_materialise({path: entry for _split, path, entry in found}, folder)
    return [
        {"split": split, "path": str(folder / path), "sha256": entry["sha256"]}
        for split, path, entry in found
    ]
