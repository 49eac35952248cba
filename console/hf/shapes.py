"""The JSON of the Hub's API, as far as its stock clients read it.

Fields after https://huggingface.co/docs/hub/api; checked against recorded requests of
huggingface_hub 0.36, 1.10 and 2.4, transformers 5.23 and datasets 5.2.
"""

from collections.abc import Iterable
from typing import Any

from console.hf.repos import MAIN, Entry, Repo, Revision
from models_app.core.clock import stamp

#: Length in bytes that a git-lfs pointer has; clients want a number and do nothing with it.
POINTER = 134


def repo_info(repo: Repo, revision: Revision | None, *, blobs: bool = False) -> dict[str, Any]:
    """`ModelInfo` or `DatasetInfo`."""
    info: dict[str, Any] = {
        "_id": f"{repo.kind.name}-{repo.row.pk}",
        "id": repo.id,
        "author": repo.row.team.slug,
        "private": True,
        "gated": False,
        "disabled": False,
        "downloads": 0,
        "likes": 0,
        "description": repo.row.description,
        "createdAt": stamp(repo.row.created_at),
        "lastModified": stamp(revision.at if revision else repo.row.created_at),
        "tags": ["safetensors", "text-generation"] if repo.kind.name == "models" else ["text"],
    }
    if repo.kind.name == "models":
        info |= {
            "modelId": repo.id,
            "library_name": "transformers",
            "pipeline_tag": "text-generation",
        }
    if revision:
        info["sha"] = revision.commit
        info["siblings"] = [_sibling(entry, blobs) for entry in revision.files]
        info["usedStorage"] = sum(entry.size for entry in revision.files)
    return info


def _sibling(entry: Entry, blobs: bool) -> dict[str, Any]:
    if not blobs:
        return {"rfilename": entry.path}
    return {
        "rfilename": entry.path, "size": entry.size, "blobId": entry.sha256, "lfs": _lfs(entry),
    }  # fmt: skip


def _lfs(entry: Entry) -> dict[str, Any]:
    return {
        "sha256": entry.sha256, "oid": entry.sha256, "size": entry.size, "pointerSize": POINTER,
    }  # fmt: skip


def tree(
    revision: Revision, folder: str, *, recursive: bool, expand: bool
) -> list[dict[str, Any]] | None:
    """What lies in a folder, by path; None if there is no such folder."""
    prefix = f"{folder}/" if folder else ""
    inside = [entry for entry in revision.files if entry.path.startswith(prefix)]
    if folder and not inside:
        return None
    rows: dict[str, dict[str, Any]] = {}
    for entry in inside:
        parts = entry.path.removeprefix(prefix).split("/")
        for depth in range(1, len(parts) if recursive else min(2, len(parts))):
            path = prefix + "/".join(parts[:depth])
            rows.setdefault(path, _folder(path, revision, expand))
        if recursive or len(parts) == 1:
            rows[entry.path] = _file(entry, revision, expand)
    return [rows[path] for path in sorted(rows)]


def paths_info(revision: Revision, paths: Iterable[str], *, expand: bool) -> list[dict[str, Any]]:
    """Those of `paths` that there are, files and folders."""
    files = {entry.path: entry for entry in revision.files}
    rows = []
    for path in dict.fromkeys(path.strip("/") for path in paths):
        if path in files:
            rows.append(_file(files[path], revision, expand))
        elif any(name.startswith(f"{path}/") for name in files):
            rows.append(_folder(path, revision, expand))
    return rows


def _file(entry: Entry, revision: Revision, expand: bool) -> dict[str, Any]:
    row = {
        "type": "file", "path": entry.path, "size": entry.size, "oid": entry.sha256,
        "lfs": _lfs(entry),
    }  # fmt: skip
    return row | _last(revision) if expand else row


def _folder(path: str, revision: Revision, expand: bool) -> dict[str, Any]:
    row = {"type": "directory", "path": path, "size": 0, "oid": revision.commit}
    return row | _last(revision) if expand else row


def _last(revision: Revision) -> dict[str, Any]:
    return {
        "lastCommit": {
            "id": revision.commit, "title": revision.title, "date": stamp(revision.at),
        }
    }  # fmt: skip


def refs(
    revisions: list[Revision], newest: Revision | None, aliases: dict[str, str]
) -> dict[str, Any]:
    """Branches (`main` and the aliases, with the digests that they point to) and tags."""
    branches = {MAIN: newest.commit} if newest else {}
    branches |= {name: digest[:40] for name, digest in aliases.items()}
    return {
        "branches": [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": commit}
            for name, commit in branches.items()
        ],
        "tags": [
            {
                "name": f"v{one.number}", "ref": f"refs/tags/v{one.number}",
                "targetCommit": one.commit,
            }
            for one in revisions
        ],
        "converts": [],
        "pullRequests": [],
    }  # fmt: skip


def commits(revisions: list[Revision], since: Revision) -> list[dict[str, Any]]:
    """Versions up to one, newest first."""
    return [
        {
            "id": one.commit, "title": one.title, "message": one.notes, "date": stamp(one.at),
            "authors": [{"user": one.author}],
        }
        for one in revisions
        if one.number <= since.number
    ]  # fmt: skip


def whoami(user: Any, token: Any, teams: Iterable[str]) -> dict[str, Any]:
    """`whoami-v2`: who the token stands for."""
    writes = "write" in (token.scopes or [])
    return {
        "type": "user",
        "id": str(user.pk),
        "name": user.email.partition("@")[0],
        "fullname": user.label,
        "email": user.email,
        "isPro": False,
        "orgs": [{"type": "org", "name": team, "isEnterprise": False} for team in teams],
        "auth": {
            "type": "access_token",
            "accessToken": {"displayName": token.name, "role": "write" if writes else "read"},
        },
    }
