"""The base of an adapter, from the store to the child that scans: only its weights are needed."""

from pathlib import Path
from typing import Any

from models_app.core.blobs import tree_materialise
from models_app.registry.models import ModelVersion
from workers.scanning.adapter import Base, base_of


def base_inputs(base: ModelVersion | None, folder: Path) -> dict[str, str] | None:
    """Lay the base's weights out under `folder` (as links); what the child is told of it."""
    if base is None:
        return None
    needed = {name: e for name, e in base.manifest.items() if name.endswith(".safetensors")}
    tree_materialise(needed, folder)
    kind = str(base.facts.get("model_type") or "")
    return {"name": str(base), "folder": str(folder), "model_type": kind}


def base_from(inputs: dict[str, Any] | None) -> Base | None:
    """In the child: the headers of the base."""
    if inputs is None:
        return None
    return base_of(inputs["name"], Path(inputs["folder"]), inputs["model_type"])
