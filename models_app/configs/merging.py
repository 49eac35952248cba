"""Overlays are JSON merge patches (RFC 7396): mappings merge, lists replace, null removes.

A setting that is removed takes its default when the whole is checked.
"""

from collections.abc import Mapping
from typing import Any


def merge_patch(base: Any, patch: Any) -> Any:
    """`base` with `patch` applied; neither is changed."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(base) if isinstance(base, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def patched_paths(patch: Mapping[str, Any], prefix: str = "") -> set[str]:
    """Dotted paths that a patch decides, innermost ones."""
    found: set[str] = set()
    for name, value in patch.items():
        path = f"{prefix}{name}"
        inner = patched_paths(value, f"{path}.") if isinstance(value, Mapping) else set()
        found |= inner or {path}
    return found
