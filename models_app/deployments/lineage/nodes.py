"""The things that stand in the lineage, and which of them a person may see.

A node is named `kind:key`: `file:<sha256>`, `dataset_version:3`, `job:7`, `model_version:5`,
`evaluation:2`, `revision:4`, `request:<request id>`.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Model as Row
from django.urls import reverse
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import FieldError, NotFound
from models_app.core.permission import can_see
from models_app.datasets.models import DatasetVersion
from models_app.deployments.models import RequestRecord, Revision
from models_app.jobs.models import Job
from models_app.registry.models import Evaluation, ModelVersion


@dataclass(frozen=True, kw_only=True)
class Node:
    """One thing. `row` is its row; of a file, the dataset version that names it."""

    kind: str
    key: str
    title: str
    row: Any = field(repr=False, compare=False)
    digest: str = ""
    url: str | None = None
    at: Any = None
    facts: dict[str, Any] = field(default_factory=dict, compare=False)

    @property
    def id(self) -> str:
        return f"{self.kind}:{self.key}"

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return {
            "id": self.id, "kind": self.kind, "title": self.title, "digest": self.digest or None,
            "url": self.url, "at": self.at, **self.facts,
        }  # fmt: skip


def node_of(row: Row) -> Node:
    """The node of a row."""
    return _MAKERS[type(row)](row)


def file_nodes(version: DatasetVersion) -> list[Node]:
    """The source files that a dataset version was made of."""
    return [
        Node(
            kind="file", key=entry["sha256"], title=entry["name"], digest=entry["sha256"],
            row=version, facts={"size": entry.get("size")},
        )
        for entry in version.source.get("files", [])
        if entry.get("sha256")
    ]  # fmt: skip


def node_find(actor: Actor, name: str) -> Node:
    """The node of this name; NotFound if it is missing or hidden, FieldError for a bad name."""
    kind, _colon, key = name.partition(":")
    if kind not in _FINDERS or not key or len(key) > 80:
        said = _("Name a node as kind:key, with one of %(kinds)s.")
        raise FieldError("node", said % {"kinds": ", ".join(_FINDERS)})
    if kind not in ("file", "request") and not (key.isascii() and key.isdecimal()):
        raise FieldError("node", _("Use the id, a whole number."))
    if "\0" in key or (key.isdecimal() and kind not in ("file", "request") and len(key) > 18):
        raise NotFound
    found = _FINDERS[kind](actor, key)
    if found is None:
        raise NotFound
    return found


def seen(actor: Actor, nodes: list[Node]) -> list[Node]:
    """Those that the actor may see; of the others nothing is told, not even that they are."""
    return [node for node in nodes if can_see(actor, node.row)]


def _dataset_version(row: DatasetVersion) -> Node:
    return Node(
        kind="dataset_version", key=str(row.pk), title=str(row), row=row, digest=row.digest,
        url=reverse("api_dataset_version", args=[row.pk]), at=row.created_at,
        facts={"state": row.state, "team": row.dataset.team.slug},
    )  # fmt: skip


def _job(row: Job) -> Node:
    return Node(
        kind="job", key=str(row.pk), title=row.title, row=row, digest=row.params_digest,
        url=reverse("api_job_detail", args=[row.pk]), at=row.created_at,
        facts={"state": row.state, "team": row.team.slug, "job_kind": row.kind},
    )  # fmt: skip


def _model_version(row: ModelVersion) -> Node:
    return Node(
        kind="model_version", key=str(row.pk), title=str(row), row=row, digest=row.digest,
        url=reverse("api_model_version", args=[row.pk]), at=row.created_at,
        facts={"state": row.state, "team": row.model.team.slug},
    )  # fmt: skip


def _evaluation(row: Evaluation) -> Node:
    return Node(
        kind="evaluation", key=str(row.pk), title=str(row), row=row, digest=row.scores_sha256,
        url=reverse("api_evaluation", args=[row.pk]), at=row.created_at,
        facts={"team": row.version.model.team.slug},
    )  # fmt: skip


def _revision(row: Revision) -> Node:
    return Node(
        kind="revision", key=str(row.pk), title=str(row), row=row, digest=row.digest,
        url=reverse("api_deployment_revision", args=[row.deployment_id, row.number]),
        at=row.created_at, facts={"state": row.state, "team": row.deployment.team.slug},
    )  # fmt: skip


def _request(row: RequestRecord) -> Node:
    # A call belongs to the team whose revision answered it.
    return Node(
        kind="request", key=row.request_id, title=row.request_id, row=row.revision, at=row.at,
        facts={"status": row.status, "outcome": row.outcome},
    )  # fmt: skip


_MAKERS: dict[type[Row], Callable[[Any], Node]] = {
    DatasetVersion: _dataset_version,
    Job: _job,
    ModelVersion: _model_version,
    Evaluation: _evaluation,
    Revision: _revision,
    RequestRecord: _request,
}


def _by_id(model: Any) -> Callable[[Actor, str], Node | None]:
    def find(actor: Actor, key: str) -> Node | None:
        row = model.objects.visible_to(actor).filter(pk=int(key)).first()
        return node_of(row) if row else None

    return find


def _find_request(actor: Actor, key: str) -> Node | None:
    rows = RequestRecord.objects.filter(request_id=key, revision__isnull=False, mirrored=False)
    row = rows.select_related("revision__deployment__team").order_by("-id").first()
    return node_of(row) if row and can_see(actor, row.revision) else None


def _find_file(actor: Actor, key: str) -> Node | None:
    for version in versions_of_file(actor, key)[:1]:
        return next(node for node in file_nodes(version) if node.key == key)
    return None


def versions_of_file(actor: Actor, sha256: str) -> Any:
    """Dataset versions that were made of this file."""
    rows = DatasetVersion.objects.visible_to(actor).select_related("dataset__team", "produced_by")
    return rows.filter(source__files__contains=[{"sha256": sha256}]).order_by("pk")


_FINDERS: dict[str, Callable[[Actor, str], Node | None]] = {
    "file": _find_file,
    "dataset_version": _by_id(DatasetVersion),
    "job": _by_id(Job),
    "model_version": _by_id(ModelVersion),
    "evaluation": _by_id(Evaluation),
    "revision": _by_id(Revision),
    "request": _find_request,
}
