"""The JSON Schema of a kind of configuration, as a document of its own."""

from typing import Any

from models_app.configs.specs import spec_class
from models_app.core.schema import json_schema

DRAFT = "https://json-schema.org/draft/2020-12/schema"


def spec_schema(kind: str, address: str) -> dict[str, Any]:
    """Draft 2020-12 with `$id` = `address`; raises FieldError for an unknown kind."""
    return {"$schema": DRAFT, "$id": address, **json_schema(spec_class(kind))}
