"""In what two environments differ, in the words of the record: a package, a flag, a thread."""

from collections.abc import Mapping
from typing import Any

from models_app.configs.diff import diff
from models_app.jobs.models import JobAttempt
from models_app.pools.selectors import node_list

Environment = Mapping[str, Any]
#: Parts that say the same as another one, or how a library was built, at length.
_SKIPPED = ("package_digests", "torch.build")


def environment_diff(recorded: Environment, found: Environment) -> list[dict[str, Any]]:
    """`[{part, recorded, found}]`, packages first. What only one of them knows is left out."""
    both = recorded.keys() & found.keys()
    old, new = ({name: side[name] for name in both} for side in (recorded, found))
    changes = [
        {"part": change.path, "recorded": change.old, "found": change.new}
        for change in diff(old, new)
        if not change.path.startswith(_SKIPPED) and change.path != "processor.flags"
    ]
    changes += _rebuilt(old, new) + _flags(old, new)
    return sorted(changes, key=lambda change: (not change["part"].startswith("packages."),))


def _rebuilt(old: Environment, new: Environment) -> list[dict[str, Any]]:
    """Packages of the same version whose files are others."""
    one, two = old.get("package_digests", {}), new.get("package_digests", {})
    versions = old.get("packages", {}), new.get("packages", {})
    return [
        {"part": f"packages.{name}", "recorded": one[name][:12], "found": two[name][:12]}
        for name in sorted(one.keys() & two.keys())
        if one[name] != two[name] and versions[0].get(name) == versions[1].get(name)
    ]


def _flags(old: Environment, new: Environment) -> list[dict[str, Any]]:
    one, two = (set(side.get("processor", {}).get("flags", [])) for side in (old, new))
    if one == two:
        return []
    part = "processor.flags"
    return [{"part": part, "recorded": sorted(one - two), "found": sorted(two - one)}]


def environment_of_nodes() -> tuple[str, Environment] | None:
    """The newest environment that a node which is ready now has told of, and its name."""
    ready = [node.name for node in node_list() if node.ready]  # type: ignore[attr-defined]
    rows = JobAttempt.objects.filter(
        node_name__in=ready, environment__has_key="packages", job__kind__in=("train", "reproduce")
    )
    row = rows.order_by("-id").first()
    return (row.node_name, row.environment) if row else None
