"""What is done to datasets: made, described, given versions; what an import brings about."""

from collections.abc import Sequence
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Max
from django.utils.translation import gettext as _

from models_app.audit.services import audit_record
from models_app.core.actor import SYSTEM, Actor
from models_app.core.digests import tree_digest
from models_app.core.errors import Conflict, FieldError, WrongState
from models_app.core.names import clean_slug, clean_text
from models_app.core.permission import require
from models_app.core.states import advance
from models_app.core.trees import Put, Remove, tree_changed
from models_app.datasets.checking import quality_check_submit
from models_app.datasets.importing import (
    MOST_FILES,
    ImportOptions,
    check_file_name,
    import_files,
    is_held_out,
    is_importable,
    parameters_of,
)
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.states import ALLOWED, VersionState
from models_app.events.publish import publish_on_commit
from models_app.jobs.idempotency import job_with_key
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit
from models_app.storage.uploads import uploads_known, uploads_use


@transaction.atomic
def dataset_create(*, actor: Actor, team: Any, name: str, description: str = "") -> Dataset:
    """A new, empty dataset. Raises FieldError for a bad name, Conflict for a taken one."""
    require(actor, "datasets.add_dataset", team)
    name = clean_slug(name)
    try:
        with transaction.atomic():
            dataset = Dataset.objects.create(
                team=team,
                name=name,
                description=clean_text(description, "description"),
                created_by_id=actor.pk,
            )
    except IntegrityError:
        said = _("The team has a dataset called %(name)r already.") % {"name": name}
        raise Conflict(said, field="name") from None
    audit_record(actor=actor, action="dataset.created", obj=dataset, changes={"name": name})
    publish_on_commit("dataset.changed", {"id": dataset.pk}, f"team.{team.pk}")
    return dataset


@transaction.atomic
def dataset_describe(*, actor: Actor, dataset: Dataset, description: str) -> Dataset:
    """Change what is said about a dataset."""
    require(actor, "datasets.change_dataset", dataset)
    old, dataset.description = dataset.description, clean_text(description, "description")
    dataset.save(update_fields=["description"])
    changes = {"from": old[:200], "to": dataset.description[:200]}
    audit_record(actor=actor, action="dataset.described", obj=dataset, changes=changes)
    _announce(dataset)
    return dataset


@transaction.atomic
def version_import_files(
    *,
    actor: Actor,
    dataset: Dataset,
    files: Sequence[dict[str, Any]],
    options: ImportOptions | None = None,
    idempotency_key: str | None = None,
) -> DatasetVersion:
    """Make a version of uploaded files: each `{"name", "sha256", "size"}`, stored as blobs."""
    require(actor, "datasets.change_dataset", dataset)
    names = _checked_names(files)
    entries = [
        {"name": name, "sha256": file["sha256"], "size": file["size"]}
        for name, file in zip(names, files, strict=True)
    ]
    source = {"kind": "upload", "files": sorted(entries, key=lambda entry: entry["name"])}
    return _version_start(actor, dataset, source, options, idempotency_key)


@transaction.atomic
def version_import_uploads(
    *,
    actor: Actor,
    dataset: Dataset,
    uploads: Sequence[Any],
    options: ImportOptions | None = None,
    idempotency_key: str | None = None,
) -> DatasetVersion:
    """Make a version of finished uploads of the dataset's team, by their keys."""
    require(actor, "datasets.change_dataset", dataset)
    files = uploads_use(actor=actor, team=dataset.team, keys=uploads)
    return version_import_files(
        actor=actor, dataset=dataset, files=files, options=options, idempotency_key=idempotency_key
    )


@transaction.atomic
def version_push(
    *, actor: Actor, dataset: Dataset, changes: Sequence[Put | Remove]
) -> DatasetVersion | None:
    """Make a version of the data files that a push brings; None where it brings none.

    Files that are named validation, valid, val, dev or test are held out; where none is, as many
    documents are as in any import.
    """
    require(actor, "datasets.change_dataset", dataset)
    puts = [change for change in changes if isinstance(change, Put)]
    digests = [put.sha256 for put in puts]
    known = uploads_known(team_id=dataset.team_id, digests=digests)
    pushed = tree_changed({}, puts, known)
    data = {path: file for path, file in pushed.items() if is_importable(path)}
    if not data:
        return None
    files = [{"name": path.replace("/", "-"), **file} for path, file in data.items()]
    split: Any = "named" if any(is_held_out(path) for path in data) else "random"
    options = ImportOptions(split=split)
    return version_import_files(actor=actor, dataset=dataset, files=files, options=options)


@transaction.atomic
def version_import_path(
    *,
    actor: Actor,
    dataset: Dataset,
    path: str,
    options: ImportOptions | None = None,
    idempotency_key: str | None = None,
    rerun_of: Job | None = None,
) -> DatasetVersion:
    """Make a version of a file or a directory inside the server's import directory."""
    require(actor, "datasets.change_dataset", dataset)
    entries = [{"name": name, "size": file.stat().st_size} for name, file in import_files(path)]
    source = {"kind": "path", "path": path.strip(), "files": entries}
    return _version_start(actor, dataset, source, options, idempotency_key, rerun_of)


