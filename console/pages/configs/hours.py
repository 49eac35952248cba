"""Hours of the week as rows of a form, and the coming week as a picture.

Rows are added and dropped by buttons that send the form (`go` = rows:…), as everywhere here, so it
works by keyboard and without scripts.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from django import forms
from django.utils.translation import gettext as _

from console.pages.week import DAYS, WeekPicture, week_picture
from models_app.configs.specs.serving.scaling import ScalingSettings
from models_app.core.errors import InvalidInput
from models_app.core.validation import parse

F = TypeVar("F", bound="RowsForm")
PARTS = ("days", "start", "end", "replicas")
#: More rows than the setting allows, so that it says so itself.
MOST_ROWS = 60
#: What a new row begins with.
USUAL: dict[str, Any] = {
    "days": ["mon", "tue", "wed", "thu", "fri"], "start": "08:00", "end": "18:00", "replicas": 2,
}  # fmt: skip
COMMAND = re.compile(r"rows:(?P<name>\w+):(?P<what>add|show|drop)(?::(?P<number>\d{1,3}))?")


def is_hours(schema: Mapping[str, Any]) -> bool:
    """Whether a setting is a list of hours."""
    items = schema.get("items")
    return isinstance(items, dict) and set(items.get("properties", ())) == set(PARTS)


def rearranged(rows: Any, command: re.Match[str]) -> Any:
    """The rows after a button was pressed; what is no list of rows stays as it is."""
    if not isinstance(rows, list):
        return rows
    if command["what"] == "add":
        return [*rows, dict(USUAL)]
    if command["what"] == "drop" and command["number"]:
        return [row for number, row in enumerate(rows) if number != int(command["number"])]
    return rows


@dataclass
class Cell:
    """One control of a row: its name, what stands there, what is wrong with it."""

    name: str
    value: Any
    errors: list[str] = field(default_factory=list)


@dataclass
class Row:
    """One row: `days` are (name, label, chosen)."""

    number: int
    days: list[tuple[str, str, bool]]
    cells: dict[str, Cell]
    #: The new one, in which people go on.
    focused: bool = False

    @property
    def wrong(self) -> list[Cell]:
        """The controls in which something is wrong."""
        return [cell for cell in self.cells.values() if cell.errors]


class RowsForm(forms.Form):
    """A form with such rows. `go` is the button that was pressed."""

    def __init__(self, *args: Any, go: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.go = go
        #: (setting, row, part) -> what is wrong there.
        self.cell_errors: dict[tuple[str, int, str], list[str]] = {}

    def values_now(self) -> dict[str, Any]:
        """What is typed, or what fills it in; empty where that cannot be read."""
        raise NotImplementedError

    def place_in_row(self, path: str, texts: Iterable[str]) -> bool:
        """Put the messages beside the control that the path names; False where it names none."""
        match = re.fullmatch(r"(\w+)\.(\d{1,4})\.(\w+)(?:\..*)?", path)
        if match is None or match[3] not in PARTS:
            return False
        name, number, part = match[1], int(match[2]), match[3]
        if not isinstance(self.fields.get(name), HoursField):
            return False
        self.cell_errors.setdefault((name, number, part), []).extend(texts)
        said = _("Correct the marked rows.")
        if said not in self.errors.get(name, []):
            self.add_error(name, said)
        return True

    def rows_asked(self, names: Iterable[str]) -> bool:
        """Whether a button of the rows of one of these settings was pressed."""
        command = COMMAND.fullmatch(self.go)
        return command is not None and command["name"] in names


def typed_again(form_class: type[F], data: Any, **options: Any) -> F | None:
    """After a button of rows: the form filled with what was typed, nothing checked. None: it was
    another button.
    """
    command = COMMAND.fullmatch(data.get("go", ""))
    if command is None:
        return None
    sent = form_class(data, **options)
    # What the page did not send, for no choice has a use for it now, stays as it was.
    values = dict(options.get("initial") or {})
    values |= {n: v for n in sent.fields if (v := sent[n].value()) is not None}
    if command["name"] in values:
        values[command["name"]] = rearranged(values[command["name"]], command)
    return form_class(None, **{**options, "initial": values}, go=data["go"])


class HoursWidget(forms.Widget):
    """From the controls of all rows to their values. Rows in which nothing stands are no rows."""

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[dict[str, Any]]:
        text = data.get(f"{name}-rows", "")
        count = int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0
        rows = [_row(data, f"{name}-{number}") for number in range(min(count, MOST_ROWS))]
        return [row for row in rows if any(row.values())]


class HoursField(forms.Field):
    """A list of hours. Whether they are right, the model says."""

    widget = HoursWidget

    def get_bound_field(self, form: forms.BaseForm, name: str) -> "BoundHours":
        return BoundHours(form, self, name)


class BoundHours(forms.BoundField):
    """What the template shows."""

    @property
    def rows(self) -> list[Row]:
        form: Any = self.form
        stored = self.value() or []
        rows = [self._shown(number, row) for number, row in enumerate(stored)]
        command = COMMAND.fullmatch(form.go)
        if rows and command and command["name"] == self.name and command["what"] == "add":
            rows[-1].focused = True
        return rows

    @property
    def command(self) -> str:
        """What was asked of the rows: add, drop, show, or nothing."""
        form: Any = self.form
        command = COMMAND.fullmatch(form.go)
        return command["what"] if command and command["name"] == self.name else ""

    @property
    def week(self) -> WeekPicture | None:
        """The coming week with what is typed; None while it cannot be told."""
        form: Any = self.form
        try:
            settings = parse(
                ScalingSettings,
                {k: v for k, v in form.values_now().items() if k in ScalingSettings.model_fields},
            )
        except InvalidInput:
            return None
        return week_picture(settings) if settings.max_replicas else None

    @property
    def unused(self) -> bool:
        """Whether nothing scales, so that hours change nothing."""
        form: Any = self.form
        return form.values_now().get("max_replicas") in (0, None, "")

    def _shown(self, number: int, row: Any) -> Row:
        form: Any = self.form
        given = row if isinstance(row, Mapping) else {}
        chosen = given.get("days") or []
        cells = {
            part: Cell(
                name=f"{self.html_name}-{number}-{part}",
                value=given.get(part, ""),
                errors=form.cell_errors.get((self.name, number, part), []),
            )
            for part in PARTS
        }
        days = [(day, str(label), day in chosen) for day, label in DAYS.items()]
        return Row(number=number, days=days, cells=cells)


def _row(data: Any, name: str) -> dict[str, Any]:
    replicas = data.get(f"{name}-replicas", "").strip()
    return {
        "days": data.getlist(f"{name}-days"),
        "start": data.get(f"{name}-start", "").strip(),
        "end": data.get(f"{name}-end", "").strip(),
        "replicas": int(replicas) if re.fullmatch(r"-?\d{1,6}", replicas, re.ASCII) else replicas,
    }
