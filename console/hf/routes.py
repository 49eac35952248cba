"""Which requests of the Hub's clients we answer."""

from collections.abc import Sequence
from dataclasses import dataclass

KINDS = ("models", "datasets")
#: Below a repository: method, and whether a revision and a path may follow.
PARTS = {
    "revision": ("GET", True),
    "tree": ("GET", True),
    "paths-info": ("POST", True),
    "commits": ("GET", True),
    "refs": ("GET", False),
    "auth-check": ("GET", False),
    "preupload": ("POST", True),
    "commit": ("POST", True),
    "xet-write-token": ("GET", True),
}
#: Names that point to versions: made by POST, taken away by DELETE.
POINTERS = ("tag", "branch")
#: Apart from any repository.
GENERAL = {
    ("GET", "whoami-v2"): "whoami",
    ("POST", "repos/create"): "create",
    ("POST", "validate-yaml"): "validate-yaml",
}
_LFS = ["info", "lfs", "objects"]


@dataclass(frozen=True, kw_only=True)
class Route:
    """What is asked for. `what`: of GENERAL or PARTS, list, info, resolve, batch or upload."""

    what: str
    kind: str = "models"
    team: str = ""
    name: str = ""
    revision: str = "main"
    path: str = ""


def route_of(method: str, parts: Sequence[str]) -> Route | None:
    """The route of a path below /hf/, or None."""
    reads = method in ("GET", "HEAD")
    if parts[0] == "api":
        return _api("GET" if reads else method, parts[1:])
    kind, rest = ("datasets", parts[1:]) if parts[0] == "datasets" else ("models", parts)
    if reads and len(rest) >= 5 and rest[2] == "resolve":
        team, name, _resolve, revision, *path = rest
        return Route(
            what="resolve", kind=kind, team=team, name=name, revision=revision,
            path="/".join(path),
        )  # fmt: skip
    if len(rest) == 6 and rest[1].endswith(".git") and list(rest[2:5]) == _LFS:
        what = {"POST": "batch", "PUT": "upload"}.get(method)
        if what == "upload" or (what == "batch" and rest[5] == "batch"):
            name = rest[1].removesuffix(".git")
            return Route(what=what, kind=kind, team=rest[0], name=name, path=rest[5])
    return None


def _api(method: str, parts: Sequence[str]) -> Route | None:
    if (method, "/".join(parts)) in GENERAL:
        return Route(what=GENERAL[method, "/".join(parts)])
    if not parts or parts[0] not in KINDS:
        return None
    kind, rest = parts[0], list(parts[1:])
    if method == "GET" and (not rest or rest == [""]):
        return Route(what="list", kind=kind)
    if method == "GET" and len(rest) == 2:
        return Route(what="info", kind=kind, team=rest[0], name=rest[1])
    if len(rest) < 3 or rest[2] not in (*PARTS, *POINTERS):
        return None
    team, name, what, *more = rest
    if what in POINTERS:
        if method not in ("POST", "DELETE") or len(more) != 1:
            return None
        return Route(what=what, kind=kind, team=team, name=name, revision=more[0])
    wanted, has_revision = PARTS[what]
    if method != wanted or has_revision != bool(more):
        return None
    return Route(
        what="info" if what == "revision" else what, kind=kind, team=team, name=name,
        revision=more[0] if more else "main", path="/".join(more[1:]).strip("/"),
    )  # fmt: skip
