"""What the Hub's clients ask when they push: repositories, uploads and commits.

What a commit does to a model and to a dataset is in `receivers`.
"""

import json
from typing import Any
from urllib.parse import quote

from django.core import signing
from django.utils.translation import gettext as _

from console.access.tokens import token_get
from console.hf.asking import Answer, Asked, Waiting
from console.hf.commits import Commit, read_commit
from console.hf.receivers import RECEIVERS, Receiver
from console.hf.repos import CARD, EMPTY, MAIN, Repo
from console.transfer.call import Refused
from models_app.core.blobs import blob_open
from models_app.core.errors import Conflict, FieldError, PermissionDenied
from models_app.core.permission import require
from models_app.core.teams import team_named
from models_app.core.trees import Put, Remove
from models_app.registry.cards import is_generated
from models_app.registry.models import Model
from models_app.registry.naming import is_number, version_named
from models_app.registry.services import alias_delete, alias_set
from models_app.storage.uploads import uploads_note

#: Up to here a file may come inside the commit; larger ones are sent before it.
REGULAR = 5 << 20
#: The same for clients of 2.x, whose other way (Xet) is not spoken here.
REGULAR_2 = 512 << 20
#: How long an address for an upload is good for, in seconds.
UPLOAD_S = 6 * 3600
#: A README.md that is larger is somebody's own.
LARGEST_CARD = 1 << 20
_SALT = "hf-upload"


def create(asked: Asked) -> Answer:
    """`create_repo`: a model or a dataset without versions."""
    given = _json(asked)
    team, name = str(given.get("organization") or ""), str(given.get("name") or "")
    if not team:
        said = _("Say whose it is: team/%(name)s.")
        raise FieldError("organization", said % {"name": name or "name"})
    kind = f"{given.get('type') or 'model'}s"
    if kind not in RECEIVERS:
        raise FieldError("type", _("There are models and datasets here, nothing else."))
    row = team_named(asked.user, team, "organization")
    repo_id = f"{team}/{name}" if kind == "models" else f"{kind}/{team}/{name}"
    told = {"url": _address(asked, repo_id), "name": f"{team}/{name}"}
    try:
        made = RECEIVERS[kind].create(actor=asked.user, team=row, name=name)
    except Conflict as error:
        return Answer(data={**told, "error": error.message}, status=409)
    return Answer(data={**told, "id": f"{kind}-{made.pk}"})


def _address(asked: Asked, repo_id: str) -> str:
    """Where a repository is; clients of 0.x cannot take apart an address with a path before it."""
    return repo_id if "hf_hub/0." in asked.agent else f"{asked.origin}/hf/{repo_id}"


def _path(repo: Repo) -> str:
    return repo.id if repo.kind.name == "models" else f"{repo.kind.name}/{repo.id}"


def check_card(asked: Asked) -> Answer:
    """`validate-yaml`: the front matter is checked together with the other files."""
    return Answer(data={"errors": [], "warnings": []})


def preupload(repo: Repo, asked: Asked) -> Answer:
    """How each file shall come: inside the commit, or before it."""
    receiver, version = _receiver(repo, asked)
    here, digest = receiver.tree(repo.row, version)
    limit = REGULAR_2 if "hf_hub/2." in asked.agent else REGULAR
    if repo.kind.name == "datasets":
        limit = 0  # `datasets` removes each file when it believes that it was sent
    if version is not None or not _tells_unchanged(repo, asked, digest):
        here = {}
    rows = []
    for file in _list(_json(asked), "files"):
        path, size = str(file.get("path")), int(file.get("size", 0))
        inside = size <= limit or path.endswith(".md")
        rows.append({
            "path": path, "uploadMode": "regular" if inside else "lfs",
            "shouldIgnore": False, "oid": here[path]["sha256"] if path in here else None,
        })  # fmt: skip
    return Answer(data={"files": rows, "commitOid": digest[:40]})


def _tells_unchanged(repo: Repo, asked: Asked, digest: str) -> bool:
    """Whether the client may leave out what it pushed already.

    It then asks for `main`, so that must be the same state; and clients of 0.x cannot take apart
    the address of that commit.
    """
    newest = repo.newest()
    return bool(newest and digest.startswith(newest.commit)) and "hf_hub/0." not in asked.agent


def refuse_xet(repo: Repo, asked: Asked) -> Answer:
    """Clients of 2.x ask for this where a file does not come inside the commit."""
    said = _("Set HF_HUB_DISABLE_XET=1: this console takes large files, and datasets, by LFS.")
    raise Refused(400, "unsupported", said)


def batch(repo: Repo, asked: Asked) -> Answer:
    """git-lfs batch: where to send each file; nothing for those that are here already.

    https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md
    """
    (receiver, _version), given = _receiver(repo, asked), _json(asked)
    if given.get("operation") != "upload":
        raise FieldError("operation", _("Files are fetched by /resolve/, not by LFS."))
    files = _list(given, "objects")
    known = receiver.known(repo.row, [str(file.get("oid")) for file in files])
    rows = [_action(repo, asked, file, known) for file in files]
    data = {"transfer": "basic", "objects": rows, "hash_algo": "sha256"}
    return Answer(data=data, kind="application/vnd.git-lfs+json")


def _action(
    repo: Repo, asked: Asked, file: dict[str, Any], known: dict[str, int]
) -> dict[str, Any]:
    oid, size = str(file.get("oid")), int(file.get("size", -1))
    if len(oid) != 64 or set(oid) - set("0123456789abcdef") or size < 0:
        error = {"code": 422, "message": "oid: give a sha256 in lower-case hex, and a size."}
        return {"oid": oid[:64], "size": size, "error": error}
    if known.get(oid) == size:
        return {"oid": oid, "size": size}
    claim = {
        "kind": repo.kind.name,
        "row": repo.row.pk,
        "token": asked.user.auth_token.pk,
        "oid": oid,
        "size": size,
    }
    key = quote(signing.dumps(claim, salt=_SALT), safe="")
    href = f"{asked.origin}/hf/{_path(repo)}.git/info/lfs/objects/{oid}?key={key}"
    upload = {"href": href, "expires_in": UPLOAD_S}
    return {"oid": oid, "size": size, "authenticated": True, "actions": {"upload": upload}}


