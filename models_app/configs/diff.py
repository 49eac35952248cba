"""What differs between two JSON values, as dotted paths with old and new."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Change:
    """One difference: `kind` is added, removed or changed."""

    path: str
    kind: str
    old: Any = None
    new: Any = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def diff(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> list[Change]:
    """All differences, in the order of their paths.

    Lists of things with names are compared by these, other lists as wholes.
    """
    found: list[Change] = []
    for key in sorted({*old, *new}):
        path = f"{prefix}{key}"
        if key not in new:
            found.append(Change(path=path, kind="removed", old=old[key]))
        elif key not in old:
            found.append(Change(path=path, kind="added", new=new[key]))
        elif (pair := _by_name(old[key], new[key])) is not None:
            inner = diff(*pair, f"{path}.")
            # The same entries in another order differ as a whole.
            whole = Change(path=path, kind="changed", old=old[key], new=new[key])
            found.extend(inner if inner or old[key] == new[key] else [whole])
        elif isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
            found.extend(diff(old[key], new[key], f"{path}."))
        elif old[key] != new[key] or isinstance(old[key], bool) != isinstance(new[key], bool):
            found.append(Change(path=path, kind="changed", old=old[key], new=new[key]))
    return found


def _by_name(old: Any, new: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Two lists whose entries each have a name of their own, by name; None for anything else."""
    if not (isinstance(old, list) and isinstance(new, list) and old and new):
        return None
    named = []
    for value in (old, new):
        entries = [item for item in value if isinstance(item, Mapping) and "name" in item]
        found = {str(item["name"]): item for item in entries}
        if len(found) != len(value):
            return None
        named.append(found)
    return named[0], named[1]
