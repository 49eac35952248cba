"""Where a job runs and what it asks for, as fields that forms of jobs share."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.fields import LabelsField, ScaledField
from console.pages.jobs.control import priority_help
from console.pages.meters import LABELS
from models_app.core.actor import Actor
from models_app.core.errors import InvalidInput
from models_app.core.teams import teams_where
from models_app.jobs.services import URGENT
from models_app.pools.selectors import pool_list

ANY = gettext_lazy("Empty: as much as this kind of job needs.")
RESOURCES = ("cpus", "memory_mib", "disk_mib", "gpus", "node_selector")
NAMES = ("pool", "priority", *(f"resources.{name}" for name in RESOURCES))


class PlacingForm(forms.Form):
    """Pool, priority and resources. `placing()` is what `job_submit` takes."""

    def add_placing(self, actor: Actor) -> None:
        """Put the fields behind those that the form has already."""
        pools = [(pool.name, _pool_words(pool)) for pool in pool_list(actor=actor)]
        prioritises = bool(teams_where(actor, "jobs.prioritise_job"))
        self.fields["pool"] = forms.ChoiceField(
            label=_("Pool"),
            required=False,
            choices=[("", _("The default pool")), *pools],
            help_text=_("The nodes on which it may run."),
        )
        self.fields["priority"] = forms.IntegerField(
            label=_("Priority"),
            required=False,
            help_text=priority_help(100 if prioritises else URGENT),
            widget=forms.NumberInput(attrs={"placeholder": "0"}),
        )
        self.fields["resources.cpus"] = forms.FloatField(
            label=_("Processors"),
            required=False,
            help_text=ANY,
            widget=forms.NumberInput(attrs={"step": "any"}),
        )
        for name, label in (
            ("memory_mib", _("Memory in GiB")),
            ("disk_mib", _("Disk in GiB")),
        ):
            self.fields[f"resources.{name}"] = ScaledField(
                factor=1024, label=label, required=False, help_text=ANY
            )
        self.fields["resources.gpus"] = forms.IntegerField(
            label=LABELS["gpus"], required=False, help_text=ANY
        )
        self.fields["resources.node_selector"] = LabelsField(
            label=_("Labels that its node carries"),
            help_text=_("One a line, as name=value. Empty: any node of the pool."),
        )

    def placing(self) -> dict[str, Any]:
        """`pool`, `priority` and `resources`; what was left empty is not asked for."""
        given = self.cleaned_data
        asked = {name: given[f"resources.{name}"] for name in RESOURCES}
        return {
            "pool": given["pool"],
            "priority": given["priority"] or 0,
            "resources": {k: v for k, v in asked.items() if v is not None and v != {}},
        }

    def placing_fields(self) -> list[forms.BoundField]:
        """For the part of the template that is folded at first."""
        return [self[name] for name in NAMES]

    def placing_open(self) -> bool:
        """Whether the folded part holds an error, or something that was filled in."""
        return any(name in self.errors or self.data.get(name) for name in NAMES)

    def placed_errors(self, error: InvalidInput) -> InvalidInput:
        """`resources.node_selector.zone: …` belongs to the field of all labels; it is named."""
        field = "resources.node_selector"
        found: dict[str, list[str]] = {}
        for path, texts in error.errors.items():
            if path.startswith(f"{field}."):
                label = path.removeprefix(f"{field}.")
                texts, path = [f"{label}: {text}" for text in texts], field
            found.setdefault(path, []).extend(texts)
        return InvalidInput(found)


def _pool_words(pool: Any) -> str:
    return f"{pool.name} · {pool.description[:60]}" if pool.description else pool.name
