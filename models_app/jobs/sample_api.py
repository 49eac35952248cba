"""The API of what a model in training wrote."""

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.validation import parse
from models_app.jobs import samples, selectors
from models_app.jobs.models import TextSample


class SampleQuery(BaseModel):
    """Which samples."""

    model_config = ConfigDict(extra="ignore")
    step: int | None = Field(None, ge=0, le=1 << 62)
    after_step: int = Field(-1, ge=-1, le=1 << 62)
    limit: int = Field(100, ge=1, le=1000)


class SampleOutput(serializers.ModelSerializer[TextSample]):
    """What a model wrote after a prompt. The text is the model's: do not trust it."""

    class Meta:
        model = TextSample
        fields = ["step", "place", "prompt", "text", "at"]


class JobSampleListApi(APIView):
    """Samples of a training in order: those of one `step`, or those after a step."""

    @extend_schema(
        parameters=[
            OpenApiParameter("step", int),
            OpenApiParameter("after_step", int),
            OpenApiParameter("limit", int),
        ],
        responses=SampleOutput(many=True),
    )
    def get(self, request: Request, pk: int) -> Response:
        query = parse(SampleQuery, request.query_params.dict())
        actor: Any = request.user
        job = selectors.job_alone(actor=actor, job_id=pk)
        rows = (
            samples.samples_after(job=job, after_step=query.after_step, limit=query.limit)
            if query.step is None
            else samples.samples_at(job=job, step=query.step)
        )
        return Response(SampleOutput(rows, many=True).data)
