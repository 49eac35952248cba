"""A form for any job kind, made from the JSON Schema of its parameters."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from console.pages.jobs.placing import PlacingForm
from models_app.core.actor import Actor
from models_app.core.schema import json_schema
from models_app.core.teams import teams_where
from models_app.jobs.kind import JobKind


class KindForm(PlacingForm):
    """Team, title, one field for each parameter (named `params.<name>`), then where it runs."""

    team = forms.ChoiceField(label=_("Team"))
    title = forms.CharField(label=_("Title"), required=False, max_length=200)

    def __init__(self, *args: Any, kind: JobKind, actor: Actor, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teams = teams_where(actor, "jobs.submit_job")
        self.fields["team"].choices = [(team.slug, str(team)) for team in teams]  # type: ignore[attr-defined]
        schema = json_schema(kind.Params)
        needed = set(schema.get("required", ()))
        for name, field in schema.get("properties", {}).items():
            self.fields[f"params.{name}"] = schema_field(name, field, name in needed)
        self.main = list(self.fields)
        self.add_placing(actor)

    def main_fields(self) -> list[forms.BoundField]:
        """Everything but where it runs."""
        return [self[name] for name in self.main]

    def params(self) -> dict[str, Any]:
        """What was filled in; what was left empty keeps its default."""
        mine = [name for name in self.main if name.startswith("params.")]
        given = {name.removeprefix("params."): self.cleaned_data[name] for name in mine}
        return {k: v for k, v in given.items() if v not in (None, "")}


def schema_field(name: str, schema: dict[str, Any], needed: bool) -> forms.Field:
    """The form field of one JSON Schema property; bounds are checked by the schema itself."""
    options: dict[str, Any] = {
        "label": _(schema.get("title", name)),
        "help_text": schema.get("description", ""),
        "required": needed,
        "initial": schema.get("default"),
    }
    if "enum" in schema:
        return forms.ChoiceField(choices=[(value, value) for value in schema["enum"]], **options)
    kind = schema.get("type", "string")
    if kind == "boolean":
        return forms.BooleanField(**{**options, "required": False})
    if kind == "integer":
        return forms.IntegerField(**options)
    if kind == "number":
        return forms.FloatField(**options)
    return forms.CharField(**options)
