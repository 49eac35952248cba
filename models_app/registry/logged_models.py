"""Models that programs log with their runs, and which of their files a version is made of.

An id tells its run: `m-`, the 32 digits of the run, and four that number the model.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.blobs import Manifest
from models_app.core.errors import FieldError, NotFound
from models_app.registry.experiments import LoggedRun

#: Where clients of MLflow lay the tokenizer of a model that they keep in `model`.
BESIDE = {"model": ("components/tokenizer",)}
#: What a model is made of. Pickles and code among what was logged stay with the run.
KEPT = (".safetensors", ".json", ".txt", ".model", ".jinja")
_ID = re.compile(r"m-(?P<run>[0-9a-f]{32})(?P<number>[0-9a-f]{4})")


def model_id(logged: LoggedRun, number: int) -> str:
    """The id of the model with this number among those of a run."""
    return f"m-{logged.key}{number:04x}"


def run_key_of(text: str) -> str:
    """The run of a model with this id, or NotFound."""
    found = _ID.fullmatch(text)
    if found is None:
        raise NotFound(_("There is no logged model %(id)s.") % {"id": text[:60]})
    return found["run"]


def logged_model_of(logged: LoggedRun, text: str) -> dict[str, Any]:
    """The model with this id, or NotFound."""
    for model in logged.logged_models:
        if model["id"] == text:
            return dict(model)
    raise NotFound(_("There is no logged model %(id)s.") % {"id": text[:60]})


def model_folder(text: str) -> str:
    """Where the files of a model lie among those of its run."""
    return f"models/{text}"


def model_tree(files: Mapping[str, Mapping[str, Any]], field: str) -> Manifest:
    """The files of the one model among `files`, as a version has them; FieldError otherwise.

    It lies where weights (safetensors) and a configuration are; a tokenizer may lie beside it.
    """
    folders: dict[str, list[str]] = defaultdict(list)
    for path in files:
        folder, _slash, name = path.rpartition("/")
        folders[folder].append(name)
    found = sorted(folder for folder, names in folders.items() if _is_model(names))
    if len(found) != 1:
        said = _(
            "A version is made of one folder with config.json (or adapter_config.json) and weights"
            " as safetensors; found: %(found)s."
        )
        raise FieldError(field, said % {"found": ", ".join(found) or "–"})
    (own,) = found
    root, _slash, last = own.rpartition("/")
    places = [*(f"{root}/{name}".lstrip("/") for name in BESIDE.get(last, ())), own]
    tree: Manifest = {}
    for place in places:  # what lies with the weights itself counts
        for name in folders.get(place, []):
            if name.endswith(KEPT):
                tree[name] = dict(files[f"{place}/{name}".lstrip("/")])
    return tree


def _is_model(names: Sequence[str]) -> bool:
    configured = "config.json" in names or "adapter_config.json" in names
    return configured and any(name.endswith(".safetensors") for name in names)
