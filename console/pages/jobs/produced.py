"""What a job has made or serves, as links for its page."""

from django.utils.translation import gettext as _

from console.pages.navigation import url_or_none
from models_app.jobs.models import Job


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
    for model_version in job.model_versions.select_related("model__team"):
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
