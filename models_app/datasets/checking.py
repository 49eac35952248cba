"""Has versions checked: submits the job, and says what it is measured against."""

from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.utils.translation import gettext as _

from models_app.core.actor import Actor
from models_app.core.errors import FieldError, WrongState
from models_app.core.permission import require
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.quality import policy_spec
from models_app.datasets.states import VersionState
from models_app.jobs.models import Job
from models_app.jobs.services import job_submit

#: Behind what people wait for.
PRIORITY = -10
MOST_OTHERS = 20


@transaction.atomic
def quality_check_submit(
    *,
    actor: Actor,
    version: DatasetVersion,
    against: Sequence[DatasetVersion] = (),
    priority: int = PRIORITY,
) -> Job:
    """Measure a version anew, also against others, such as those that models are judged by.

    The evaluation datasets of the team's policy are always among them.
    """
    require(actor, "datasets.change_dataset", version)
    if version.state != VersionState.READY:
        raise WrongState(_("Only a version that is ready can be checked."))
    others = {row.pk: row for row in [*_of_policy(version), *against]}
    others.pop(version.pk, None)
    if len(others) > MOST_OTHERS:
        raise FieldError("against", _("At most %(most)s versions.") % {"most": MOST_OTHERS})
    for other in others.values():
        if other.team_id != version.team_id or other.state != VersionState.READY:
            raise FieldError("against", _("Choose versions of the same team that are ready."))
    return job_submit(
        actor=actor,
        team=version.dataset.team,
        kind="dataset_check",
        params={"dataset_version": version.pk, "against": sorted(others)},
        title=f"Check {version}",
        priority=priority,
    )


def _of_policy(version: DatasetVersion) -> list[Any]:
    """The newest ready versions of the evaluation datasets, without the version's own dataset."""
    names = policy_spec(version.team_id).evaluation_datasets
    datasets = Dataset.objects.filter(team_id=version.team_id, name__in=names)
    rows = DatasetVersion.objects.filter(
        dataset__in=datasets.exclude(pk=version.dataset_id), state=VersionState.READY
    ).select_related("dataset")
    return list(rows.order_by("dataset_id", "-number").distinct("dataset_id"))


def check_newest(version: DatasetVersion) -> Job | None:
    """The newest check of a version, whatever has become of it."""
    rows = Job.objects.filter(
        team_id=version.team_id, kind="dataset_check", params__dataset_version=version.pk
    )
    return rows.order_by("-id").first()
