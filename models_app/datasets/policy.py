"""The rules for the quality of data: what is measured, how much of it is borne, what follows."""

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _
from pydantic import BaseModel, ConfigDict, Field

#: What a report counts, in the order in which people read it, with its name.
MEASURES: dict[str, str | Promise] = {
    "schema": _("Wrong schema"),
    "empty": _("Empty documents"),
    "exact_duplicates": _("Exact duplicates"),
    "near_duplicates": _("Near duplicates"),
    "leakage_exact": _("Validation in training"),
    "leakage_near": _("Validation nearly in training"),
    "leakage_evaluation": _("Evaluation data inside"),
    "personal_data": _("Personal data"),
    "secrets": _("Secrets"),
    "other_languages": _("Other languages"),
}
#: The steps of a preparation, with their names.
STEP_LABELS: dict[str, str | Promise] = {
    "schema": _("Broken rows"),
    "clean": _("Cleaning"),
    "length": _("Length"),
    "language": _("Language"),
    "personal_data": _("Personal data"),
    "exact": _("Exact duplicates"),
    "near": _("Near duplicates"),
}
#: Kinds of personal data, with their names.
PERSONAL_LABELS: dict[str, str | Promise] = {
    "email": _("E-mail addresses"),
    "iban": _("Bank accounts (IBAN)"),
    "card": _("Payment cards"),
    "phone": _("Telephone numbers"),
    "ip": _("IP addresses"),
    "secret": _("Secrets and keys"),
}
ACTIONS = ("off", "warn", "block")


class Rule(BaseModel):
    """More than `max_percent` of the documents has the action as its consequence."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    action: Literal["off", "warn", "block"] = "warn"
    max_percent: float = Field(0.0, ge=0.0, le=100.0)


class PolicySpec(BaseModel):
    """The rules of a team. Left out, a measure is warned of as soon as there is one case."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    schema_: Rule = Field(Rule(), alias="schema")
    empty: Rule = Rule()
    exact_duplicates: Rule = Rule(max_percent=1.0)
    near_duplicates: Rule = Rule(max_percent=5.0)
    leakage_exact: Rule = Rule()
    leakage_near: Rule = Rule()
    leakage_evaluation: Rule = Rule()
    personal_data: Rule = Rule()
    secrets: Rule = Rule()
    other_languages: Rule = Rule(action="off", max_percent=5.0)
    languages: list[str] = Field(
        default_factory=list, max_length=50, description="ISO 639-1; what is not here is other"
    )
    evaluation_datasets: list[str] = Field(
        default_factory=list,
        max_length=20,
        description="Names of datasets of the team whose newest versions must not be inside",
    )
    near_threshold: float = Field(0.8, ge=0.5, le=1.0, description="From here on texts are near")
    unchecked: Literal["allow", "refuse"] = Field(
        "allow", description="Whether a version may be trained on before it is checked"
    )

    def plain(self) -> dict[str, Any]:
        """As it is stored and digested."""
        return self.model_dump(mode="json", by_alias=True)

    def rule(self, measure: str) -> Rule:
        """The rule of one measure."""
        found: Rule = getattr(self, "schema_" if measure == "schema" else measure)
        return found


@dataclass(frozen=True, kw_only=True)
class Breach:
    """A rule that a report breaks, with the figure and the first rows behind it."""

    measure: str
    action: str
    percent: float
    max_percent: float
    count: int
    of: int
    rows: list[dict[str, Any]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON."""
        return asdict(self)


def figures(report: dict[str, Any], spec: PolicySpec) -> dict[str, dict[str, Any]]:
    """Of every measure `{count, of, percent, rows, at_import}`; what an import passed over is in
    both.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in MEASURES:
        entry = report.get("measures", {}).get(name)
        if name == "other_languages":
            entry = _other_languages(report, spec)
        if entry is None:
            continue
        at_import = int(entry.get("at_import", 0))
        count, of = int(entry["count"]) + at_import, int(entry["of"]) + at_import
        percent = 100.0 * count / of if of else 0.0
        found[name] = {
            "count": count, "of": of, "percent": percent, "rows": entry.get("rows", []),
            "at_import": at_import,
        }  # fmt: skip
    return found


def _other_languages(report: dict[str, Any], spec: PolicySpec) -> dict[str, Any]:
    languages = report.get("languages", {})
    wanted = {*spec.languages, "und", "zxx"}
    other = sum(count for name, count in languages.items() if name not in wanted)
    return {"count": other if spec.languages else 0, "of": sum(languages.values())}


def judge(report: dict[str, Any], spec: PolicySpec) -> list[Breach]:
    """The rules that the report breaks, those that block first."""
    broken = []
    for name, figure in figures(report, spec).items():
        rule = spec.rule(name)
        # The limit itself is still within: one percent of a hundred is one.
        if rule.action != "off" and figure["percent"] > rule.max_percent + 1e-9:
            broken.append(
                Breach(
                    measure=name, action=rule.action, percent=round(figure["percent"], 4),
                    max_percent=rule.max_percent, count=figure["count"], of=figure["of"],
                    rows=figure["rows"],
                )
            )  # fmt: skip
    return sorted(broken, key=lambda breach: breach.action)
