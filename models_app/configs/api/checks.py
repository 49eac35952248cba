"""Comparisons, checks without storing, schemas and ready-made shapes."""

from typing import Any

from django.urls import reverse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from models_app.configs import presets, selectors
from models_app.configs.api.inputs import DiffQuery, SettingsInput
from models_app.configs.comparison import patch_text, unified
from models_app.configs.documents import given_spec, spec_yaml
from models_app.configs.models import ConfigRevision
from models_app.configs.schemas import spec_schema
from models_app.configs.services.revisions import spec_digest
from models_app.configs.yaml_text import YamlError
from models_app.core.errors import InvalidInput
from models_app.core.schema import object_schema, request_schema
from models_app.core.validation import parse

DIFF = object_schema(
    "The two revisions and their differences",
    old={"type": "integer"},
    new={"type": "integer"},
    changes={"type": "array", "items": {"type": "object"}},
    unified={"type": "string"},
)


class ConfigDiffApi(APIView):
    """What changed between two revisions of a configuration, by their numbers."""

    @extend_schema(
        parameters=[
            OpenApiParameter("from", int, required=True),
            OpenApiParameter("to", int, required=True),
        ],
        responses=DIFF,
    )
    def get(self, request: Request, pk: int) -> Response:
        actor: Any = request.user
        config = selectors.config_get(actor=actor, config_id=pk)
        query = parse(DiffQuery, request.query_params.dict())
        old, new = (
            selectors.revision_numbered(actor=actor, config=config, number=number)
            for number in (query.old, query.new)
        )
        return Response(_compared(old, new))


class RevisionDiffApi(APIView):
    """What changed from one revision to another, also of different configurations."""

    @extend_schema(responses=DIFF)
    def get(self, request: Request, pk: int, other: int) -> Response:
        actor: Any = request.user
        old = selectors.revision_get(actor=actor, revision_id=pk)
        new = selectors.revision_get(actor=actor, revision_id=other)
        return Response(_compared(old, new))


def _compared(old: ConfigRevision, new: ConfigRevision) -> dict[str, Any]:
    changes = selectors.revision_diff(old=old, new=new)
    kind = new.config.kind if old.config.kind == new.config.kind else ""
    text = patch_text(unified(kind, old.spec, new.spec), str(old), str(new))
    return {
        "old": old.pk,
        "new": new.pk,
        "changes": [change.to_dict() for change in changes],
        "unified": text,
    }


class ValidateApi(APIView):
    """Whether settings are valid, without storing them; warnings apart from errors."""

    @extend_schema(
        request=request_schema(SettingsInput),
        responses=object_schema(
            "What is wrong, by dotted paths; with the lines of a YAML text",
            valid="boolean",
            errors="object",
            lines="object",
            warnings="object",
            spec={"type": ["object", "null"], "additionalProperties": {}},
            yaml={"type": ["string", "null"]},
            digest={"type": ["string", "null"]},
        ),
    )
    def post(self, request: Request) -> Response:
        given = parse(SettingsInput, request.data)
        answer: dict[str, Any] = {
            "valid": False, "errors": {}, "lines": {}, "warnings": {}, "spec": None, "yaml": None,
            "digest": None,
        }  # fmt: skip
        try:
            spec = given_spec(given.kind, given.spec, given.yaml)
        except InvalidInput as error:
            lines = error.lines if isinstance(error, YamlError) else {}
            return Response({**answer, "errors": error.errors, "lines": lines})
        plain = spec.plain()
        return Response(
            {
                **answer,
                "valid": True,
                "warnings": {f"spec.{path}": text for path, text in spec.warnings().items()},
                "spec": plain,
                "yaml": spec_yaml(given.kind, plain),
                "digest": spec_digest(given.kind, plain),
            }
        )


class SpecSchemaApi(APIView):
    """The JSON Schema (draft 2020-12) of the contents of a kind of configuration."""

    @extend_schema(responses=OpenApiTypes.OBJECT)
    def get(self, request: Request, kind: str) -> Response:
        address = request.build_absolute_uri(reverse("api_config_schema", args=[kind]))
        return Response(spec_schema(kind, address))


class PresetListApi(APIView):
    """Model shapes that a training can start from."""

    @extend_schema(
        responses=object_schema(
            "Shapes, smallest first", presets={"type": "array", "items": {"type": "object"}}
        )
    )
    def get(self, request: Request) -> Response:
        rows = [
            {
                "name": preset.name,
                "label": preset.label,
                "parameters": preset.parameters,
                "vocab_size": preset.vocab_size,
                "sequence_length": preset.sequence_length,
                "architecture": dict(preset.architecture),
            }
            for preset in presets.preset_list()
        ]
        return Response({"presets": rows})
