"""The smallest job there is: shows that queue, placement, worker and database work together."""

from typing import Any

from pydantic import Field

from models_app.jobs.kind import JobContext, JobKind, Params, job_kinds


class PingParams(Params):
    """What comes back."""

    text: str = Field("", max_length=200, title="Text", description="Comes back as it is.")


@job_kinds.register
class Ping(JobKind):
    """Runs in the worker itself; benchmarks use it to measure the queue."""

    name = "ping"
    label = "Ping a node"
    inline = True
    Params = PingParams

    def run(self, params: PingParams, inputs: dict[str, Any], ctx: JobContext) -> dict[str, Any]:
        return {"text": params.text}
