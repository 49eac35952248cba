"""Filters over names alone: of experiments, and of registered models."""

import re

from django.db.models import Q
from django.utils.translation import gettext as _

from models_app.registry.search.grammar import Comparison, Join, Node
from models_app.registry.search.tokens import FilterError

#: MLflow keeps prompts among its models, and its clients say which of both they mean.
PROMPT = "mlflow.prompt.is_prompt"


def name_condition(node: Node | None) -> Q:
    """A filter over a column `name`: `=`, `!=`, `LIKE`, `ILIKE`, joined by `AND`."""
    if node is None:
        return Q()
    if isinstance(node, Join) and node.word == "and":
        joined = Q()
        for part in node.parts:
            joined &= name_condition(part)
        return joined
    if not isinstance(node, Comparison):
        raise FilterError(1, _("join comparisons of names with and."))
    if node.field in ("tag", "tags") and node.name == PROMPT:
        return Q() if node.sign == "!=" else Q(pk__lt=0)  # nothing here is a prompt
    if (f"{node.field}.{node.name}" if node.name else node.field) not in (
        "name", "attribute.name", "attributes.name",
    ):  # fmt: skip
        raise FilterError(node.column, _("they are found by name alone, such as name = 'a'."))
    return _compared(node)


def _compared(node: Comparison) -> Q:
    text = node.values[0].text if node.values else ""
    if node.sign == "like":
        found = Q(name__iregex=_pattern(text))
        return ~found if node.negated else found
    if node.sign in ("=", "!="):
        return Q(name=text) if node.sign == "=" else ~Q(name=text)
    raise FilterError(node.column, _("compare names with =, != or LIKE."))


def _pattern(text: str) -> str:
    """A pattern of SQL as a regular expression."""
    words = {"%": ".*", "_": "."}
    return f"^{''.join(words.get(char, re.escape(char)) for char in text)}$"
