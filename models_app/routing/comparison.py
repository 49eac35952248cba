"""What differs between two revisions of a route: setting by setting, and as lines of YAML."""

from collections.abc import Mapping
from typing import Any

from models_app.configs.comparison import Line, SpecChange, compare_lines, model_changes
from models_app.configs.documents import ordered
from models_app.configs.yaml_text import yaml_dump
from models_app.routing.spec import RouteSpec


def route_changes(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SpecChange]:
    """What differs; rules are compared by name."""
    return model_changes(RouteSpec, old, new, {})


def route_yaml(spec: Mapping[str, Any]) -> str:
    """The canonical text of a route."""
    return yaml_dump(ordered(spec, [RouteSpec]))


def route_lines(old: Mapping[str, Any], new: Mapping[str, Any], context: int = 3) -> list[Line]:
    """Both as text, compared line by line."""
    return compare_lines(route_yaml(old).splitlines(), route_yaml(new).splitlines(), context)
