"""Versions: whole or invisible, and to the bit those of an undisturbed run."""

import hashlib
from pathlib import Path

from tests.chaos.facts import Facts
from tests.chaos.load import Load

WEIGHTS = "model.safetensors"


def versions_are_whole(facts: Facts, data_dir: Path) -> list[str]:
    """Every file of every ready version re-hashes to its name; an unready one has no files."""
    found = []
    for row in facts.versions:
        name = f"version {row['number']} (id {row['id']})"
        if row["state"] != "ready":
            if row["manifest"]:
                found.append(f"{name} is {row['state']} and has files")
            continue
        if WEIGHTS not in row["manifest"]:
            found.append(f"{name} is ready without weights")
        for file, entry in row["manifest"].items():
            digest = entry["sha256"]
            path = data_dir / "blobs" / digest[:2] / digest[2:4] / digest
            if not path.is_file() or file_digest(path) != digest:
                found.append(f"{name}: {file} is missing or damaged")
    return found


def weights_are_equal(facts: Facts, load: Load, reference: str) -> list[str]:
    """`reference`: SHA-256 of the weights that the same training makes when nothing happens."""
    made = {row["produced_by_id"]: row for row in facts.versions if row["state"] == "ready"}
    found = []
    for pk in load.trainings:
        if facts.jobs.get(pk, {}).get("state") != "succeeded":
            continue
        version = made.get(pk)
        weights = version["manifest"].get(WEIGHTS, {}).get("sha256") if version else None
        if weights != reference:
            found.append(f"training {pk} made {weights}, undisturbed it is {reference}")
    return found


def file_digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
