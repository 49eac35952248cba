"""What a run was started with, as typed values that a page shows, compares and starts anew.

Each sort of run has its own way to begin again: a training makes a version, an import a version of
a dataset, any other kind that people submit a job of its parameters.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

from django.utils.translation import gettext as _
from pydantic import BaseModel

from models_app.configs.comparison import SpecChange, model_changes, spec_changes
from models_app.configs.specs import spec_class
from models_app.core.errors import InvalidInput
from models_app.core.permission import require
from models_app.core.validation import parse
from models_app.datasets.importing import ImportOptions, parameters_of
from models_app.datasets.models import DatasetVersion
from models_app.datasets.services import version_reimport
from models_app.jobs.kind import job_kinds
from models_app.jobs.models import Job
from models_app.jobs.services import job_rerun
from models_app.registry.families import is_markov, spec_kind
from models_app.registry.models import ModelVersion
from models_app.registry.services import training_rerun


class Run:
    """A job of a kind that people submit: its parameters."""

    permission: ClassVar[str] = "jobs.rerun_job"
    #: What paths of a service's complaints begin with.
    prefix: ClassVar[str] = "params"
    #: Whether other data can be chosen.
    takes_data: ClassVar[bool] = False
    takes_reason: ClassVar[bool] = False

    def __init__(self, job: Job) -> None:
        self.job = job

    @property
    def continues(self) -> bool:
        """Whether another run can begin with a checkpoint of this one."""
        return False

    @property
    def model(self) -> type[BaseModel]:
        """The typed model of the values."""
        return job_kinds.get(self.job.kind).Params

    def values(self) -> dict[str, Any]:
        """What it was started with."""
        return dict(self.job.params)

    def data(self) -> DatasetVersion | None:
        """The data it was started with, where that is apart from the values."""
        return None

    def changes(self, new: Mapping[str, Any], data: DatasetVersion | None) -> list[SpecChange]:
        """How other values and other data differ from what it was started with."""
        found = self._value_changes(self.full(self.values()), self.full(new))
        was = self.data()
        if was is not None and data is not None and was.pk != data.pk:
            label, name = _("Dataset version"), "dataset_version"
            row = SpecChange(
                path=name, kind="changed", old=str(was), new=str(data), label=label,
                effect=_("Other data."),
            )  # fmt: skip
            found.insert(0, row)
        return found

    def start(self, actor: Any, new: BaseModel, data: DatasetVersion | None, reason: str) -> Job:
        """Begin again with these values, as a child of this run."""
        return job_rerun(actor=actor, job=self.job, changes=new.model_dump(mode="json"))

    def may(self, actor: Any) -> bool:
        """Whether this person can begin it again."""
        return bool(actor.has_perm(self.permission, self.job))

    def check(self, actor: Any) -> None:
        """Raises NotFound or PermissionDenied."""
        require(actor, self.permission, self.job)

    def _value_changes(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SpecChange]:
        return model_changes(self.model, old, new)

    def full(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """With the defaults of what was not given, where the values are still valid."""
        try:
            return parse(self.model, dict(values)).model_dump(mode="json")
        except InvalidInput:  # an old run of a kind that has changed since is shown as it is
            return dict(values)


class TrainingRun(Run):
    """A training: its settings and its data."""

    permission = "registry.add_version"
    prefix = "config"
    takes_data = takes_reason = True

    def __init__(self, job: Job, version: ModelVersion) -> None:
        super().__init__(job)
        self.version = version

    @property
    def model(self) -> type[BaseModel]:
        return spec_class(self.kind)

    @property
    def continues(self) -> bool:
        return not is_markov(self.version.model.family)

    @property
    def kind(self) -> str:
        return spec_kind(self.version.model.family)

    def values(self) -> dict[str, Any]:
        revision = self.version.config_revision
        return dict(revision.spec) if revision else {}

    def data(self) -> DatasetVersion | None:
        return self.version.dataset_version

    def start(self, actor: Any, new: BaseModel, data: DatasetVersion | None, reason: str) -> Job:
        again = training_rerun(
            actor=actor, version=self.version, changes=new.model_dump(mode="json"),
            dataset_version=data, reason=reason,
        )  # fmt: skip
        assert again.produced_by is not None
        return again.produced_by

    def _value_changes(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SpecChange]:
        return spec_changes(self.kind, old, new)


class ImportRun(Run):
    """The import of a dataset version: how files become documents."""

    permission = "datasets.change_dataset"
    prefix = "options"

    def __init__(self, job: Job, version: DatasetVersion) -> None:
        super().__init__(job)
        self.version = version

    @property
    def model(self) -> type[BaseModel]:
        return ImportOptions

    def values(self) -> dict[str, Any]:
        return parameters_of(self.version.source)

    def start(self, actor: Any, new: BaseModel, data: DatasetVersion | None, reason: str) -> Job:
        assert isinstance(new, ImportOptions)
        again = version_reimport(actor=actor, version=self.version, options=new)
        assert again.produced_by is not None
        return again.produced_by


def run_of(job: Job) -> Run | None:
    """How this job can begin again; None for what others start, such as replicas."""
    if job.kind not in job_kinds:
        return None
    if job_kinds.get(job.kind).submittable:
        return Run(job)
    version = job.model_versions.select_related(
        "model__team", "config_revision__config", "dataset_version__dataset"
    ).first()
    if version is not None and version.config_revision is not None:
        return TrainingRun(job, version)
    data = job.dataset_versions.select_related("dataset__team").first()
    return ImportRun(job, data) if data is not None and job.kind == "dataset_import" else None


def changes_since(job: Job) -> list[SpecChange]:
    """How a run differs from the one that it repeats."""
    before = run_of(job.rerun_of) if job.rerun_of else None
    after = run_of(job) if before else None
    if before is None or after is None or type(before) is not type(after):
        return []
    return before.changes(after.values(), after.data())
