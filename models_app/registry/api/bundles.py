"""A version as one file, which another console can import."""

from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request

from models_app.core.errors import FieldError
from models_app.core.names import one_of
from models_app.core.ranges import NoSuchRange, asked_range
from models_app.registry.api.versions import VersionApi
from models_app.registry.models import ModelVersion
from models_app.registry.services import version_bundle, version_exported

YES_OR_NO = {"": True, "1": True, "0": False}


class BundleApi(VersionApi):
    """The bundle of a version: a tar file with its files, record, figures and card."""

    @extend_schema(
        parameters=[
            OpenApiParameter("with_base", str, enum=["1", "0"], default="1",
                             description="Of an adapter: whether its base comes along"),
            OpenApiParameter("Range", str, OpenApiParameter.HEADER,
                             description="To go on where a download broke off"),
        ],
        responses={(200, "application/x-tar"): OpenApiTypes.BINARY},
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        return bundle_response(request, self.version(pk))


def bundle_response(request: HttpRequest | Request, version: ModelVersion) -> HttpResponseBase:
    """The whole bundle, or the part of it that `Range` names while it is still the same one."""
    actor: Any = request.user
    asked = request.GET.get("with_base", "")
    if asked not in YES_OR_NO:
        raise FieldError("with_base", one_of(["1", "0"]))
    bundle = version_bundle(actor=actor, version=version, with_base=YES_OR_NO[asked])
    size, tag = bundle.packed.size, f'"{bundle.tag}"'
    told = {
        "ETag": tag,
        "Accept-Ranges": "bytes",
        "Content-Disposition": f'attachment; filename="{bundle.filename}"',
    }
    same = request.headers.get("If-Range", tag) == tag
    try:
        part = asked_range(request.headers.get("Range", "") if same else "", size)
    except NoSuchRange:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    begin, end = part or (0, size)
    told["Content-Length"] = str(end - begin)
    if part:
        told["Content-Range"] = f"bytes {begin}-{end - 1}/{size}"
    if request.method == "HEAD":
        return HttpResponse(content_type="application/x-tar", headers=told)
    if begin == 0:
        version_exported(actor=actor, version=version, bundle=bundle)
    return StreamingHttpResponse(
        bundle.packed.pieces(begin, end), status=206 if part else 200,
        content_type="application/x-tar", headers=told,
    )  # fmt: skip
