"""Digests of JSON values and of trees of files, the identity of everything immutable."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: the same value always gives the same text."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def digest_json(value: Any) -> str:
    """sha256 (64 hex digits) of the canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def tree_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """sha256 over `path -> {sha256, size}`, order-independent."""
    return digest_json({path: [f["sha256"], f["size"]] for path, f in files.items()})
