"""What a replica shall serve beside its base, as files that its process reads while it runs.

`<folder>/adapters/<version>/` has the files of one adapter, and `<folder>/wanted.json` says which
of them are wanted under which names. The process, which has no database, watches that one file.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from models_app.core.blobs import tree_materialise, tree_verify
from models_app.core.errors import SlipwayError
from models_app.deployments.digest import fingerprint
from models_app.deployments.models import Replica
from models_app.deployments.services.in_place import replica_wish
from models_app.registry.models import ModelVersion

ADAPTERS, WANTED = "adapters", "wanted.json"


def replica_of(replica_id: int) -> Replica:
    """A replica with all that a server of it needs to know."""
    rows = Replica.objects.select_related(
        "revision__deployment__team",
        "revision__model_version__model",
        "revision__model_version__base_version__model",
        "revision__config_revision__config",
    )
    return rows.get(pk=replica_id)


def wanted_lay(replica: Replica, folder: Path) -> Path:
    """Lay out what the replica is to have now, then say so in one atomic step; drop the rest."""
    wish = replica_wish(replica)
    adapters = {
        name: _laid(version, folder / ADAPTERS / str(version.pk))
        for name, version in wish.adapters.items()
    }
    said = {"fingerprint": fingerprint(wish.revision), "adapters": adapters}
    path = folder / WANTED
    text = json.dumps(said, sort_keys=True)
    if not path.exists() or path.read_text("utf-8") != text:
        partial = path.with_suffix(".partial")
        partial.write_text(text, "utf-8")
        partial.replace(path)
        _drop(folder / ADAPTERS, {str(version.pk) for version in wish.adapters.values()})
    return path


def _laid(version: ModelVersion, folder: Path) -> dict[str, Any]:
    """Its files, checked once; where one is missing or damaged the reason instead."""
    said = {"version": version.pk, "folder": str(folder), "problem": ""}
    if folder.is_dir():
        return said
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        tree_materialise(version.manifest, partial)
        tree_verify(version.manifest, partial)
    except SlipwayError as error:
        shutil.rmtree(partial, ignore_errors=True)
        return {**said, "problem": error.message}
    partial.rename(folder)
    return said


def _drop(folder: Path, wanted: set[str]) -> None:
    for path in folder.glob("*"):
        if path.name not in wanted:
            shutil.rmtree(path, ignore_errors=True)
