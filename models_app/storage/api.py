"""The API of the store; for platform admins."""

from typing import Any, Literal

from django.urls import reverse
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiParameter, extend_schema
from pydantic import BaseModel, ConfigDict, Field
from rest_framework import serializers
from rest_framework.generics import ListAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.core.errors import FieldError, NotFound
from models_app.core.names import one_of
from models_app.core.pagination import Page
from models_app.core.responses import accepted
from models_app.core.schema import request_schema
from models_app.core.validation import parse
from models_app.storage import selectors
from models_app.storage.models import Holder, StoredFile, StoreReport, StoreRun
from models_app.storage.references import references_of
from models_app.storage.services import store_collect, store_verify

KINDS = ("garbage", "damaged")


class RunInput(BaseModel):
    """What is to be done with the store."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)
    kind: Literal["collect", "verify"]
    grace_hours: float | None = Field(
        None, description="collect: for how long nobody may have named a file; 24 by default"
    )
    sample: int | None = Field(
        None, description="verify: only so many, those of the longest ago; all by default"
    )


class RunOutput(serializers.ModelSerializer[StoreRun]):
    """A run over the store, its progress and its findings."""

    created_by = serializers.CharField(source="created_by.email", default=None, allow_null=True)
    damaged = serializers.ListField(child=serializers.DictField())
    url = serializers.SerializerMethodField()

    class Meta:
        model = StoreRun
        fields = [
            "id", "url", "kind", "state", "created_by", "created_at", "finished_at",
            "grace_hours", "sample", "files", "bytes", "files_total", "bytes_total", "leftovers",
            "damaged", "error",
        ]  # fmt: skip

    def get_url(self, row: StoreRun) -> str:
        return reverse("api_store_run_detail", args=[row.pk])


class ReportOutput(serializers.ModelSerializer[StoreReport]):
    """The store at one moment."""

    missing = serializers.ListField(child=serializers.DictField())
    by_kind = serializers.DictField(child=serializers.DictField())
    by_team = serializers.DictField(child=serializers.DictField())

    class Meta:
        model = StoreReport
        exclude = ["id"]


class FileOutput(serializers.ModelSerializer[StoredFile]):
    """A stored file; for one that nobody names, since when, who did, and when it goes."""

    named_by = serializers.SerializerMethodField()
    grace_ends_at = serializers.SerializerMethodField()

    class Meta:
        model = StoredFile
        fields = [
            "sha256", "size", "references", "named_by", "renewed_at", "unnamed_since",
            "grace_ends_at", "verified_at", "damaged_at",
        ]  # fmt: skip

    def get_named_by(self, row: StoredFile) -> list[str]:
        return [str(holder) for holder in Holder.objects.filter(pk__in=row.named_by)]

    def get_grace_ends_at(self, row: StoredFile) -> str | None:
        if row.unnamed_since is None:
            return None
        return selectors.garbage_of([row])[0].grace_ends.isoformat()


class HolderOutput(serializers.ModelSerializer[Holder]):
    """Who holds files: without sharing, its share of what lies there, and what only it holds."""

    team = serializers.CharField(source="team.slug", default=None, allow_null=True)

    class Meta:
        model = Holder
        fields = [
            "id", "kind", "object_id", "label", "team", "files", "bytes", "share_bytes",
            "own_bytes",
        ]  # fmt: skip


class StorageApi(APIView):
    """The last picture of the store, what the next collection removes, and what was checked."""

    @extend_schema(responses=ReportOutput)
    def get(self, request: Request) -> Response:
        actor: Any = request.user
        report = selectors.report_newest(actor=actor)
        if report is None:
            raise NotFound(
                _("The store was not looked at yet. A worker does so every few minutes.")
            )
        return Response(
            {
                **ReportOutput(report).data,
                "due": selectors.garbage_due(actor=actor),
                "checked": selectors.checked(actor=actor),
            }
        )


class FileListApi(ListAPIView[StoredFile]):
    """Stored files, newest first; `of=garbage` or `of=damaged` only those."""

    serializer_class = FileOutput
    pagination_class = Page
    queryset = StoredFile.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        of = self.request.query_params.get("of", "")
        if of and of not in KINDS:
            raise FieldError("of", one_of(KINDS))
        return selectors.file_list(actor=actor, of=of)

    @extend_schema(parameters=[OpenApiParameter("of", str, enum=list(KINDS))])
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().get(request, *args, **kwargs)


class FileDetailApi(APIView):
    """One file, and the rows that name it now."""

    @extend_schema(responses=FileOutput)
    def get(self, request: Request, sha256: str) -> Response:
        actor: Any = request.user
        row = selectors.file_get(actor=actor, sha256=sha256)
        rows = references_of(row.sha256)
        named = [f"{each._meta.verbose_name} {each}" for each in rows]
        return Response({**FileOutput(row).data, "references": len(named), "named_by": named})


class HolderListApi(ListAPIView[Holder]):
    """Who holds files: versions, checkpoints, evaluations."""

    serializer_class = HolderOutput
    pagination_class = Page
    queryset = Holder.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        return selectors.holder_list(actor=actor)


class RunListApi(ListAPIView[StoreRun]):
    """Collections of garbage and checks of files, newest first; a new one is asked for here."""

    serializer_class = RunOutput
    pagination_class = Page
    queryset = StoreRun.objects.none()

    def get_queryset(self) -> Any:
        actor: Any = self.request.user
        return selectors.run_list(actor=actor)

    @extend_schema(request=request_schema(RunInput), responses={202: RunOutput})
    def post(self, request: Request) -> Response:
        actor: Any = request.user
        given = parse(RunInput, request.data)
        if given.kind == "collect":
            run = store_collect(actor=actor, grace_hours=given.grace_hours)
        else:
            run = store_verify(actor=actor, sample=given.sample)
        return accepted(RunOutput(run).data)


class RunDetailApi(APIView):
    """One run."""

    @extend_schema(responses=RunOutput)
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        return Response(RunOutput(selectors.run_get(actor=actor, run_id=pk)).data)
