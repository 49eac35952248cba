"""Reads datasets and their versions, filtered by what the actor may see."""

import json
from collections.abc import Iterator
from itertools import islice
from typing import Any

from django.db.models import Count, Max, QuerySet
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.blobs import blob_open
from models_app.core.errors import FieldError
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.quality import index_place
from models_app.datasets.states import VersionState

SPLITS = ("train", "validation")
MOST_ROWS = 500
#: What is shown of a version beside itself.
RELATED = ("dataset__team", "produced_by", "quality", "parent__dataset", "config_revision__config")


def dataset_list(*, actor: Actor, team: str = "", name: str = "") -> QuerySet[Dataset]:
    """Newest first, each with `num_versions` and `changed_at`, when the last version was made."""
    rows = Dataset.objects.visible_to(actor).select_related("team", "created_by")
    if team:
        rows = rows.filter(team__slug=team)
    if name:
        rows = rows.filter(name__icontains=name)
    return rows.annotate(
        num_versions=Count("versions"), changed_at=Max("versions__created_at")
    ).order_by("-id")


def dataset_get(*, actor: Actor, dataset_id: int) -> Dataset:
    """One dataset, or NotFound."""
    return Dataset.objects.select_related("team", "created_by").get_visible(actor, pk=dataset_id)


def dataset_named(*, actor: Actor, team: str, name: str) -> Dataset:
    """One dataset by the names in its address, or NotFound."""
    rows = Dataset.objects.select_related("team", "created_by")
    return rows.get_visible(actor, team__slug=team, name=name)


def version_standing(version_id: int) -> tuple[str, str, str]:
    """State, error and digest of a version, for whoever waits for it."""
    return DatasetVersion.objects.values_list("state", "error", "digest").get(pk=version_id)


def version_list(
    *, actor: Actor, dataset: Dataset | None = None, state: str = ""
) -> QuerySet[DatasetVersion]:
    """Versions, newest first."""
    rows = DatasetVersion.objects.visible_to(actor).select_related(*RELATED)
    if dataset is not None:
        rows = rows.filter(dataset=dataset)
    if state:
        rows = rows.filter(state=state)
    return rows.order_by("-id")


def version_get(*, actor: Actor, version_id: int) -> DatasetVersion:
    """One version, or NotFound."""
    return DatasetVersion.objects.select_related(*RELATED).get_visible(actor, pk=version_id)


def version_numbered(*, actor: Actor, team: str, name: str, number: int) -> DatasetVersion:
    """One version by the names in its address, or NotFound."""
    rows = DatasetVersion.objects.select_related(*RELATED, "produced_by__created_by")
    return rows.get_visible(actor, dataset__team__slug=team, dataset__name=name, number=number)


def versions_newest(*, actor: Actor, datasets: Any, state: str = "") -> dict[int, DatasetVersion]:
    """The newest version of each dataset, by the dataset's id; without what is large in it."""
    rows = DatasetVersion.objects.visible_to(actor).filter(dataset__in=datasets)
    if state:
        rows = rows.filter(state=state)
    newest = rows.order_by("dataset_id", "-number").distinct("dataset_id")
    return {row.dataset_id: row for row in newest.defer("manifest", "preview", "source")}


def versions_ready(*, actor: Actor, team: Any = None) -> QuerySet[DatasetVersion]:
    """What can be trained on."""
    rows = version_list(actor=actor, state=VersionState.READY)
    return rows if team is None else rows.filter(dataset__team=team)


def split_files(version: DatasetVersion, split: str) -> list[tuple[str, dict[str, Any]]]:
    """The shards of a split in order: (path, {sha256, size})."""
    return sorted(
        (path, entry) for path, entry in version.manifest.items() if path.startswith(f"{split}/")
    )


def version_rows(
    *, version: DatasetVersion, split: str = "train", offset: int = 0, limit: int = 50
) -> list[dict[str, Any]]:
    """Documents `offset`… of a split, each with its `index`."""
    if split not in SPLITS:
        raise FieldError("split", _("Choose one of %(known)s.") % {"known": ", ".join(SPLITS)})
    if not 0 <= offset <= 10**12:
        raise FieldError("offset", _("Use a whole number from 0."))
    if not 1 <= limit <= MOST_ROWS:
        raise FieldError("limit", _("Use a number from 1 to %(most)s.") % {"most": MOST_ROWS})
    lines = islice(lines_from(version, split, offset), limit)
    return [{"index": offset + place, **json.loads(line)} for place, line in enumerate(lines)]


def lines_from(version: DatasetVersion, split: str, offset: int) -> Iterator[bytes]:
    """The stored lines of a split from `offset` on; an index, where a check made one, saves reading
    what is before.
    """
    start_file, start_byte, passed = index_place(version, split, offset)
    lines = _lines(version, split, start_file, start_byte)
    return islice(lines, offset - passed, None)


def _lines(
    version: DatasetVersion, split: str, start_file: str, start_byte: int
) -> Iterator[bytes]:
    for path, entry in split_files(version, split):
        name = path.rsplit("/", 1)[1]
        if name < start_file:
            continue
        with blob_open(entry["sha256"]) as stream:
            if name == start_file:
                stream.seek(start_byte)
            yield from (line for line in stream if line.strip())
