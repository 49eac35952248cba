"""Pydantic models as OpenAPI dictionaries, so that the schema shows what `parse` really accepts."""

from typing import Any

from pydantic import BaseModel


def request_schema(model: type[BaseModel]) -> dict[str, Any]:
    """For `extend_schema(request=…)`: the JSON body of a pydantic model."""
    return {"application/json": json_schema(model)}


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON Schema with its definitions in place, as OpenAPI components know no `$defs`."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})
    resolved = _inline(schema, definitions)
    assert isinstance(resolved, dict)
    return resolved


def object_schema(description: str, *, status_code: int = 200, **properties: Any) -> dict[Any, Any]:
    """For `extend_schema(responses=…)`: an object whose fields are given by name."""
    schema = {
        "type": "object",
        "description": description,
        "properties": {name: _typed(value) for name, value in properties.items()},
    }
    return {status_code: schema}


def _typed(value: Any) -> Any:
    if value == "object":
        return {"type": "object", "additionalProperties": {}}
    return {"type": value} if isinstance(value, str) else value


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(node, dict):
        if "$ref" in node:
            return _inline(definitions[node["$ref"].rsplit("/", 1)[1]], definitions)
        return {key: _inline(value, definitions) for key, value in node.items()}
    if isinstance(node, list):
        return [_inline(item, definitions) for item in node]
    return node
