"""A form for any typed model: one field a setting, checked by the model itself and nothing else."""

from collections.abc import Callable, Mapping
from textwrap import dedent
from typing import Any

from django import forms
from django.utils.translation import gettext as _
from pydantic import BaseModel

from console.pages.configs.hours import HoursField, RowsForm, is_hours
from models_app.configs.documents import ordered
from models_app.configs.presets import preset_list
from models_app.configs.specs.serving.scaling import known_timezones
from models_app.configs.yaml_text import YamlError, yaml_dump, yaml_load
from models_app.core.errors import InvalidInput
from models_app.core.schema import json_schema

#: Settings whose values come from a table that is registered at start.
SUGGESTED: dict[str, Callable[[], list[str]]] = {
    "preset": lambda: [preset.name for preset in preset_list()],
    "timezone": lambda: sorted(known_timezones()),
}
LONG_TEXT = 200
MOST_ROWS = 30


class SettingsForm(RowsForm):
    """`raw()` is what was typed, as values; whether they are right, the model says."""

    def __init__(
        self,
        model: type[BaseModel],
        data: Any = None,
        *,
        values: Mapping[str, Any] | None = None,
        folded: tuple[str, ...] = (),
        left_out: tuple[str, ...] = (),
        go: str = "",
    ) -> None:
        super().__init__(data, prefix="s", go=go)
        self.values = dict(values or {})
        schema = json_schema(model)
        needed = set(schema.get("required", ()))
        self.folded_names = folded
        self.kinds: dict[str, tuple[str, bool]] = {}
        for name, field in schema.get("properties", {}).items():
            if name in left_out:
                continue
            kind, empty = kind_of_field(name, field)
            self.kinds[name] = (kind, empty)
            self.fields[name] = setting_field(name, kind, field, name in needed, empty)
        self.initial = {
            name: shown(value, self.kinds[name][0])
            for name, value in ordered(dict(values or {}), [model]).items()
            if name in self.kinds
        }

        for name, text in self.initial.items():
            if self.kinds[name][0] == "yaml":
                rows = min(MOST_ROWS, max(5, str(text).count("\n") + 2))
                self.fields[name].widget.attrs["rows"] = rows

    def raw(self) -> dict[str, Any]:
        """Typed values where the text allows it, else the text itself. Raises InvalidInput."""
        found: dict[str, Any] = {}
        errors: dict[str, str | list[str]] = {}
        for name, (kind, empty) in self.kinds.items():
            if kind == "hours":
                widget = self.fields[name].widget
                found[name] = widget.value_from_datadict(self.data, {}, self.add_prefix(name))
                continue
            text = self.data.get(self.add_prefix(name), "")
            try:
                value = typed(text, kind)
            except YamlError as error:
                errors[name] = [said for texts in error.errors.values() for said in texts]
                continue
            if value is None and not empty:
                value = ""
            found[name] = value
        if errors:
            raise InvalidInput(errors)
        return found

    def place(self, error: InvalidInput, prefix: str = "") -> None:
        """Put each message beside the setting that it is about."""
        self.full_clean()
        for path, texts in error.errors.items():
            name = path.removeprefix(f"{prefix}.") if prefix else path
            if self.place_in_row(name, texts):
                continue
            top, _dot, rest = name.partition(".")
            for text in texts:
                said = f"{rest}: {text}" if rest else text
                self.add_error(top if top in self.fields else None,
                               said if top in self.fields else f"{name}: {text}")  # fmt: skip

    def values_now(self) -> dict[str, Any]:
        """What is typed, or what fills it in; empty where that cannot be read."""
        if not self.is_bound:
            return self.values
        try:
            return self.raw()
        except InvalidInput:
            return {}

    def plain_fields(self) -> list[forms.BoundField]:
        """What is shown at once."""
        return [self[name] for name in self.fields if name not in self.folded_names]

    def folded_fields(self) -> list[forms.BoundField]:
        """What is folded away."""
        return [self[name] for name in self.folded_names if name in self.fields]

    def folded_open(self) -> bool:
        """Whether the folded part holds an error, or rows that were just asked for."""
        wrong = any(name in self.errors for name in self.folded_names)
        return wrong or self.rows_asked(self.folded_names)


def typed(text: str, kind: str) -> Any:
    """The value that a text of a field stands for; None: it was left empty."""
    if kind == "boolean":
        return text in ("on", "true", "True")
    if kind == "yaml":
        return yaml_fragment(text)
    if kind == "text":
        return text.replace("\r\n", "\n") or None
    text = text.strip()
    if kind == "number" and text:
        for read in (int, float):
            try:
                return read(text)
            except ValueError:
                continue
    return text or None


