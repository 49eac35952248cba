"""Where a version came from, each part of it as bytes, and the check of them all."""

from typing import Any

from django.http import StreamingHttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from models_app.core.blobs import blob_open
from models_app.core.errors import NotFound
from models_app.core.schema import object_schema
from models_app.registry.api.versions import VersionApi
from models_app.registry.evidence import version_item
from models_app.registry.provenance import version_provenance
from models_app.registry.verification import version_verify

ITEMS: dict[str, Any] = {"type": "array", "items": {"type": "object"}}


class ProvenanceApi(VersionApi):
    """Everything that a version was made of, with digests and addresses."""

    @extend_schema(
        responses=object_schema(
            "Parts, and the same as `items` with name, role, digest, algorithm, size and href",
            digest="string", recipe_digest={"type": ["string", "null"]}, items=ITEMS,
            model_version="object",
        )
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return Response(version_provenance(self.version(pk)))


class VerifyApi(VersionApi):
    """Every item read and hashed again: equal, differs or missing. Takes as long as reading."""

    @extend_schema(
        responses=object_schema(
            "What was found", verdict={"enum": ["equal", "differs", "missing"]}, items=ITEMS,
            counts="object", bytes="integer", seconds="number", digest="string",
        )
    )  # fmt: skip
    def get(self, request: Request, pk: int) -> Response:
        return Response(version_verify(self.version(pk)))


class EvidenceApi(VersionApi):
    """One item, byte by byte as it was hashed."""

    @extend_schema(responses={(200, "application/octet-stream"): OpenApiTypes.BINARY})
    def get(self, request: Request, pk: int, name: str) -> StreamingHttpResponse:
        item = version_item(self.version(pk), name)
        if item is None:
            raise NotFound(_("The provenance has no such item."))
        if item.content is None:
            blob_open(item.digest).close()  # a missing file is said while one still can
        response = StreamingHttpResponse(item.parts(), content_type="application/octet-stream")
        response["ETag"] = f'"{item.digest}"'
        filename = name.replace("/", "-").encode("ascii", "replace").decode().replace('"', "'")
        response["Content-Disposition"] = f'attachment; filename="{filename}"'
        return response
