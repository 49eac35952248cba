"""What a push does to a model, and what to a dataset."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

from models_app.core.actor import Actor
from models_app.core.blobs import Manifest
from models_app.core.trees import Put, Remove
from models_app.datasets import selectors as datasets
from models_app.datasets.models import Dataset
from models_app.datasets.services import dataset_create, version_push
from models_app.registry import selectors as registry
from models_app.registry.models import Model, ModelVersion
from models_app.registry.naming import is_number, version_named
from models_app.registry.services import model_create
from models_app.registry.services.filling import check_waiting
from models_app.registry.services.pushes import draft_of, files_known, push_commit
from models_app.storage.uploads import uploads_known


@dataclass(frozen=True, kw_only=True)
class Received:
    """The digest of the newest state; `standing` asks after the version that is being made."""

    digest: str
    standing: Any = None


class Receiver:
    """One kind of repository. `permission` is what pushing to it needs."""

    permission: ClassVar[str]
    rows: ClassVar[Any]

    @staticmethod
    def create(*, actor: Actor, team: Any, name: str) -> Any:
        """A new, empty repository; Conflict for a taken name."""
        raise NotImplementedError

    @staticmethod
    def waiting(row: Any, name: str) -> Any:
        """The version of this name if it waits for the files that are pushed to it, or None.

        WrongState where there is one that takes no files.
        """
        return None

    @staticmethod
    def tree(row: Any, version: Any = None) -> tuple[Manifest, str]:
        """Files and digest on which a push builds."""
        raise NotImplementedError

    @staticmethod
    def known(row: Any, digests: Sequence[str]) -> dict[str, int]:
        """Stored files that a push may name, with sizes."""
        raise NotImplementedError

    @staticmethod
    def push(
        *, actor: Actor, row: Any, changes: Sequence[Put | Remove], title: str, parent: str,
        version: Any = None,
    ) -> Received:  # fmt: skip
        """Take the changes; for `version`, if one waits for them."""
        raise NotImplementedError


class Models(Receiver):
    """Pushes gather in a draft; a whole model becomes a version."""

    permission = "registry.add_version"
    rows = Model.objects.select_related("team")
    create = staticmethod(model_create)

    @staticmethod
    def waiting(row: Model, name: str) -> ModelVersion | None:
        if not is_number(name):
            return None
        version = version_named(model=row, name=name)
        check_waiting(version)
        return version

    @staticmethod
    def tree(row: Model, version: ModelVersion | None = None) -> tuple[Manifest, str]:
        return draft_of(row, version)

    @staticmethod
    def known(row: Model, digests: Sequence[str]) -> dict[str, int]:
        return files_known(model=row, digests=digests)

    @staticmethod
    def push(
        *, actor: Actor, row: Model, changes: Sequence[Put | Remove], title: str, parent: str,
        version: ModelVersion | None = None,
    ) -> Received:  # fmt: skip
        pushed = push_commit(
            actor=actor, model=row, changes=changes, title=title, parent=parent, version=version
        )
        if pushed.version is None:
            return Received(digest=pushed.digest)
        standing = partial(registry.version_standing, pushed.version.pk)
        return Received(digest=pushed.digest, standing=standing)


class Datasets(Receiver):
    """The data files of a push are imported as a version of their own; its files are JSON lines."""

    permission = "datasets.change_dataset"
    rows = Dataset.objects.select_related("team")
    create = staticmethod(dataset_create)

    @staticmethod
    def tree(row: Dataset, version: Any = None) -> tuple[Manifest, str]:
        newest = row.versions.filter(state="ready").order_by("-number").first()
        return {}, newest.digest if newest else ""

    @staticmethod
    def known(row: Dataset, digests: Sequence[str]) -> dict[str, int]:
        return uploads_known(team_id=row.team_id, digests=digests)

    @staticmethod
    def push(
        *, actor: Actor, row: Dataset, changes: Sequence[Put | Remove], title: str, parent: str,
        version: Any = None,
    ) -> Received:  # fmt: skip
        made = version_push(actor=actor, dataset=row, changes=changes)
        digest = Datasets.tree(row)[1]
        if made is None:
            return Received(digest=digest)
        return Received(digest=digest, standing=partial(datasets.version_standing, made.pk))


RECEIVERS: dict[str, type[Receiver]] = {"models": Models, "datasets": Datasets}
