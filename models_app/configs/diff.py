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
    """All differences, in the order of their paths. Lists are compared as wholes."""
    found: list[Change] = []
    for key in sorted({*old, *new}):
        path = f"{prefix}{key}"
        if key not in new:
            found.append(Change(path=path, kind="removed", old=old[key]))
        elif key not in old:
            found.append(Change(path=path, kind="added", new=new[key]))
        elif isinstance(old[key], Mapping) and isinstance(new[key], Mapping):
            found.extend(diff(old[key], new[key], f"{path}."))
        elif old[key] != new[key] or isinstance(old[key], bool) != isinstance(new[key], bool):
            found.append(Change(path=path, kind="changed", old=old[key], new=new[key]))
    return found
