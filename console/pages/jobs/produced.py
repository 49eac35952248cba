"""What a job reads, has made or serves, and what repeats it, as links for its page."""

from typing import Any

from django.db.models import Q
from django.utils.translation import gettext as _

from console.pages.jobs.runs import changes_since
from console.pages.navigation import url_or_none
from models_app.jobs.models import Job
from models_app.registry.models import ModelVersion


def produced_by(job: Job) -> list[dict[str, str]]:
    """`{icon, label, href}` of each dataset version, model version, evaluation or replica."""
    found = []
    for version in job.dataset_versions.select_related("dataset__team"):
        dataset = version.dataset
        href = url_or_none("dataset_version", dataset.team.slug, dataset.name, version.number)
        found.append({"icon": "database", "label": str(version), "href": href or ""})
    for report in job.quality_reports.select_related("version__dataset__team"):
        version, dataset = report.version, report.version.dataset
        href = url_or_none(
            "dataset_version_quality", dataset.team.slug, dataset.name, version.number
        )
        label = _("quality of %(version)s") % {"version": version}
        found.append({"icon": "shield-check", "label": label, "href": href or ""})
    made = ModelVersion.objects.filter(Q(produced_by=job) | Q(filled_by=job))
    for model_version in made.select_related("model__team").order_by("pk"):
        model = model_version.model
        href = url_or_none("model_version", model.team.slug, model.name, model_version.number)
        found.append({"icon": "cube", "label": str(model_version), "href": href or ""})
    conversion = getattr(job, "conversion", None)
    if conversion is not None:
        href = url_or_none("conversion_detail", conversion.pk)
        found.append({"icon": "scale", "label": _("Parity report"), "href": href or ""})
    evaluation = getattr(job, "evaluation", None)
    if evaluation is not None:
        model = evaluation.version.model
        href = url_or_none("model_version", model.team.slug, model.name, evaluation.version.number)
        found.append({"icon": "cube", "label": str(evaluation.version), "href": href or ""})
    replica = getattr(job, "replica", None)
    if replica is not None:
        deployment = replica.revision.deployment
        href = url_or_none("deployment_detail", deployment.team.slug, deployment.name)
        label = _("replica of %(revision)s") % {"revision": replica.revision}
        found.append({"icon": "rocket", "label": label, "href": href or ""})
    return found


def inputs_of(job: Job) -> list[dict[str, str]]:
    """`{role, name, digest, short, href}` of what it was submitted to read."""
    roles = {
        "dataset version": _("Dataset version"),
        "model version": _("Model version"),
        "base version": _("Base version"),
        "configuration": _("Configuration"),
        "file": _("File"),
        "folder": _("Folder"),
    }
    links = _links(job)
    return [
        {
            **row,
            "role": roles.get(row["role"], row["role"]),
            "short": row["digest"][:12] if len(row["digest"]) == 64 else row["digest"],
            "href": links.get((row["role"], row["name"]), ""),
        }
        for row in job.inputs
    ]


def _links(job: Job) -> dict[tuple[str, str], str]:
    """Where the inputs of a training are shown."""
    version = job.model_versions.select_related(
        "config_revision__config__team",
        "dataset_version__dataset__team",
        "base_version__model__team",
    ).first()
    found: dict[tuple[str, str], str] = {}
    if version is None:
        return found
    if (data := version.dataset_version) is not None:
        at = (data.dataset.team.slug, data.dataset.name, data.number)
        found["dataset version", str(data)] = url_or_none("dataset_version", *at) or ""
    if (base := version.base_version) is not None:
        at = (base.model.team.slug, base.model.name, base.number)
        found["base version", str(base)] = url_or_none("model_version", *at) or ""
    if (revision := version.config_revision) is not None:
        config = revision.config
        where = (config.team.slug, config.kind, config.name, revision.number)
        found["configuration", str(revision)] = url_or_none("config_revision", *where) or ""
    return found


def children_of(job: Job) -> list[Job]:
    """The newest runs that repeat this one, each with how it differs."""
    found: list[Any] = list(job.reruns.select_related("team", "rerun_of").order_by("-id")[:10])
    for child in found:
        child.differs = changes_since(child)
    return found
