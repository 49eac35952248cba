"""The API of a job's log: lines by number, search, download."""

import gzip
import io
from collections.abc import Iterable, Iterator
from typing import Any, Literal

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.schema import object_schema
from models_app.core.validation import parse
from models_app.jobs import logs, selectors
from models_app.jobs.log_search import log_search
from models_app.jobs.models import Job

LINES = {"type": "array", "items": {"type": "array", "items": {}}}


class LogQuery(BaseModel):
    """Which lines."""

    model_config = ConfigDict(extra="ignore")
    after: int = Field(0, ge=0, le=1 << 62)
    limit: int = Field(1000, ge=1, le=5000)


class LogSearchQuery(BaseModel):
    """What to look for, and from where on."""

    model_config = ConfigDict(extra="ignore")
    q: str = ""
    regex: bool = False
    case: bool = False
    level: Literal["debug", "info", "warning", "error"] = "debug"
    after: int = Field(0, ge=0, le=1 << 62)
    limit: int = Field(100, ge=1, le=1000)


class DownloadQuery(BaseModel):
    """Which part of the log, and whether packed."""

    model_config = ConfigDict(extra="ignore")
    after: int = Field(0, ge=0, le=1 << 62)
    until: int | None = Field(None, ge=0, le=1 << 62)
    gzip: bool = False


def _job(request: Request, pk: int) -> Job:
    actor: Any = request.user
    return selectors.job_get(actor=actor, job_id=pk)


class JobLogApi(APIView):
    """Log lines `[seq, at, epoch, stream, level, text]` after a number; `closed`: no more come."""

    @extend_schema(
        parameters=[OpenApiParameter("after", int), OpenApiParameter("limit", int)],
        responses=object_schema(
            "Log lines", lines=LINES, first_seq="integer", last_seq="integer", closed="boolean"
        ),
    )
    def get(self, request: Request, pk: int) -> Response:
        query = parse(LogQuery, request.query_params.dict())
        return Response(log_page(_job(request, pk), query))


class JobLogSearchApi(APIView):
    """Lines that contain a text or match a regular expression (RE2), in the whole log.

    An answer takes a fraction of a second: `scanned` says how far it came, and `next`, unless it is
    null, is the `after` with which to go on. Without `q`: the lines of a level and above it.
    """

    @extend_schema(
        parameters=[
            OpenApiParameter("q", str),
            OpenApiParameter("regex", bool),
            OpenApiParameter("case", bool),
            OpenApiParameter("level", str),
            OpenApiParameter("after", int),
            OpenApiParameter("limit", int),
        ],
        responses=object_schema(
            "Hits", hits=LINES, scanned="integer", next={"type": ["integer", "null"]},
            first_seq="integer", last_seq="integer",
        ),
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        query = parse(LogSearchQuery, request.query_params.dict())
        return Response(log_hits(_job(request, pk), query))


class JobLogTextApi(APIView):
    """The log as plain text, from a number on if `after` is given; `gzip=1` packs it."""

    @extend_schema(
        parameters=[
            OpenApiParameter("after", int),
            OpenApiParameter("until", int),
            OpenApiParameter("gzip", bool),
        ],
        responses={(200, "text/plain"): OpenApiTypes.STR},
    )
    def get(self, request: Request, pk: int) -> StreamingHttpResponse:
        query = parse(DownloadQuery, request.query_params.dict())
        return log_download(_job(request, pk), query)


def log_page(job: Job, query: LogQuery) -> dict[str, Any]:
    """Lines, the numbers of the first and the last kept one, and whether more can come."""
    closed = logs.log_closed(job)
    lines = logs.log_list(job=job, after=query.after, limit=query.limit)
    return {
        "lines": lines,
        "first_seq": job.log_first,
        "last_seq": max(job.log_seq, lines[-1][0] if lines else 0),
        "closed": closed,
    }


def log_hits(job: Job, query: LogSearchQuery) -> dict[str, Any]:
    """One page of hits."""
    return log_search(
        job=job,
        text=query.q,
        regex=query.regex,
        case=query.case,
        level=query.level,
        after=query.after,
        limit=query.limit,
    )


def log_download(job: Job, query: DownloadQuery) -> StreamingHttpResponse:
    """The log as a text file, streamed: a chunk at a time is in memory, however long it is."""
    blocks = logs.log_blocks(job=job, after=query.after, until=query.until)
    parts: Iterable[bytes] = (block.encode("utf-8", "replace") for block in blocks)
    name, kind = f"job-{job.pk}.log", "text/plain; charset=utf-8"
    if query.gzip:
        parts, name, kind = _zipped(parts), f"{name}.gz", "application/gzip"
    response = StreamingHttpResponse(parts, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _zipped(parts: Iterable[bytes]) -> Iterator[bytes]:
    box = io.BytesIO()
    with gzip.GzipFile(fileobj=box, mode="wb", compresslevel=3, mtime=0) as pack:
        for part in parts:
            pack.write(part)
            if box.tell() > 1 << 16:
                yield box.getvalue()
                box.seek(0)
                box.truncate()
    yield box.getvalue()
