"""Reads models, versions and evaluations, filtered by what the actor may see."""

import json
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Max, OuterRef, Prefetch, Q, QuerySet
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.blobs import blob_open
from models_app.core.errors import NotFound
from models_app.jobs.states import TERMINAL
from models_app.registry.formats import formats_for
from models_app.registry.models import (
    Alias,
    Conversion,
    Evaluation,
    Model,
    ModelVersion,
    Reproduction,
)
from models_app.registry.states import Family, Stage, VersionState

#: The aliases of models with the versions to which they point.
ALIASES = Prefetch("aliases", Alias.objects.select_related("version"))


def model_list(*, actor: Actor, team: str = "", name: str = "", stage: str = "") -> QuerySet[Model]:
    """Newest first, each with `num_versions`, `num_ready`, `changed_at`, its aliases and tags.

    `stage`: only those of which a version is there.
    """
    rows = Model.objects.visible_to(actor).select_related("team", "created_by")
    rows = rows.prefetch_related(ALIASES, "tags")
    if stage:
        rows = rows.filter(pk__in=ModelVersion.objects.filter(stage=stage).values("model"))
    if team:
        rows = rows.filter(team__slug=team)
    if name:
        rows = rows.filter(name__icontains=name)
    return rows.annotate(
        num_versions=Count("versions"),
        num_ready=Count("versions", filter=Q(versions__state=VersionState.READY)),
        changed_at=Max("versions__created_at"),
    ).order_by("-id")


def model_get(*, actor: Actor, model_id: int) -> Model:
    """One model, or NotFound."""
    return Model.objects.select_related("team", "created_by").get_visible(actor, pk=model_id)


def model_alone(*, actor: Actor, model_id: int) -> Model:
    """One model by itself, or NotFound."""
    return Model.objects.get_columns(actor, model_id, "name")


def model_named(*, actor: Actor, team: str, name: str) -> Model:
    """One model by the names in its address, or NotFound."""
    rows = Model.objects.select_related("team", "created_by")
    return rows.get_visible(actor, team__slug=team, name=name)


def version_rows(
    *,
    actor: Actor,
    model: Model | None = None,
    state: str = "",
    team: str = "",
    stage: str = "",
) -> QuerySet[ModelVersion]:
    """Versions by themselves, newest first."""
    given = {"model": model, "state": state, "model__team__slug": team, "stage": stage}
    rows: QuerySet[ModelVersion] = ModelVersion.objects.visible_to(actor)
    return rows.filter(**{name: value for name, value in given.items() if value}).order_by("-id")


