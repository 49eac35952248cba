"""A training run whose work is done by a program elsewhere; it reports through the API."""

from models_app.jobs.kind import JobKind, Params, job_kinds


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
