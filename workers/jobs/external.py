"""A training run whose work is done by a program elsewhere; it reports through the API."""

from typing import Any

from models_app.jobs.kind import JobKind, Params, job_kinds
from models_app.jobs.states import TERMINAL
from models_app.registry.services.training import version_fail


class ExternalParams(Params):
    """None: what the program was given is noted with the run."""


@job_kinds.register
class External(JobKind):
    """Never placed on a node; see models_app.jobs.elsewhere."""

    name = "external"
    label = "Training that runs elsewhere"
    Params = ExternalParams
    submittable = False
    max_attempts = 1

    def ended(self, params: ExternalParams, job: Any) -> None:
        # Versions that were registered for it beforehand will never get their files.
        if job.state in TERMINAL:
            for version in job.model_versions.all():
                version_fail(version_id=version.pk, job=job)
