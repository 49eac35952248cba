"""Two specifications compared for people: by setting with effects, side by side, as YAML lines."""

import difflib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from django.utils.translation import gettext as _
from pydantic import BaseModel

from models_app.configs.diff import diff
from models_app.configs.documents import ordered, spec_yaml
from models_app.configs.specs import SPECS
from models_app.configs.yaml_text import yaml_dump


@dataclass(frozen=True, kw_only=True)
class SpecChange:
    """One setting that differs: `kind` is added, removed or changed."""

    path: str
    kind: str
    old: Any = None
    new: Any = None
    label: str = ""
    effect: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)

    @property
    def old_text(self) -> str:
        """The old value in one line."""
        return value_text(self.old) if self.kind != "added" else "–"

    @property
    def new_text(self) -> str:
        """The new value in one line."""
        return value_text(self.new) if self.kind != "removed" else "–"


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a text comparison; `sign` is a space, a plus, a minus or an @ for a gap."""

    sign: str
    text: str
    old: int | None = None
    new: int | None = None


def value_text(value: Any) -> str:
    """A value as YAML in one line."""
    if isinstance(value, Mapping | list):
        return repr_flow(value)
    return "–" if value is None else yaml_dump({"x": value})[3:].strip()


def repr_flow(value: Any) -> str:
    """Mappings and lists in one line."""
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}: {repr_flow(item)}" for name, item in value.items())
        return "{" + inner + "}"
    if isinstance(value, list):
        return "[" + ", ".join(repr_flow(item) for item in value) + "]"
    return value_text(value)


def spec_changes(kind: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[SpecChange]:
    """What differs, in the order of the form; effects where both are of one known kind."""
    model = SPECS.get(kind)
    effects = model.effects(old, new) if model else {}
    return model_changes(model, old, new, effects)


def model_changes(
    model: type[BaseModel] | None,
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    effects: Mapping[str, str] | None = None,
) -> list[SpecChange]:
    """The same for values of any typed model: parameters of jobs, options of an import."""
    fields = model.model_fields if model else {}
    places = {name: place for place, name in enumerate(fields)}
    found = []
    for change in diff(old, new):
        top = change.path.partition(".")[0]
        title = fields[top].title if top in fields else None
        label = _(title) if title and change.path == top else change.path
        effect = (effects or {}).get(top, "")
        found.append(SpecChange(**asdict(change), label=label, effect=effect))
    found.sort(key=lambda c: places.get(c.path.partition(".")[0], len(places)))
    return found


def unified(
    kind: str, old: Mapping[str, Any], new: Mapping[str, Any], context: int = 3
) -> list[Line]:
    """Both as canonical YAML, compared line by line."""
    before, after = (text_of(kind, spec).splitlines() for spec in (old, new))
    return compare_lines(before, after, context)


def text_of(kind: str, spec: Mapping[str, Any]) -> str:
    """Canonical YAML; of an unknown kind with sorted names."""
    return spec_yaml(kind, spec) if kind in SPECS else yaml_dump(ordered(spec))


def compare_lines(before: list[str], after: list[str], context: int) -> list[Line]:
    """Lines that are kept, added and removed, with their numbers; unchanged stretches cut short."""
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    found: list[Line] = []
    for group in matcher.get_grouped_opcodes(context):
        found.append(Line(sign="@", text="", old=group[0][1] + 1, new=group[0][3] + 1))
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                found += [
                    Line(sign=" ", text=before[i1 + n], old=i1 + n + 1, new=j1 + n + 1)
                    for n in range(i2 - i1)
                ]
                continue
            found += [Line(sign="-", text=before[n], old=n + 1) for n in range(i1, i2)]
            found += [Line(sign="+", text=after[n], new=n + 1) for n in range(j1, j2)]
    return found


def patch_text(lines: list[Line], old_name: str, new_name: str) -> str:
    """The comparison as a unified diff for tools."""
    if not lines:
        return ""
    text = [f"--- {old_name}", f"+++ {new_name}"]
    for line in lines:
        if line.sign == "@":
            text.append(f"@@ -{line.old} +{line.new} @@")
        else:
            text.append(f"{line.sign}{line.text}")
    return "\n".join(text) + "\n"
