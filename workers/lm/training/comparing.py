"""Two folders of one model: which files differ, and in which tensor first, by how much."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from workers.lm.durable import file_digest
from workers.lm.training.export import FACTS
from workers.lm.training.spec import TrainSpec

EQUAL, DIFFERENT, MISSING, ADDED = "equal", "different", "missing", "added"
#: Facts of a training that tell how long it took and where; versions of old have them in a file.
_PASSING = ("seconds", "tokens_per_second")


def compare_folders(recorded: Path, found: Path) -> dict[str, Any]:
    """`files`: path, result and both digests of each; `tensor`: the first one that differs."""
    names = sorted({path.name for folder in (recorded, found) for path in folder.iterdir()})
    files = [_compare(name, recorded / name, found / name) for name in names]
    tensor = None
    for row in files:
        if row["result"] == DIFFERENT and row["path"].endswith(".safetensors"):
            tensor = tensor or first_difference(recorded / row["path"], found / row["path"])
    return {"files": files, "tensor": tensor}


def first_difference(recorded: Path, found: Path) -> dict[str, Any] | None:
    """The first tensor by name that differs between two files; None if all are equal."""
    with safe_open(recorded, "pt") as one, safe_open(found, "pt") as two:
        names = sorted({*one.keys(), *two.keys()})
        for name in names:
            if name not in one.keys() or name not in two.keys():  # noqa: SIM118
                return {"file": recorded.name, "name": name, "why": "only in one of them"}
            old, new = one.get_tensor(name), two.get_tensor(name)
            if old.shape != new.shape or old.dtype != new.dtype:
                return {"file": recorded.name, "name": name, "why": "of another shape or type"}
            if not torch.equal(old, new):
                return {"file": recorded.name, "name": name, **_how_far(old, new)}
    return None


def _how_far(old: torch.Tensor, new: torch.Tensor) -> dict[str, Any]:
    distance = (old.double() - new.double()).abs()
    return {
        "max_difference": float(distance.max()),
        "elements_different": int((distance != 0).sum()),
        "elements": distance.numel(),
    }


def _compare(name: str, recorded: Path, found: Path) -> dict[str, Any]:
    digests = [file_digest(path) if path.is_file() else None for path in (recorded, found)]
    if digests[0] is None or digests[1] is None:
        result = MISSING if digests[1] is None else ADDED
    elif digests[0] == digests[1] or (name == FACTS and _same_facts(recorded, found)):
        result = EQUAL
    else:
        result = DIFFERENT
    return {"path": name, "result": result, "recorded": digests[0], "found": digests[1]}


def _same_facts(recorded: Path, found: Path) -> bool:
    one, two = (_lasting(json.loads(path.read_text())) for path in (recorded, found))
    return one == two


def _lasting(facts: dict[str, Any]) -> dict[str, Any]:
    lasting = {key: value for key, value in facts.items() if key != "environment"}
    figures = lasting.get("result", {})
    # What did not exist then was as it is when it is left out.
    lasting["spec"] = TrainSpec().to_dict() | lasting.get("spec", {})
    lasting["manner"] = lasting.get("manner") or {
        "precision": lasting["spec"]["precision"], "compiled": False,
    }  # fmt: skip
    usual: dict[str, Any] = {"stopped_early": 0, "skipped_steps": 0, "rewinds": 0}
    usual["published_step"] = figures.get("steps")
    lasting["result"] = {
        key: value for key, value in {**usual, **figures}.items() if key not in _PASSING
    }
    return lasting