def upload_claim(asked: Asked) -> dict[str, Any]:
    """What an address for an upload allows, if it is ours and its token still counts."""
    try:
        claim: dict[str, Any] = signing.loads(asked.text("key"), salt=_SALT, max_age=UPLOAD_S)
    except signing.BadSignature:
        raise PermissionDenied(_("This address for an upload has expired. Push again.")) from None
    if claim["oid"] != asked.route.path:
        raise PermissionDenied(_("This address is for another file."))
    _uploader(claim)
    return claim


def upload_done(claim: dict[str, Any]) -> None:
    """The file is stored: it is kept for the commit that follows."""
    user, row = _uploader(claim)
    uploads_note(actor=user, team=row.team, files=[(claim["oid"], claim["size"])])


def _uploader(claim: dict[str, Any]) -> tuple[Any, Any]:
    token, receiver = token_get(claim["token"]), RECEIVERS[claim["kind"]]
    row = receiver.rows.filter(pk=claim["row"]).first()
    if token is None or row is None:
        raise PermissionDenied(_("The token of this upload does not count any more."))
    token.user.auth_token = token
    require(token.user, receiver.permission, row)
    return token.user, row


def point(repo: Repo, asked: Asked) -> Answer:
    """Make, move or take away an alias: the console's kind of tag and branch that people name.

    A tag is named in the body and its revision in the address, a branch the other way round.
    """
    if not isinstance(repo.row, Model):
        raise PermissionDenied(_("Versions of datasets have no aliases. Name them: v1."))
    model = repo.row
    named, is_tag = asked.route.revision, asked.route.what == "tag"
    if asked.method == "DELETE":
        alias_delete(actor=asked.user, model=model, name=named)
        return Answer(data={})
    given = _json(asked) if asked.body else {}
    name = str(given.get("tag", "")) if is_tag else named
    if is_number(name) and repo.kind.named(model, name) is not None:
        # Clients make the branch to which they push before they do.
        said = _("%(name)s is a version already.")
        raise Conflict(said % {"name": name}, field="tag" if is_tag else "branch")
    start = named if is_tag else str(given.get("startingPoint") or MAIN)
    if name in repo.kind.branches(model) and not given.get("force"):
        said = _("There is an alias %(name)s already. Move it in the console or by its API.")
        raise Conflict(said % {"name": name}, field="tag" if is_tag else "branch")
    number = repo.revision(start).number
    version = version_named(model=model, name=f"v{number}")
    reason = str(given.get("message") or "")
    alias_set(actor=asked.user, model=model, name=name, version=version, reason=reason)
    return Answer(data={})


def commit(repo: Repo, asked: Asked) -> Answer | Waiting:
    """Take what is pushed; wait for the version, if one is made."""
    receiver, version = _receiver(repo, asked)
    if asked.flag("create_pr") and asked.text("create_pr"):
        raise FieldError("create_pr", _("There are no pull requests here. Push to main."))
    assert asked.file is not None
    given = read_commit(asked.file)
    uploads_note(actor=asked.user, team=repo.row.team, files=given.sent)
    changes = [change for change in given.changes if not _is_own_card(change, given)]
    received = receiver.push(
        actor=asked.user, row=repo.row, changes=changes, title=given.title or "push",
        parent=given.parent, version=version,
    )  # fmt: skip

    def told(digest: str) -> Answer:
        oid = digest[:40] or EMPTY
        address = f"{_address(asked, _path(repo))}/commit/{oid}"
        data = {"success": True, "commitOid": oid, "commitUrl": address, "hookOutput": ""}
        return Answer(data=data)

    if received.standing is None:
        return told(received.digest)
    return Waiting(standing=received.standing, told=told, digest=received.digest)


def _is_own_card(change: Put | Remove, given: Commit) -> bool:
    """Whether it is the card that we made: clients fetch it, add a tag and push it back.

    Kept as a file its figures would never change again. Only what came inside the commit is looked
    at: the rest is not known to be the sender's.
    """
    if not isinstance(change, Put) or change.path != CARD or change.size > LARGEST_CARD:
        return False
    if (change.sha256, change.size) not in given.sent:
        return False
    with blob_open(change.sha256) as file:
        return is_generated(file.read().decode("utf-8", "replace"))


def _receiver(repo: Repo, asked: Asked) -> tuple[type[Receiver], Any]:
    """What takes the push, and the version for which it is, if one waits for its files."""
    receiver, name = RECEIVERS[repo.kind.name], asked.route.revision.removeprefix("refs/heads/")
    require(asked.user, receiver.permission, repo.row)
    version = None if name == MAIN else receiver.waiting(repo.row, name)
    if name != MAIN and version is None:
        said = _(
            "Push to main: each push of a whole model becomes a version of its own. Of other names"
            " only versions that wait for their files take any, such as v4."
        )
        raise FieldError("revision", said)
    return receiver, version


def _json(asked: Asked) -> dict[str, Any]:
    try:
        given = json.loads(asked.body)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise Refused(400, "invalid_input", "Send a JSON object.")
    return given


def _list(given: dict[str, Any], name: str) -> list[dict[str, Any]]:
    rows = given.get(name)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise Refused(400, "invalid_input", f"{name}: give a list of objects.")
    return rows