@transaction.atomic
def dataset_create_imported(
    *,
    actor: Actor,
    team: Any,
    name: str,
    description: str = "",
    files: Sequence[dict[str, Any]] | None = None,
    path: str = "",
    options: ImportOptions | None = None,
    idempotency_key: str | None = None,
) -> DatasetVersion:
    """A new dataset with its first version, of uploaded `files` or else of `path`; both or none."""
    dataset = dataset_create(actor=actor, team=team, name=name, description=description)
    if files is not None:
        return version_import_files(
            actor=actor, dataset=dataset, files=files, options=options,
            idempotency_key=idempotency_key,
        )  # fmt: skip
    return version_import_path(
        actor=actor, dataset=dataset, path=path, options=options, idempotency_key=idempotency_key
    )


@transaction.atomic
def version_reimport(
    *, actor: Actor, version: DatasetVersion, options: ImportOptions | None = None
) -> DatasetVersion:
    """A new version from the same files, with the same options or with others."""
    require(actor, "datasets.change_dataset", version)
    source = {k: v for k, v in version.source.items() if k in {"kind", "path", "files"}}
    if version.state == VersionState.PENDING:
        said = _("Wait until this version is imported; then it can be imported again.")
        raise WrongState(said)
    if source.get("kind") == "prepare":
        said = _("This version was prepared from another one: prepare that one again.")
        raise WrongState(said)
    options = options or ImportOptions(**parameters_of(version.source))
    if source.get("kind") == "path":
        return version_import_path(
            actor=actor, dataset=version.dataset, path=source["path"], options=options,
            rerun_of=version.produced_by,
        )  # fmt: skip
    return _version_start(actor, version.dataset, source, options, None, version.produced_by)


def _checked_names(files: Sequence[dict[str, Any]]) -> list[str]:
    """The plain names of uploaded files, or FieldError for what cannot be imported."""
    if not files:
        raise FieldError("files", _("Choose at least one file."))
    if len(files) > MOST_FILES:
        said = _("At most %(most)s files at once.") % {"most": f"{MOST_FILES:,}"}
        raise FieldError("files", said)
    names = [check_file_name(file["name"]) for file in files]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        said = _("Two files are called %(name)s. Give each its own name.") % {"name": twice[0]}
        raise FieldError("files", said)
    empty = [file["name"] for file in files if not file["size"]]
    if empty:
        raise FieldError("files", _("%(name)s is empty.") % {"name": empty[0]})
    return names


def _version_start(
    actor: Actor,
    dataset: Dataset,
    source: dict[str, Any],
    options: ImportOptions | None,
    idempotency_key: str | None,
    rerun_of: Job | None = None,
) -> DatasetVersion:
    """The pending row and the job that fills it, in one transaction."""
    earlier = job_with_key(team=dataset.team_id, key=idempotency_key, kind="dataset_import")
    if earlier is not None:
        return DatasetVersion.objects.get(produced_by=earlier)
    options = options or ImportOptions()
    # The lock puts writers of one dataset into a line, so that numbers have no gap.
    Dataset.objects.select_for_update().get(pk=dataset.pk)
    top = dataset.versions.aggregate(top=Max("number"))["top"] or 0
    version = DatasetVersion.objects.create(
        dataset=dataset,
        number=top + 1,
        shape=options.shape,
        source={**source, "parameters": options.model_dump(mode="json")},
        seed=options.seed,
        validation_fraction=options.validation_fraction,
    )
    job = job_submit(
        actor=actor,
        team=dataset.team,
        kind="dataset_import",
        params={"dataset_version": version.pk, **options.model_dump(mode="json")},
        title=f"Import {dataset.name} v{version.number}",
        idempotency_key=idempotency_key,
        rerun_of=rerun_of,
    )
    version.produced_by = job
    version.save(update_fields=["produced_by"])
    changes = {"number": version.number, "source": source["kind"], "job": job.pk}
    audit_record(actor=actor, action="dataset_version.created", obj=version, changes=changes)
    _announce(dataset)
    return version


@transaction.atomic
def version_complete(*, version_id: int, job: Job, result: dict[str, Any]) -> DatasetVersion:
    """The import has ended well: the version is whole, and visible as such from now on."""
    version = DatasetVersion.objects.select_related("dataset").get(pk=version_id)
    by_name = {entry["name"]: entry for entry in result["sources"]}
    files = [{**entry, **by_name.get(entry["name"], {})} for entry in version.source["files"]]
    advance(
        version,
        VersionState.READY,
        allowed=ALLOWED,
        manifest=result["manifest"],
        digest=tree_digest(result["manifest"]),
        counts=result["counts"],
        preview=result["preview"],
        source={
            **version.source, "files": files, "empty_skipped": result["empty_skipped"],
            **result.get("facts", {}),
        },
    )  # fmt: skip
    changes = {"digest": version.digest, "job": job.pk}
    audit_record(actor=SYSTEM, action="dataset_version.ready", obj=version, changes=changes)
    _announce(version.dataset)
    quality_check_submit(actor=SYSTEM, version=version)
    return version


@transaction.atomic
def version_fail(*, version_id: int, job: Job) -> None:
    """The import has ended otherwise than well: the version says why, and stays empty."""
    version = DatasetVersion.objects.select_related("dataset").get(pk=version_id)
    if version.state != VersionState.PENDING:
        return
    advance(version, VersionState.FAILED, allowed=ALLOWED, error=job.reason)
    changes = {"job": job.pk, "reason": job.reason_code}
    audit_record(actor=SYSTEM, action="dataset_version.failed", obj=version, changes=changes)
    _announce(version.dataset)


def _announce(dataset: Dataset) -> None:
    publish_on_commit(
        "dataset.changed", {"id": dataset.pk}, f"dataset.{dataset.pk}", f"team.{dataset.team_id}"
    )
