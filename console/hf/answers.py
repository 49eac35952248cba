"""What each route answers, in a thread with a database connection."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from django.utils.translation import gettext as _

from console.access.models import Team
from console.hf import shapes
from console.hf.repos import MAIN, Entry, Missing, Repo, Revision, repo_find, repo_list
from console.hf.routes import Route
from console.transfer.call import Refused

#: Rows of a listing in one answer; what follows is at the address in `Link`.
PAGE = 1000
Query = dict[str, list[str]]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request of a known caller. `origin` is where it reached us: scheme, host and port."""

    route: Route
    origin: str
    query: Query
    body: bytes

    def flag(self, name: str) -> bool:
        return self.query.get(name, ["false"])[-1].lower() in ("true", "1", "")

    def text(self, name: str) -> str:
        return self.query.get(name, [""])[-1]

    def number(self, name: str, default: int, most: int) -> int:
        text = self.text(name)
        return min(int(text), most) if text.isdecimal() and len(text) < 10 else default


@dataclass(frozen=True, kw_only=True)
class Answer:
    """JSON, and where the next page is."""

    data: Any
    link: str = ""


@dataclass(frozen=True, kw_only=True)
class File:
    """A file to send."""

    entry: Entry
    commit: str


def answer(user: Any, asked: Asked) -> Answer | File:
    """The answer of a route; Missing, PermissionDenied or Refused."""
    route = asked.route
    if route.what == "whoami":
        return Answer(data=shapes.whoami(user, user.auth_token, _teams(user)))
    if route.what == "list":
        return _list(user, asked)
    repo = repo_find(actor=user, kind=route.kind, team=route.team, name=route.name)
    return ANSWERS[route.what](repo, asked)


def _teams(user: Any) -> list[str]:
    seen = user.visible_team_ids()
    rows = Team.objects.all() if seen is None else Team.objects.filter(pk__in=seen)
    return list(rows.values_list("slug", flat=True))


def _list(user: Any, asked: Asked) -> Answer:
    repos = repo_list(
        actor=user, kind=asked.route.kind, team=asked.text("author"), name=asked.text("search"),
        limit=asked.number("limit", 100, PAGE),
    )  # fmt: skip
    rows = []
    for repo in repos:
        row = shapes.repo_info(repo, repo.newest())
        row.pop("siblings", None)
        rows.append(row)
    return Answer(data=rows)


def _info(repo: Repo, asked: Asked) -> Answer:
    revision = _revision_or_empty(repo, asked.route.revision)
    return Answer(data=shapes.repo_info(repo, revision, blobs=asked.flag("blobs")))


def _revision_or_empty(repo: Repo, name: str) -> Revision | None:
    """A repository without any version is there all the same, only empty."""
    try:
        return repo.revision(name)
    except Missing:
        if name == MAIN and repo.newest() is None:
            return None
        raise


def _tree(repo: Repo, asked: Asked) -> Answer:
    revision, folder = repo.revision(asked.route.revision), asked.route.path
    rows = shapes.tree(
        revision, folder, recursive=asked.flag("recursive"), expand=asked.flag("expand")
    )
    if rows is None:
        said = _("%(path)s is not among the files of v%(number)s.")
        values = {"path": folder, "number": revision.number}
        raise Missing("EntryNotFound", said % values, revision.commit)
    begin = asked.number("cursor", 0, len(rows))
    size = asked.number("limit", PAGE, PAGE) or PAGE
    end = begin + size
    link = ""
    if end < len(rows):
        flags = "".join(f"&{name}=true" for name in ("recursive", "expand") if asked.flag(name))
        path = f"/{folder}" if folder else ""
        base = f"{asked.origin}/hf/api/{repo.kind.name}/{repo.id}"
        address = f"{base}/tree/{revision.commit}{path}?cursor={end}&limit={size}{flags}"
        link = f'<{address}>; rel="next"'
    return Answer(data=rows[begin:end], link=link)


def _paths(repo: Repo, asked: Asked) -> Answer:
    """Clients send a form, or JSON."""
    try:
        given = json.loads(asked.body)
    except ValueError:
        form = parse_qs(asked.body.decode("utf-8", "replace"))
        given = {"paths": form.get("paths", []), "expand": form.get("expand") == ["true"]}
    paths = given.get("paths") if isinstance(given, dict) else None
    if isinstance(paths, str):
        paths = [paths]
    if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
        raise Refused(400, "invalid_input", "paths: give a list of paths.")
    expand = str(given.get("expand", False)).lower() == "true"
    revision = repo.revision(asked.route.revision)
    return Answer(data=shapes.paths_info(revision, paths, expand=expand))


def _refs(repo: Repo, asked: Asked) -> Answer:
    return Answer(data=shapes.refs(repo.revisions(), repo.aliases()))


def _commits(repo: Repo, asked: Asked) -> Answer:
    return Answer(data=shapes.commits(repo.revisions(), repo.revision(asked.route.revision)))


def _may_read(repo: Repo, asked: Asked) -> Answer:
    return Answer(data={"status": "ok"})


def _file(repo: Repo, asked: Asked) -> File:
    revision = repo.revision(asked.route.revision)
    return File(entry=revision.file(asked.route.path), commit=revision.commit)


ANSWERS: dict[str, Callable[[Repo, Asked], Answer | File]] = {
    "info": _info,
    "tree": _tree,
    "paths-info": _paths,
    "refs": _refs,
    "commits": _commits,
    "auth-check": _may_read,
    "resolve": _file,
}
