"""A model or a dataset as a repository of the Hub: revisions, files, tags.

A commit is the first 40 hex digits of a version's tree digest, as clients take 40 hex digits for
final; the tag `v3` is version 3, the branch `main` the newest one that is ready, and every alias of
a model is a branch.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from models_app.core.errors import NotFound, SlipwayError
from models_app.core.permission import require
from models_app.datasets import selectors as datasets
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.registry import selectors as registry
from models_app.registry.cards import card_text
from models_app.registry.models import Model, ModelVersion
from models_app.registry.naming import LATEST, aliases_of, version_named
from models_app.registry.states import VersionState

MAIN = "main"
#: Where clients look for the card of a repository.
CARD = "README.md"
#: Versions that may be named; one that is quarantined is withheld, and says so.
SHOWN = (VersionState.READY, VersionState.QUARANTINED)
#: The commit of a repository in which there is nothing yet.
EMPTY = "0" * 40
_COMMIT = re.compile(r"[0-9a-f]{40}")
_TAG = re.compile(r"v([1-9][0-9]{0,8})")


class Missing(SlipwayError):
    """There is nothing of this name. `code` is the Hub's word for what."""

    status = 404
    title = "Not found"

    def __init__(self, code: str, message: str, commit: str = "") -> None:
        super().__init__(message)
        self.code, self.commit = code, commit


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file of a revision."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One version of a repository. `files` is sorted by path."""

    number: int
    commit: str
    at: Any
    title: str
    notes: str
    author: str
    files: Sequence[Entry] = field(repr=False)
    facts: dict[str, Any] = field(default_factory=dict, repr=False)

    def has(self, path: str) -> bool:
        """Whether there is such a file."""
        return any(entry.path == path for entry in self.files)

    def file(self, path: str) -> Entry:
        """One file, or Missing: clients ask for many that are optional."""
        for entry in self.files:
            if entry.path == path:
                return entry
        if not self.number:
            raise Missing("EntryNotFound", _("There is no usable version yet."), self.commit)
        said = _("%(path)s is not among the files of v%(number)s.")
        values = {"path": path, "number": self.number}
        raise Missing("EntryNotFound", said % values, self.commit)


class Kind:
    """Models or datasets: where their rows are and what may be read."""

    name: ClassVar[str]
    permission: ClassVar[str]
    find: ClassVar[Callable[..., Any]]
    rows: ClassVar[Callable[..., QuerySet[Any]]]

    @staticmethod
    def versions(row: Any) -> QuerySet[Any]:
        """Versions that clients may name, newest first."""
        raise NotImplementedError

    @staticmethod
    def named(row: Any, name: str) -> Any:
        """The version that a branch, tag or commit names, in whatever state; or None."""
        raise NotImplementedError

    @staticmethod
    def branches(row: Any) -> dict[str, str]:
        """Aliases and the digests to which they point."""
        return {}

    @staticmethod
    def revision(version: Any) -> Revision:
        """A version in the Hub's words."""
        raise NotImplementedError


class Models(Kind):
    name = "models"
    permission = "registry.view_model"
    find = staticmethod(registry.model_named)
    rows = staticmethod(registry.model_list)

    @staticmethod
    def versions(row: Model) -> QuerySet[ModelVersion]:
        return row.versions.filter(state__in=SHOWN).select_related("produced_by__created_by")

    @staticmethod
    def named(row: Model, name: str) -> ModelVersion | None:
        try:
            return version_named(model=row, name=LATEST if name == MAIN else name)
        except NotFound:
            return None

    @staticmethod
    def branches(row: Model) -> dict[str, str]:
        return {alias.name: alias.version.digest for alias in aliases_of(row)}

    @staticmethod
    def revision(version: ModelVersion) -> Revision:
        return _revision(version, version.ready_at or version.created_at, version.notes)


