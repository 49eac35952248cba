"""What each route answers, in a thread with a database connection."""

import json
from collections.abc import Callable
from urllib.parse import parse_qs

from django.utils.translation import gettext as _

from console.hf import pushing, shapes
from console.hf.asking import Answer, Asked, File, Text, Waiting
from console.hf.repos import CARD, Missing, Repo, repo_find, repo_list
from console.transfer.call import Refused
from models_app.core.teams import team_rows

#: Rows of a listing in one answer; what follows is at the address in `Link`.
PAGE = 1000


def answer(asked: Asked) -> Answer | File | Text | Waiting:
    """The answer of a route. Raises SlipwayError (Missing among them) or Refused."""
    route = asked.route
    if route.what in GENERAL:
        return GENERAL[route.what](asked)
    repo = repo_find(actor=asked.user, kind=route.kind, team=route.team, name=route.name)
    return ANSWERS[route.what](repo, asked)


def _whoami(asked: Asked) -> Answer:
    teams = team_rows(asked.user).values_list("slug", flat=True)
    return Answer(data=shapes.whoami(asked.user, asked.user.auth_token, teams))


def _list(asked: Asked) -> Answer:
    repos = repo_list(
        actor=asked.user, kind=asked.route.kind, team=asked.text("author"),
        name=asked.text("search"), limit=asked.number("limit", 100, PAGE),
    )  # fmt: skip
    rows = []
    for repo in repos:
        row = shapes.repo_info(repo, repo.newest())
        row.pop("siblings", None)
        rows.append(row)
    return Answer(data=rows)


def _info(repo: Repo, asked: Asked) -> Answer:
    revision = repo.revision(asked.route.revision)
    return Answer(data=shapes.repo_info(repo, revision, blobs=asked.flag("blobs")))


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
    branches = repo.kind.branches(repo.row)
    return Answer(data=shapes.refs(repo.revisions(), repo.newest(), branches))


def _commits(repo: Repo, asked: Asked) -> Answer:
    return Answer(data=shapes.commits(repo.revisions(), repo.revision(asked.route.revision)))


def _may_read(repo: Repo, asked: Asked) -> Answer:
    return Answer(data={"status": "ok"})


def _file(repo: Repo, asked: Asked) -> File | Text:
    revision = repo.revision(asked.route.revision)
    if asked.route.path == CARD and revision.number and not revision.has(CARD):
        card = repo.card(revision)
        if card:
            return Text(data=card.encode(), commit=revision.commit)
    return File(entry=revision.file(asked.route.path), commit=revision.commit)


GENERAL: dict[str, Callable[[Asked], Answer]] = {
    "whoami": _whoami,
    "list": _list,
    "create": pushing.create,
    "validate-yaml": pushing.check_card,
}
ANSWERS: dict[str, Callable[[Repo, Asked], Answer | File | Text | Waiting]] = {
    "info": _info,
    "tree": _tree,
    "paths-info": _paths,
    "refs": _refs,
    "commits": _commits,
    "auth-check": _may_read,
    "resolve": _file,
    "preupload": pushing.preupload,
    "xet-write-token": pushing.refuse_xet,
    "batch": pushing.batch,
    "commit": pushing.commit,
    "tag": pushing.point,
    "branch": pushing.point,
}
