"""What a rebuilt version is compared with, part by part, and the first thing that differs."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from models_app.core.blobs import BlobMissing, blob_open
from models_app.jobs.models import Job
from models_app.registry.environments import environment_diff
from models_app.registry.models import ModelVersion
from models_app.registry.recording import METRICS, TIMES, metric_lines

Part = dict[str, Any]
EQUAL, DIFFERENT, UNKNOWN = "equal", "different", "unknown"
#: The order in which a cause comes before its effects.
ORDER = ("dataset", "code", "environment", "tokenizer", "series", "weights", "files")
#: Parts that make the result another one. A different environment may well give the same.
DECISIVE = ("dataset", "tokenizer", "series", "weights", "files")
_TOKENIZER = ("tokenizer", "vocab", "merges", "special_tokens", "chat_template")
#: At most so many differences of one part are kept.
MOST = 50


def rebuilt_report(
    version: ModelVersion, job: Job, found: Mapping[str, Any], environment: Mapping[str, Any]
) -> Part:
    """`{verdict, divergence, parts}`. `found` is what the child compared on its node."""
    files = found["files"]
    tokens = [row for row in files if row["path"].startswith(_TOKENIZER)]
    weights = [row for row in files if row["path"].endswith(".safetensors")]
    rest = [row for row in files if row not in tokens and row not in weights]
    parts = {
        "dataset": _listed(found["dataset"]),
        "code": _listed(found["code"]),
        "environment": _environment(version, environment),
        "tokenizer": _files(tokens),
        "series": _series(version, job),
        "weights": {**_files(weights), "tensor": found["tensor"]},
        "files": _files(rest),
    }
    different = [name for name in ORDER if parts[name]["result"] == DIFFERENT]
    decisive = any(name in DECISIVE for name in different)
    return {
        "verdict": DIFFERENT if decisive else EQUAL,
        "divergence": " ".join(_said(name, parts[name]) for name in different) if decisive else "",
        "parts": [{"name": name, **parts[name]} for name in ORDER],
    }


def _listed(differences: list[Any] | None) -> Part:
    if differences is None:
        return {"result": UNKNOWN, "differences": []}
    result = DIFFERENT if differences else EQUAL
    return {"result": result, "count": len(differences), "differences": differences[:MOST]}


def _environment(version: ModelVersion, environment: Mapping[str, Any]) -> Part:
    if not version.environment or not environment:
        return _listed(None)
    return _listed(environment_diff(version.environment, environment))


def _files(rows: list[Part]) -> Part:
    return {**_listed([row for row in rows if row["result"] != EQUAL]), "compared": len(rows)}


def _series(version: ModelVersion, job: Job) -> Part:
    """Every figure at every step that both runs have told, to the last bit."""
    recorded, found = _points(_recorded(version)), _points(metric_lines(job))
    common = sorted(recorded.keys() & found.keys(), key=lambda key: (key[0], key[1] != "loss"))
    different = [
        {"step": step, "name": name, "recorded": recorded[step, name], "found": found[step, name]}
        for step, name in common
        if recorded[step, name] != found[step, name]
    ]
    part = _listed(different if common else None)
    return {**part, "compared": len(common), "last_step": common[-1][0] if common else None}


def _recorded(version: ModelVersion) -> Iterable[bytes]:
    record = getattr(version, "record", None)
    entry = record.files.get(METRICS) if record else None
    if entry is not None:
        try:
            with blob_open(entry["sha256"]) as stream:
                yield from stream
            return
        except BlobMissing:
            pass  # the rows say the same
    if version.produced_by is not None:
        yield from metric_lines(version.produced_by)


def _points(lines: Iterable[bytes]) -> dict[tuple[int, str], float]:
    rows = map(json.loads, lines)
    # Of several processes each tells its own, such as rank_1_step_seconds.
    return {
        (row["step"], row["name"]): row["value"] for row in rows if not row["name"].endswith(TIMES)
    }


def _said(name: str, part: Part) -> str:
    """One sentence; stored, so in English."""
    first = part["differences"][0]
    more = f" (and {part['count'] - 1} more)" if part["count"] > 1 else ""
    if name == "environment":
        return f"Environment: {first['part']} {first['recorded']} → {first['found']}{more}."
    if name == "series":
        return (
            f"First step that differs: {first['step']}, {first['name']} {first['recorded']!r} "
            f"→ {first['found']!r}."
        )
    tensor = part.get("tensor")
    if name == "weights" and tensor:
        far = tensor.get("max_difference")
        how = f"largest difference {far:.3g}" if far is not None else tensor["why"]
        return f"First tensor that differs: {tensor['name']}, {how}."
    return f"{name.capitalize()}: {first['path']} differs{more}."
