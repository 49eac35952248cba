"""The API of what people do to jobs on their way: pause, resume, let go, change the priority."""

from typing import Any

from drf_spectacular.utils import extend_schema
from pydantic import BaseModel, ConfigDict
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.permission import require
from models_app.core.responses import accepted
from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse
from models_app.jobs import selectors
from models_app.jobs.api import JobOutput
from models_app.jobs.control import job_pause, job_resume, job_set_priority
from models_app.jobs.silence import held_jobs_release
from models_app.pools.selectors import node_get


class PriorityInput(BaseModel):
    """Higher runs first; above 50 only admins of the team may go."""

    model_config = ConfigDict(extra="forbid")
    priority: int


class JobPauseApi(APIView):
    """Save a checkpoint and leave the node; a queued job just waits."""

    @extend_schema(request=None, responses={202: JobOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        job = selectors.job_get(actor=actor, job_id=pk)
        return accepted(JobOutput(job_pause(actor=actor, job=job)).data)


class JobResumeApi(APIView):
    """Back into the queue, from the last checkpoint; also lets a held job go."""

    @extend_schema(request=None, responses={202: JobOutput})
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        job = selectors.job_get(actor=actor, job_id=pk)
        return accepted(JobOutput(job_resume(actor=actor, job=job)).data)


class NodeReleaseApi(APIView):
    """Let the jobs that are held back for a lost node start elsewhere at once."""

    @extend_schema(request=None, responses=object_schema("What was let go", jobs="integer"))
    def post(self, request: Request, name: str) -> Response:
        actor: Any = request.user
        require(actor, "pools.view_node")
        return Response({"jobs": held_jobs_release(actor=actor, node=node_get(name))})


class JobPriorityApi(APIView):
    """Change the priority of a job that is not over."""

    @extend_schema(request=request_schema(PriorityInput), responses=JobOutput)
    def post(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        job = selectors.job_get(actor=actor, job_id=pk)
        given = parse(PriorityInput, request.data)
        job = job_set_priority(actor=actor, job=job, priority=given.priority)
        return Response(JobOutput(job).data)