def with_aliases(rows: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """The same versions, each with `alias_names`, in the same query."""
    names = Alias.objects.filter(version=OuterRef("pk")).order_by("name").values("name")
    return rows.annotate(alias_names=ArraySubquery(names))


def version_list(
    *,
    actor: Actor,
    model: Model | None = None,
    state: str = "",
    team: str = "",
    stage: str = "",
) -> QuerySet[ModelVersion]:
    """Versions with what they were made of, newest first."""
    rows = version_rows(actor=actor, model=model, state=state, team=team, stage=stage)
    return rows.select_related(
        "model__team", "produced_by__created_by", "filled_by", "dataset_version__dataset__team",
        "config_revision__config", "base_version__model", "source_version__model",
    ).prefetch_related(
        Prefetch("evaluations", Evaluation.objects.select_related("dataset_version__dataset"))
    )  # fmt: skip


def staged_versions(models: list[Model]) -> dict[int, list[ModelVersion]]:
    """Versions of these models in staging or production, newest first, in one query."""
    found: dict[int, list[ModelVersion]] = {}
    rows = ModelVersion.objects.filter(
        model__in=models, stage__in=(Stage.STAGING, Stage.PRODUCTION)
    )
    for row in rows.only("model", "number", "stage").order_by("-stage", "-number"):
        found.setdefault(row.model_id, []).append(row)
    return found


def newest_versions(models: list[Model]) -> dict[int, ModelVersion]:
    """The newest ready version of each of these models, in one query."""
    rows = (
        ModelVersion.objects.filter(model__in=models, state=VersionState.READY)
        .order_by("model_id", "-number")
        .distinct("model_id")
    )
    return {row.model_id: row for row in rows}


def version_get(*, actor: Actor, version_id: int) -> ModelVersion:
    """One version, or NotFound."""
    return version_list(actor=actor).get_visible(actor, pk=version_id)  # type: ignore[attr-defined, no-any-return]


def version_standing(version_id: int) -> tuple[str, str, str]:
    """State, error and digest of a version, for whoever waits for it.

    Whoever waits for files that were to fill it is told when they were refused.
    """
    rows = ModelVersion.objects.select_related("filled_by")
    version = rows.only("state", "error", "digest", "filled_by__state", "filled_by__reason").get(
        pk=version_id
    )
    job = version.filled_by
    if version.state == VersionState.PENDING and job is not None and job.state in TERMINAL:
        return VersionState.FAILED.value, job.reason, ""
    return version.state, version.error, version.digest


def version_numbered(*, actor: Actor, team: str, name: str, number: int) -> ModelVersion:
    """One version by the names in its address, or NotFound."""
    return version_list(actor=actor).get_visible(  # type: ignore[attr-defined, no-any-return]
        actor, model__team__slug=team, model__name=name, number=number
    )


def versions_ready(*, actor: Actor, team: Any = None, ability: str = "") -> QuerySet[ModelVersion]:
    """What can be used: whole models; and adapters whose base is ready, where they can be loaded
    or trained further.

    `ability` narrows it to formats for that, see `formats.ABILITIES`.
    """
    rows = version_list(actor=actor, state=VersionState.READY)
    adapters = Q(model__family=Family.ADAPTER)
    if ability in ("evaluate", "train"):
        rows = rows.exclude(~Q(base_version__state=VersionState.READY), adapters)
    else:
        rows = rows.exclude(adapters)
    if ability:
        rows = rows.filter(format__in=formats_for(ability))
    return rows if team is None else rows.filter(model__team=team)


def conversion_list(
    *, actor: Actor, version: int | None = None, format: str = ""
) -> QuerySet[Conversion]:
    """Conversions of your teams' versions, newest first."""
    rows = Conversion.objects.visible_to(actor).select_related(
        "source__model__team", "output__model__team", "job__created_by",
        "dataset_version__dataset__team",
    )  # fmt: skip
    if version is not None:
        rows = rows.filter(source_id=version)
    if format:
        rows = rows.filter(format=format)
    return rows.order_by("-id")


def conversion_get(*, actor: Actor, conversion_id: int) -> Conversion:
    """One conversion, or NotFound."""
    return conversion_list(actor=actor).get_visible(actor, pk=conversion_id)  # type: ignore[attr-defined, no-any-return]


def evaluation_list(
    *,
    actor: Actor,
    version: int | None = None,
    dataset_version: int | None = None,
    dataset: int | None = None,
    model: int | None = None,
    family: str = "",
    task: str = "",
) -> QuerySet[Evaluation]:
    """Evaluations, newest first."""
    rows = Evaluation.objects.visible_to(actor).select_related(
        "version__model__team", "dataset_version__dataset__team", "produced_by"
    )
    given = {
        "version_id": version, "dataset_version_id": dataset_version,
        "dataset_version__dataset_id": dataset, "version__model_id": model,
        "version__model__family": family or None, "task": task or None,
    }  # fmt: skip
    rows = rows.filter(**{name: value for name, value in given.items() if value is not None})
    return rows.order_by("-id")


def evaluations_named(*, actor: Actor, ids: Sequence[int]) -> list[Evaluation]:
    """These evaluations in this order, or NotFound where one is missing or hidden."""
    found = {row.pk: row for row in evaluation_list(actor=actor).filter(pk__in=ids)}
    missing = next((pk for pk in ids if pk not in found), None)
    if missing is not None:
        raise NotFound(_("There is no evaluation %(n)s.") % {"n": missing})
    return [found[pk] for pk in ids]


def evaluations_beside(*, actor: Actor, evaluation: Evaluation) -> QuerySet[Evaluation]:
    """Others of the same data, split and task, which it can be compared with."""
    rows = evaluation_list(
        actor=actor, dataset_version=evaluation.dataset_version_id, task=evaluation.task
    )
    return rows.filter(split=evaluation.split).exclude(pk=evaluation.pk)


def evaluation_get(*, actor: Actor, evaluation_id: int) -> Evaluation:
    """One evaluation, or NotFound."""
    return evaluation_list(actor=actor).get_visible(actor, pk=evaluation_id)  # type: ignore[attr-defined, no-any-return]


def evaluation_scores(
    *, evaluation: Evaluation, offset: int = 0, limit: int = 100
) -> list[dict[str, Any]]:
    """Scores of single documents: document, tokens, bytes, nats."""
    return list(islice(scores_of(evaluation), offset, offset + limit))


def scores_of(evaluation: Evaluation) -> Iterator[dict[str, Any]]:
    """All scores of an evaluation, one document at a time."""
    with blob_open(evaluation.scores_sha256) as stream:
        for line in stream:
            yield json.loads(line)


def reproduction_get(*, actor: Actor, reproduction_id: int) -> Reproduction:
    """One report of a rebuilding, or NotFound."""
    rows = Reproduction.objects.select_related("version__model__team", "job", "created_by")
    return rows.get_visible(actor, pk=reproduction_id)
