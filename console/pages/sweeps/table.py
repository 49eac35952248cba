"""Settings of a sweep as a table: each fixed, a range or a choice; or all of them as YAML.

As with configurations (`console.pages.configs.editor`) the page sends `view` and `go`; what is
typed is kept when switching.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils.translation import gettext as _

from console.pages.configs.editor import VIEWS, Complaint
from console.pages.configs.fields import SettingsForm, shown, typed, yaml_fragment
from models_app.configs.comparison import value_text
from models_app.configs.documents import ordered
from models_app.configs.specs import spec_class
from models_app.configs.yaml_text import Document, YamlError, yaml_dump, yaml_load
from models_app.core.errors import InvalidInput
from models_app.sweeps.checking import whole_settings

FIXED, RANGE, VALUES = "fixed", "range", "values"
NUMBERS = ("low", "high", "points")


@dataclass
class Row:
    """One setting as the table shows it; `field` is the bound field of its fixed value."""

    name: str
    field: Any
    is_number: bool
    whole: bool
    mode: str = FIXED
    low: str = ""
    high: str = ""
    points: str = ""
    log: bool = False
    values: str = ""
    errors: list[str] = field(default_factory=list)

    @property
    def step(self) -> str:
        """Of its number fields."""
        return "1" if self.whole else "any"

    @property
    def modes(self) -> list[tuple[str, str]]:
        """How it may vary."""
        found = [(FIXED, _("Fixed")), (RANGE, _("Range")), (VALUES, _("Choices"))]
        return found if self.is_number else [found[0], found[2]]

    def dimension(self) -> dict[str, Any]:
        """What is typed, as a dimension that nobody has checked. Raises YamlError."""
        if self.mode == VALUES:
            return {"values": _listed(self.values)}
        given = {name: typed(getattr(self, name), "number") for name in NUMBERS}
        found = {name: value for name, value in given.items() if value is not None}
        return {**found, "log": True} if self.log else found


class SpaceTable:
    """The state of the page: which view, what is typed there, what is wrong with it."""

    def __init__(
        self, kind: str, config: Mapping[str, Any], space: Mapping[str, Any], data: Any = None
    ) -> None:
        """`config` and `space` fill it in; `data` is a request's POST."""
        self._model, self._numbers = spec_class(kind), whole_settings(kind)
        self.config, self.space = dict(config), dict(space)
        self.complaints: list[Complaint] = []
        self.go = data.get("go", "") if data is not None else ""
        asked = data.get("view", "form") if data is not None else "form"
        self.view = asked if asked in VIEWS else "form"
        self._data = data if data is not None and self.view == "form" else None
        self._build()
        self.text = self._text()
        if data is not None and self.view == "yaml":
            self.text = data.get("yaml", "").replace("\r\n", "\n")

    @property
    def switching(self) -> bool:
        """Whether the request only asks for the other view."""
        return self.go in VIEWS

    @property
    def wrong(self) -> bool:
        """Whether something is marked as wrong."""
        return bool(
            self.complaints
            or (self.form.is_bound and self.form.errors)
            or any(row.errors for row in self.rows.values())
        )

    @property
    def plain_rows(self) -> list[Row]:
        """Rows that are seen at once: those that vary, and those that are not folded."""
        return [row for row in self.rows.values() if not self._folded(row)]

    @property
    def folded_rows(self) -> list[Row]:
        return [row for row in self.rows.values() if self._folded(row)]

    def switch(self) -> None:
        """Carry over what was typed to the view that was asked for."""
        raw = self.raw()
        if raw is None or self.go == self.view:
            return
        self.config, self.space = raw
        unknown = [name for name in (*self.config, *self.space) if name not in self.rows]
        odd = [name for name, one in self.space.items() if not isinstance(one, Mapping)]
        if self.go == "form" and (unknown or odd):
            said = _("The form has no field for %(name)s. Remove it, or check its spelling.")
            name = (unknown or odd)[0]
            path = f"space.{name}" if name in self.space else f"config.{name}"
            self.refuse(InvalidInput({path: said % {"name": name}}))
            return
        self.view, self._data = self.go, None
        self._build()
        self.text = self._text()

    def raw(self) -> tuple[dict[str, Any], dict[str, Any]] | None:
        """Settings and space that nobody checked; None where not even that can be read."""
        try:
            return self._typed_yaml() if self.view == "yaml" else self._typed_rows()
        except YamlError as error:
            self._complain(error)
        except InvalidInput as error:
            self.refuse(error)
        return None

    def refuse(self, error: InvalidInput) -> dict[str, list[str]]:
        """Mark what is wrong in the view in which it was typed; returns what is not of here."""
        mine = {k: v for k, v in error.errors.items() if k.split(".")[0] in ("config", "space")}
        rest = {k: v for k, v in error.errors.items() if k not in mine}
        if not mine:
            return rest
        if self.view == "yaml":
            try:
                self._complain(self._document().located(InvalidInput(mine), ""))
            except YamlError as broken:
                self._complain(broken)
            return rest
        fixed: dict[str, str | list[str]] = {}
        for path, texts in mine.items():
            top, _dot, inner = path.partition(".")
            name, _dot, part = inner.partition(".")
            if name in self.rows and (top == "space" or self.rows[name].mode != FIXED):
                self.rows[name].errors += [f"{part}: {text}" if part else text for text in texts]
            elif top == "config" and self.form.is_bound:
                fixed[path] = texts
            else:
                self.form.full_clean()
                rest[path] = list(texts)
        if fixed:
            self.form.place(InvalidInput(fixed), "config")
        return rest

    def _folded(self, row: Row) -> bool:
        return row.name in self._model.folded and row.mode == FIXED and not row.errors

    def _build(self) -> None:
        self.form = SettingsForm(
            self._model, self._data, values=self.config, folded=self._model.folded
        )
        self.rows = {name: self._row(name) for name in self.form.fields}

    def _row(self, name: str) -> Row:
        row = Row(
            name=name, field=self.form[name], is_number=name in self._numbers,
            whole=self._numbers.get(name, False),
        )  # fmt: skip
        if self._data is not None:
            row.mode = self._data.get(f"m-{name}", FIXED)
            row.log = bool(self._data.get(f"log-{name}"))
            for part in (*NUMBERS, "values"):
                setattr(row, part, self._data.get(f"{part}-{name}", ""))
        elif isinstance(one := self.space.get(name), Mapping):
            row.mode = VALUES if "values" in one else RANGE
            row.log = bool(one.get("log"))
            for part in NUMBERS:
                setattr(row, part, shown(one.get(part), "number"))
            row.values = ", ".join(value_text(value) for value in one.get("values") or ())
        if row.mode not in dict(row.modes):
            row.mode = FIXED
        return row

    def _typed_rows(self) -> tuple[dict[str, Any], dict[str, Any]]:
        varied = [row for row in self.rows.values() if row.mode != FIXED]
        config = self.form.raw() if self.form.is_bound else dict(self.config)
        for row in varied:
            config.pop(row.name, None)
        space, errors = {}, {}
        for row in varied:
            try:
                space[row.name] = row.dimension()
            except YamlError as error:
                texts = [text for found in error.errors.values() for text in found]
                errors[f"space.{row.name}"] = texts
        if errors:
            raise InvalidInput(errors)
        return config, space

    def _typed_yaml(self) -> tuple[dict[str, Any], dict[str, Any]]:
        document = self._document()
        wrong: dict[str, str | list[str]] = {
            name: _("Say “config” and “space”, nothing else.")
            for name in document.value if name not in ("config", "space")
        }  # fmt: skip
        parts = [document.value.get(name) or {} for name in ("config", "space")]
        for name, part in zip(("config", "space"), parts, strict=True):
            if not isinstance(part, dict):
                wrong[name] = _("Write settings by their names.")
        if wrong:
            raise document.located(InvalidInput(wrong), "")
        return parts[0], parts[1]

    def _document(self) -> Document:
        return yaml_load(self.text, name="")

    def _complain(self, error: YamlError) -> None:
        lines = self.text.split("\n")
        for path, texts in error.errors.items():
            line = error.lines.get(path, 0)
            source = lines[line - 1].strip()[:160] if 0 < line <= len(lines) else ""
            self.complaints += [Complaint(line=line, source=source, text=text) for text in texts]
        self.complaints.sort(key=lambda row: row.line)

    def _text(self) -> str:
        config = {name: value for name, value in self.config.items() if name not in self.space}
        return yaml_dump({
            "config": ordered(config, [self._model]),
            "space": {name: dict(one) if isinstance(one, Mapping) else one
                      for name, one in self.space.items()},
        })  # fmt: skip


def _listed(text: str) -> list[Any]:
    """Values with commas between them, or a YAML list. Raises YamlError."""
    text = text.strip()
    found = yaml_fragment(text if text.startswith("[") else f"[{text}]")
    return found if isinstance(found, list) else [found]