class Datasets(Kind):
    name = "datasets"
    permission = "datasets.view_dataset"
    find = staticmethod(datasets.dataset_named)
    rows = staticmethod(datasets.dataset_list)

    @staticmethod
    def versions(row: Dataset) -> QuerySet[DatasetVersion]:
        return row.versions.filter(state="ready").select_related("produced_by__created_by")

    @staticmethod
    def named(row: Dataset, name: str) -> DatasetVersion | None:
        rows, tag = Datasets.versions(row).order_by("-number"), _TAG.fullmatch(name)
        if name == MAIN:
            return rows.first()
        if tag:
            return rows.filter(number=int(tag[1])).first()
        return rows.filter(digest__startswith=name).first() if _COMMIT.fullmatch(name) else None

    @staticmethod
    def revision(version: DatasetVersion) -> Revision:
        return _revision(version, version.created_at, "")


KINDS: dict[str, type[Kind]] = {kind.name: kind for kind in (Models, Datasets)}


@dataclass(frozen=True, kw_only=True)
class Repo:
    """A model or dataset that the caller may read."""

    kind: type[Kind]
    row: Any

    @property
    def id(self) -> str:
        return f"{self.row.team.slug}/{self.row.name}"

    def revisions(self) -> list[Revision]:
        """Newest first, without those that are kept from use."""
        rows = self.kind.versions(self.row).exclude(state="quarantined").order_by("-number")
        return [self.kind.revision(row) for row in rows]

    def newest(self) -> Revision | None:
        """What `main` names, if there is anything yet."""
        version = self.kind.named(self.row, MAIN)
        return self.kind.revision(version) if version else None

    def revision(self, name: str) -> Revision:
        """The version that a branch, tag or commit names, or Missing."""
        plain = name.removeprefix("refs/heads/").removeprefix("refs/tags/")
        version = self.kind.named(self.row, plain)
        if version is not None and version.state not in SHOWN:
            version = None
        if version is None and name in (MAIN, f"refs/heads/{MAIN}", EMPTY):
            return self._empty()
        if version is None:
            said = _("%(repo)s has no revision %(name)s. Use main, an alias, or a version: v1.")
            values = {"repo": self.id, "name": name}
            raise Missing("RevisionNotFound", said % values)
        if version.state == "quarantined":
            raise Withheld(_("%(version)s is quarantined.") % {"version": version})
        return self.kind.revision(version)

    def card(self, revision: Revision) -> str:
        """The generated card of a version of a model; empty for datasets."""
        if not isinstance(self.row, Model):
            return ""
        return card_text(version_named(model=self.row, name=f"v{revision.number}"))

    def _empty(self) -> Revision:
        """A repository without any version is there all the same, only empty."""
        return Revision(
            number=0, commit=EMPTY, at=self.row.created_at, title="", notes="", author="",
            files=[],
        )  # fmt: skip


class Withheld(SlipwayError):
    """The version exists and is kept from use."""

    status = 403
    code = "withheld"
    title = "Withheld"


def repo_find(*, actor: Any, kind: str, team: str, name: str) -> Repo:
    """One repository, or Missing, also where the caller may not know of it."""
    known = KINDS[kind]
    try:
        row = known.find(actor=actor, team=team, name=name)
    except SlipwayError as error:
        raise Missing("RepoNotFound", error.message) from None
    require(actor, known.permission, row)
    return Repo(kind=known, row=row)


def repo_list(
    *, actor: Any, kind: str, team: str = "", name: str = "", limit: int = 100
) -> list[Repo]:
    """Those that the caller sees, newest first."""
    known = KINDS[kind]
    rows = known.rows(actor=actor, team=team, name=name)[:limit]
    return [
        Repo(kind=known, row=row) for row in rows if actor.has_perm(known.permission, row)
    ]  # fmt: skip


def _revision(version: Any, at: Any, notes: str) -> Revision:
    author = version.produced_by and version.produced_by.created_by
    return Revision(
        number=version.number,
        commit=version.digest[:40],
        at=at,
        title=str(version),
        notes=notes,
        author=author.email.partition("@")[0] if author else "slipway",
        files=[
            Entry(path=path, sha256=entry["sha256"], size=entry["size"])
            for path, entry in sorted(version.manifest.items())
        ],
        facts=getattr(version, "facts", {}),
    )
