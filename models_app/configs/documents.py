"""A specification as the YAML that people read and write, and back.

The text is made from the stored values, so form and YAML are two views of one revision: what
`document_read` makes of `spec_yaml(kind, spec)` is `spec`, and its text the same bytes again.
Comments belong to no value and are not kept.
"""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from django.utils.translation import gettext as _
from pydantic import BaseModel

from models_app.configs.models import ConfigRevision
from models_app.configs.specs import Spec, spec_class
from models_app.configs.yaml_text import Document, yaml_dump, yaml_load
from models_app.core.errors import FieldError, InvalidInput
from models_app.core.validation import parse


def spec_yaml(kind: str, spec: Mapping[str, Any]) -> str:
    """The canonical text: settings in the order of the form, inner names of free ones sorted."""
    return yaml_dump(ordered(spec, [spec_class(kind)]))


def revision_yaml(revision: ConfigRevision, schema_url: str) -> str:
    """The text of a revision as a file: its settings under comments that editors understand."""
    config = revision.config
    head = (
        f"# yaml-language-server: $schema={schema_url}\n"
        f"# {config.kind} configuration {config.team.slug}/{config.name} r{revision.number}\n"
        f"# sha256:{revision.digest}\n"
    )
    return head + spec_yaml(config.kind, revision.spec)


def document_read(kind: str, text: str, *, name: str = "yaml") -> Spec:
    """The checked settings that a text holds. Raises YamlError: each path with its line."""
    document = yaml_load(text, name=name)
    return checked(kind, document, name)


def checked(kind: str, document: Document, name: str) -> Spec:
    """The settings of a text that was read already; paths of errors begin with `name`."""
    try:
        return parse(spec_class(kind), document.value, prefix=name)
    except InvalidInput as error:
        raise document.located(error, name) from None


def given_spec(kind: str, spec: Mapping[str, Any] | None, yaml: str | None) -> Spec:
    """Settings that came as values or as a text: exactly one of both, checked."""
    if (spec is None) == (yaml is None):
        raise FieldError("spec", _("Send the settings as “spec” or as “yaml”, not as both."))
    if yaml is not None:
        return document_read(kind, yaml)
    return parse(spec_class(kind), dict(spec or {}), prefix="spec")


def ordered(value: Any, models: Iterable[type[BaseModel]] = ()) -> Any:
    """The same value with the names of each mapping in the order of its model, else sorted."""
    if isinstance(value, Mapping):
        model = next((m for m in models if set(value) <= set(m.model_fields)), None)
        fields = model.model_fields if model else {}
        names = [*(n for n in fields if n in value), *sorted(n for n in value if n not in fields)]
        inner = {n: list(_models_in(fields[n].annotation)) if n in fields else [] for n in names}
        return {name: ordered(value[name], inner[name]) for name in names}
    if isinstance(value, list | tuple):
        return [ordered(item, models) for item in value]
    return value


def _models_in(annotation: Any) -> Iterable[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
