"""Settings edited as a form or as YAML: two views of the same values, either kept when switching.

The page sends `view` (in which of both it was typed) and `go` (what to do: `form` and `yaml` only
switch). What cannot be carried over without loss stays where it was typed, with the reason.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from django.utils.translation import gettext as _
from pydantic import BaseModel

from console.pages.configs.fields import SettingsForm
from console.pages.configs.hours import COMMAND, rearranged
from models_app.configs.documents import ordered
from models_app.configs.yaml_text import Document, YamlError, yaml_dump, yaml_load
from models_app.core.errors import InvalidInput
from models_app.core.validation import parse

M = TypeVar("M", bound=BaseModel)
VIEWS = ("form", "yaml")


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """One thing wrong with a text: the line (0: unknown), what stands there, what is wrong."""

    line: int
    source: str
    text: str


class Editor(Generic[M]):
    """The state of one page: which view, what is typed there, what is wrong with it."""

    def __init__(
        self,
        model: type[M],
        values: Mapping[str, Any],
        data: Any = None,
        *,
        view: str = "form",
        text: str | None = None,
        left_out: tuple[str, ...] = (),
    ) -> None:
        """`values` fill it in; `text` does so instead, as YAML; `data` is a request's POST."""
        self.model, self.left_out = model, left_out
        self.complaints: list[Complaint] = []
        self.values = dict(values)
        self.data = data
        self.go = data.get("go", "") if data is not None else ""
        typed_in = data.get("view", "form") if data is not None else view
        self.view = typed_in if typed_in in VIEWS else "form"
        self.form = self._form(data if data is not None and self.view == "form" else None)
        self.text = self._text(self.values) if text is None else text
        if text is not None:
            self.view = "yaml"
        if data is not None and self.view == "yaml" and text is None:
            self.text = data.get("yaml", "").replace("\r\n", "\n")

    @property
    def switching(self) -> bool:
        """Whether the request only asks for the other view, or for other rows."""
        return self.go in VIEWS or COMMAND.fullmatch(self.go) is not None

    @property
    def wrong(self) -> bool:
        """Whether something is marked as wrong."""
        return bool(self.complaints or (self.form.is_bound and self.form.errors))

    def switch(self) -> None:
        """Carry over what was typed to the view that was asked for."""
        raw = self.raw()
        if raw is None or self.go == self.view:
            return
        if command := COMMAND.fullmatch(self.go):
            name = command["name"]
            self.values = {**raw, name: rearranged(raw.get(name), command)}
            self.form = self._form(None)
            return
        unknown = [name for name in raw if name not in self.form.fields]
        if self.go == "form" and unknown:
            said = _("The form has no field for %(name)s. Remove it, or check its spelling.")
            self._complain_at(unknown[0], said % {"name": unknown[0]})
            return
        self.view = self.go
        self.text = self._text(raw)
        self.values = raw
        self.form = self._form(None)

    def raw(self) -> dict[str, Any] | None:
        """What is typed, as values that nobody checked; None where not even that can be read."""
        try:
            if self.view == "yaml":
                return self._document().value
            return self.form.raw() if self.form.is_bound else dict(self.values)
        except YamlError as error:
            self._complain(error)
        except InvalidInput as error:
            self.form.place(error)
        return None

    def read(self) -> M | None:
        """The checked values; None with everything marked that is wrong."""
        raw = self.raw()
        if raw is None:
            return None
        try:
            return parse(self.model, {**self._kept(), **raw})
        except InvalidInput as error:
            self.refuse(error)
            return None

    def refuse(self, error: InvalidInput, prefix: str = "") -> None:
        """Mark what a service refuses, in the view in which it was typed."""
        if self.view == "form":
            if not self.form.is_bound:
                self.form = SettingsForm(
                    self.model, {}, values=self.values, folded=self._folded(),
                    left_out=self.left_out,
                )  # fmt: skip
            self.form.place(error, prefix)
            return
        try:
            self._complain(self._document().located(error, prefix))
        except YamlError as broken:
            self._complain(broken)

    def _kept(self) -> dict[str, Any]:
        """What the page does not show and nobody may change here."""
        return {name: self.values[name] for name in self.left_out if name in self.values}

    def _document(self) -> Document:
        return yaml_load(self.text, name="")

    def _complain(self, error: YamlError) -> None:
        lines = self.text.split("\n")
        for path, texts in error.errors.items():
            line = error.lines.get(path, 0)
            source = lines[line - 1].strip()[:160] if 0 < line <= len(lines) else ""
            self.complaints += [Complaint(line=line, source=source, text=text) for text in texts]
        self.complaints.sort(key=lambda row: row.line)

    def _complain_at(self, path: str, text: str) -> None:
        self._complain(self._document().located(InvalidInput({path: text}), ""))

    def _form(self, data: Any) -> SettingsForm:
        return SettingsForm(
            self.model, data, values=self.values, folded=self._folded(), left_out=self.left_out,
            go=self.go,
        )  # fmt: skip

    def _folded(self) -> tuple[str, ...]:
        return getattr(self.model, "folded", ())

    def _text(self, values: Mapping[str, Any]) -> str:
        shown = {name: value for name, value in values.items() if name not in self.left_out}
        return yaml_dump(ordered(shown, [self.model]))
