"""A route edited as a form or as YAML: two views of the same values, either kept when switching."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict
from django.utils.translation import gettext as _

from console.pages.configs.editor import VIEWS, Complaint
from console.pages.routes.condition_text import TESTS
from console.pages.routes.draft import MOST_ROWS, MOST_RULES, Cell, Draft, draft_of, spec_of
from console.pages.routes.rearranging import rearrange
from models_app.configs.yaml_text import YamlError, yaml_load
from models_app.core.errors import InvalidInput
from models_app.routing.comparison import route_yaml
from models_app.routing.spec import route_spec

#: Rows that stand empty below the filled ones.
SPARE = 1
MOST_CHARACTERS = 200_000


@dataclass(frozen=True, slots=True)
class TargetRow:
    """A deployment, perhaps one revision of it, and its share."""

    deployment: Cell
    revision: Cell
    weight: Cell


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """What is tested, whether the opposite is meant, and the value."""

    test: Cell
    negated: Cell
    value: Cell


@dataclass(frozen=True, slots=True)
class RuleRow:
    """The fields of one rule. `raw` is YAML where its conditions nest."""

    number: int
    first: bool
    last: bool
    name: Cell
    locked: Cell
    priority: Cell
    max_tokens: Cell
    joined: Cell
    kept: Cell
    raw: Cell | None
    conditions: list[ConditionRow]
    targets: list[TargetRow]


class RouteEditor:
    """The state of the page: which view, what is typed there, what is wrong with it."""

    def __init__(self, spec: Mapping[str, Any], data: QueryDict | None = None) -> None:
        self.complaints: list[Complaint] = []
        self.go = data.get("go", "save") if data is not None else ""
        self.view = data.get("view", "form") if data is not None else "form"
        if self.view not in VIEWS:
            self.view = "form"
        self.draft = draft_of(spec)
        self.text = route_yaml(spec)
        if data is None:
            return
        if self.view == "yaml":
            self.text = data.get("yaml", "").replace("\r\n", "\n")[:MOST_CHARACTERS]
        else:
            self.draft = Draft({name: str(value) for name, value in data.items()})

    @property
    def saving(self) -> bool:
        """Whether the request wants it stored, and not only shown in another way."""
        return self.go in ("save", "review")

    @property
    def wrong(self) -> bool:
        """Whether something is marked as wrong."""
        return bool(self.complaints or self.draft.errors or self.draft.rest)

    def turn(self) -> None:
        """Do what a button asks for that stores nothing."""
        if self.go not in VIEWS:
            rearrange(self.draft, self.go)
        elif self.go != self.view:
            self._switch()

    def _switch(self) -> None:
        if self.view == "form":
            spec = spec_of(self.draft)
            if not self.draft.errors:
                self.text, self.view = route_yaml(spec), "yaml"
            return
        spec_read = self.read()
        if spec_read is not None:
            self.draft, self.view = draft_of(spec_read), "form"

    def read(self) -> dict[str, Any] | None:
        """The checked spec; None with everything marked that is wrong."""
        raw = spec_of(self.draft) if self.view == "form" else self._loaded()
        if raw is None or self.draft.errors:
            return None
        try:
            return route_spec(raw).plain()
        except InvalidInput as error:
            self.refuse(error)
            return None

    def _loaded(self) -> dict[str, Any] | None:
        try:
            return yaml_load(self.text, name="").value
        except YamlError as error:
            self._complain(error)
            return None

    def refuse(self, error: InvalidInput, prefix: str = "") -> None:
        """Mark what is wrong, in the view in which it was typed."""
        if self.view == "form":
            self.draft.place(error, prefix)
            return
        try:
            self._complain(yaml_load(self.text, name="").located(error, prefix))
        except YamlError as broken:
            self._complain(broken)

    def _complain(self, error: YamlError) -> None:
        lines = self.text.split("\n")
        for path, texts in error.errors.items():
            line = error.lines.get(path, 0)
            source = lines[line - 1].strip()[:160] if 0 < line <= len(lines) else ""
            self.complaints += [Complaint(line=line, source=source, text=text) for text in texts]
        self.complaints.sort(key=lambda row: row.line)

    # What the template shows.

    def cell(self, name: str) -> Cell:
        """One field."""
        return self.draft.cell(name)

    @property
    def cells(self) -> dict[str, Cell]:
        """The fields that stand alone."""
        names = ("description", "enabled", "sticky", "sticky_header", "callers")
        parts = ("deployment", "revision", "percent", "judge", "judge_by")
        mirror = {n: self.cell(f"mirror-{n}") for n in parts}
        return {**{n: self.cell(n) for n in names}, **{f"mirror_{n}": c for n, c in mirror.items()}}

    @property
    def targets(self) -> list[TargetRow]:
        """Where the rest goes."""
        return self._targets("to-")

    @property
    def fallback(self) -> list[TargetRow]:
        """Who steps in."""
        return self._targets("back-")

    @property
    def rules(self) -> list[RuleRow]:
        """The rules in order."""
        numbers = self.draft.numbers("rule-", MOST_RULES)
        return [self._rule(number, numbers) for number in numbers]

    def _rule(self, number: int, numbers: list[int]) -> RuleRow:
        prefix = f"rule-{number}-"
        names = ("name", "locked", "priority", "max_tokens", "joined", "kept")
        return RuleRow(
            number=number,
            first=number == numbers[0],
            last=number == numbers[-1],
            raw=self.cell(f"{prefix}raw") if f"{prefix}raw" in self.draft.fields else None,
            conditions=[
                ConditionRow(*(self.cell(f"{row}{name}") for name in ("test", "not", "value")))
                for row in self._rows(f"{prefix}if-", "test")
            ],
            targets=self._targets(f"{prefix}to-"),
            **{name: self.cell(f"{prefix}{name}") for name in names},
        )

    def _targets(self, prefix: str) -> list[TargetRow]:
        return [
            TargetRow(*(self.cell(f"{row}{name}") for name in ("deployment", "revision", "weight")))
            for row in self._rows(prefix, "deployment")
        ]

    def _rows(self, prefix: str, name: str) -> list[str]:
        """Beginnings of the fields of each row: the filled ones, then a spare one."""
        numbers = self.draft.numbers(prefix, MOST_ROWS)
        filled = [n for n in numbers if self.draft.fields.get(f"{prefix}{n}-{name}")]
        following = max(filled, default=-1) + 1
        return [f"{prefix}{n}-" for n in (*filled, *range(following, following + SPARE))]


def test_choices() -> list[tuple[str, str, str]]:
    """(test, its name, an example)."""
    return [(name, str(label), example) for name, (label, example) in TESTS.items()]


def priority_choices() -> list[tuple[str, str]]:
    """For the queues of replicas."""
    return [("", _("Normal")), ("high", _("High")), ("low", _("Low"))]


def sticky_choices() -> list[tuple[str, str]]:
    """Who stays on a side."""
    return [
        ("token", _("The token")),
        ("user", _("The owner of the token")),
        ("header", _("A header")),
        ("request", _("Nobody: each request anew")),
    ]