def yaml_fragment(text: str) -> Any:
    """A list or a mapping written into one field. Raises YamlError with lines of that field."""
    if not text.strip():
        return None
    inner = "\n".join(f"  {line}" for line in text.replace("\r\n", "\n").expandtabs().split("\n"))
    return yaml_load(f"value:\n{inner}\n").value["value"]


def shown(value: Any, kind: str) -> Any:
    """A stored value as a field shows it."""
    if kind == "boolean":
        return bool(value)
    if value is None:
        return ""
    if kind == "hours":
        return value
    return block_text(value) if kind == "yaml" else str(value)


def block_text(value: Any) -> str:
    """A list or a mapping as YAML without a name before it."""
    if isinstance(value, dict) and value:
        return yaml_dump(value).rstrip("\n")
    first, _end, rest = yaml_dump({"v": value}).partition("\n")
    return dedent(rest).rstrip("\n") if isinstance(value, list) and value else first[3:]


def kind_of_field(name: str, schema: Mapping[str, Any]) -> tuple[str, bool]:
    """How a setting is typed in, and whether it may be left empty."""
    choices = schema.get("anyOf") or [schema]
    if is_hours(schema):
        return "hours", False
    types = {choice.get("type", "object") for choice in choices}
    empty = "null" in types
    types.discard("null")
    if name in SUGGESTED or any("enum" in choice or "const" in choice for choice in choices):
        return "choice", empty
    if types <= {"integer", "number"}:
        return "number", empty
    if types == {"boolean"} and not empty:
        return "boolean", empty
    if types == {"string"}:
        return "text", empty
    return "yaml", empty


def _has_mappings(schema: Mapping[str, Any]) -> bool:
    items = schema.get("items")
    return isinstance(items, dict) and items.get("type") == "object"


def setting_field(
    name: str, kind: str, schema: Mapping[str, Any], needed: bool, empty: bool
) -> forms.Field:
    """A form's field for one setting; whether its value is right, the model says."""
    plain = next((c for c in schema.get("anyOf", ()) if c.get("type") != "null"), schema)
    options: dict[str, Any] = {
        "label": _(schema.get("title") or name),
        "help_text": _(schema["description"]) if schema.get("description") else "",
        # The browser asks for what must be there; the model decides.
        "required": False,
    }
    if kind == "boolean":
        field: forms.Field = forms.BooleanField(**options)
    elif kind == "hours":
        field = HoursField(**options, template_name="configs/_hours.html")
    elif kind == "choice":
        field = _Choice(choices=_choices(name, plain, empty), **options)
    else:
        field = forms.CharField(widget=_widget(kind, plain), strip=False, **options)
    # Only what may be left empty is called optional.
    free = empty or kind in ("boolean", "yaml", "hours") or schema.get("default") == ""
    field.required = needed or not free
    field.widget.is_required = False
    # A list of mappings needs room; a short list of words does not.
    field.wide = _has_mappings(schema)  # type: ignore[attr-defined]
    field.clean = lambda value: value  # type: ignore[method-assign]
    return field


class _Choice(forms.ChoiceField):
    """A select that also shows a stored value which is no choice any more."""

    def get_bound_field(self, form: forms.BaseForm, name: str) -> forms.BoundField:
        bound = super().get_bound_field(form, name)
        value = bound.value()
        known: Any = self.choices
        if value not in (None, "", *(key for key, _label in known)):
            self.choices = [*known, (value, value)]
        return bound


def _choices(name: str, schema: Mapping[str, Any], empty: bool) -> list[tuple[str, str]]:
    known = SUGGESTED[name]() if name in SUGGESTED else schema.get("enum", [schema.get("const")])
    words = schema.get("x-words", {})
    rows = [(str(v), _(words.get(str(v), str(v)))) for v in known if v is not None]
    return [("", _("none")), *rows] if empty else rows


def _widget(kind: str, schema: Mapping[str, Any]) -> forms.Widget:
    if kind == "number":
        whole = schema.get("type") == "integer"
        attrs = {"step": "1" if whole else "any", "inputmode": "numeric" if whole else "decimal"}
        bounds = {"min": schema.get("minimum"), "max": schema.get("maximum")}
        return forms.NumberInput({**attrs, **{k: v for k, v in bounds.items() if v is not None}})
    if kind == "yaml":
        return forms.Textarea({"rows": 5, "class": "mono", "spellcheck": "false"})
    if schema.get("maxLength", 0) > LONG_TEXT:
        return forms.Textarea({"rows": 3})
    return forms.TextInput()
