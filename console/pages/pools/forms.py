"""The form of a pool: labels, limits, teams and their shares."""

from typing import Any

from django import forms
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.fields import LabelsField, ScaledField
from console.pages.meters import LABELS
from models_app.core.errors import FieldError
from models_app.core.names import clean_slug
from models_app.core.teams import team_rows
from models_app.jobs.resources import COUNTED
from models_app.pools.models import Pool

NO_LIMIT = gettext_lazy("Empty: whatever its nodes have.")

WEIGHT = {"step": "any", "min": "0", "placeholder": "1", "class": "form-control-sm"}


class PoolForm(forms.Form):
    """Everything of a pool. `fields_given()` is what the services take."""

    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=60,
        help_text=gettext_lazy("Lower-case letters, digits, dots and dashes; it stays."),
    )
    description = forms.CharField(
        label=gettext_lazy("What it is for"), required=False, max_length=300
    )
    selector = LabelsField(
        label=gettext_lazy("Labels that its nodes carry"),
        help_text=gettext_lazy("One a line, as name=value; a node needs all. Empty: every node."),
    )
    slots = forms.IntegerField(label=gettext_lazy("Slots"), required=False, help_text=NO_LIMIT)
    cpus = forms.FloatField(
        label=gettext_lazy("Processors"),
        required=False,
        help_text=NO_LIMIT,
        widget=forms.NumberInput(attrs={"step": "any"}),
    )
    memory_mib = ScaledField(
        factor=1024, label=gettext_lazy("Memory in GiB"), required=False, help_text=NO_LIMIT
    )
    disk_mib = ScaledField(
        factor=1024, label=gettext_lazy("Disk in GiB"), required=False, help_text=NO_LIMIT
    )
    gpus = forms.IntegerField(label=LABELS["gpus"], required=False, help_text=NO_LIMIT)
    private_network = forms.BooleanField(
        label=gettext_lazy("Its nodes reach each other over a private network"),
        required=False,
        help_text=gettext_lazy(
            "Then a training may run on several of them at once. What they exchange is not "
            "encrypted: whoever can read that network can read the model."
        ),
    )

    def __init__(self, *args: Any, actor: Any, pool: Pool | None = None, **kwargs: Any) -> None:
        self.pool = pool
        if pool is not None:
            kwargs["initial"] = {
                "description": pool.description,
                "selector": pool.selector,
                "private_network": pool.private_network,
                **{name: getattr(pool, name) for name in COUNTED},
            }
        super().__init__(*args, **kwargs)
        for name in COUNTED:
            self.fields[name].widget.attrs["min"] = "0"
        if pool is not None:
            del self.fields["name"]
        self.teams = list(team_rows(actor))
        chosen = {team.pk for team in pool.teams.all()} if pool else set()
        shares = pool.shares if pool else {}
        for team in self.teams:
            self.fields[f"use.{team.pk}"] = forms.BooleanField(
                label=str(team), required=False, initial=team.pk in chosen
            )
            self.fields[f"share.{team.pk}"] = forms.FloatField(
                label=_("Weight of %(team)s") % {"team": team},
                required=False,
                initial=shares.get(team.slug),
                widget=forms.NumberInput(attrs=dict(WEIGHT)),
            )

    def limits(self) -> list[forms.BoundField]:
        """The fields of limits, in order."""
        return [self[name] for name in COUNTED]

    def team_lines(self) -> list[tuple[Any, forms.BoundField, forms.BoundField]]:
        """(team, may use it, weight) for each team."""
        return [(team, self[f"use.{team.pk}"], self[f"share.{team.pk}"]) for team in self.teams]

    def clean_name(self) -> str:
        """The rule of the service, asked here so that every mistake is marked at once."""
        try:
            return clean_slug(self.cleaned_data["name"])
        except FieldError as error:
            raise forms.ValidationError(error.errors[error.field]) from error

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        for name in COUNTED:
            if (given.get(name) or 0) < 0:
                self.add_error(name, _("Use a number of zero or more, or leave it empty."))
        for team in self.teams:
            weight = given.get(f"share.{team.pk}")
            if weight is not None and not 0 < weight <= 1000:
                self.add_error(f"share.{team.pk}", _("Use a weight above 0, at most 1000."))
        return given

    def fields_given(self) -> dict[str, Any]:
        """What `pool_create` and `pool_update` take."""
        given = self.cleaned_data
        shares = {team.slug: given[f"share.{team.pk}"] for team in self.teams}
        names = ("description", "selector", "private_network", *COUNTED)
        fields = {name: given[name] for name in names}
        if "name" in given:
            fields["name"] = given["name"]
        return {
            **fields,
            "teams": [team for team in self.teams if given[f"use.{team.pk}"]],
            "shares": {slug: weight for slug, weight in shares.items() if weight is not None},
        }
