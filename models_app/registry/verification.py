"""Takes a version's provenance at its word: every item is read and hashed again."""

import time
from collections import Counter
from typing import Any

from models_app.core.blobs import BlobMissing
from models_app.core.clock import now
from models_app.core.store import StoreUnavailable
from models_app.registry.evidence import Item, item_digest, version_evidence
from models_app.registry.models import ModelVersion
from models_app.registry.provenance import provenance_digests

EQUAL, DIFFERS, MISSING = "equal", "differs", "missing"


def version_verify(version: ModelVersion) -> dict[str, Any]:
    """Item by item: is what is stored what the provenance says? Reads every byte.

    `verdict` is the worst of the results. The same file under two names is read once.
    """
    begun, known = time.monotonic(), dict[str, dict[str, Any]]()
    items = [_verify(version, item, known) for item in version_evidence(version)]
    found = Counter(item["result"] for item in items)
    worst = next((word for word in (DIFFERS, MISSING) if found[word]), EQUAL)
    return {
        "model_version": version.pk,
        **provenance_digests(version),
        "verdict": worst,
        "counts": {word: found[word] for word in (EQUAL, DIFFERS, MISSING)},
        "items": items,
        "bytes": sum(item["bytes"] for item in known.values()),
        "checked_at": now(),
        "seconds": round(time.monotonic() - begun, 3),
    }


def _verify(version: ModelVersion, item: Item, known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    key = item.digest if item.content is None else f"fact:{item.name}"
    if key not in known:
        known[key] = _found(item)
    found, size = known[key]["digest"], known[key]["bytes"]
    if found is None:
        result = MISSING
    else:
        same = found == item.digest and item.size in (None, size)
        result = EQUAL if same else DIFFERS
    return {**item.to_dict(version), "result": result, "found": found}


def _found(item: Item) -> dict[str, Any]:
    try:
        digest, size = item_digest(item)
    except (BlobMissing, StoreUnavailable):
        return {"digest": None, "bytes": 0}
    return {"digest": digest, "bytes": size}
