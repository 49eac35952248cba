"""What every form has that makes a new version by a training: model, data, place, reason."""

from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.pages.jobs.placing import PlacingForm
from models_app.core.teams import teams_where
from models_app.datasets.selectors import versions_ready as data_ready
from models_app.registry.models import Model

PERM = "registry.add_version"
MOST_CHOICES = 400
#: The choice of a model that does not exist yet.
NEW = "new"


class NewVersionForm(PlacingForm):
    """Models of `families` and their teams' data; `add_rows` and then `add_placing` fill it."""

    #: A field that another one makes needless is not asked for.
    use_required_attribute = False
    families: tuple[str, ...] = ()

    model = forms.ChoiceField(label=_("Model"))
    name = forms.CharField(
        label=_("Name of the new model"),
        max_length=63,
        help_text=_("Lower-case letters, digits, dots and dashes."),
    )
    dataset_version = forms.ChoiceField(
        label=_("Dataset version"), help_text=_("Its team owns what comes out.")
    )
    #: The configuration that filled it in; used as it is while nothing of it was changed.
    config = forms.CharField(required=False, widget=forms.HiddenInput)
    reason = forms.CharField(
        label=_("Why"),
        required=False,
        max_length=200,
        help_text=_("One line, kept with the settings."),
    )

    def add_rows(self, actor: Any) -> None:
        """The models and dataset versions that may be chosen."""
        self.teams = {team.pk for team in teams_where(actor, PERM)}
        models = Model.objects.filter(team__in=self.teams, family__in=self.families)
        rows = models.select_related("team").order_by("team__slug", "name")
        self.models = {str(row.pk): row for row in rows}
        self.data_versions = {
            str(row.pk): row
            for row in data_ready(actor=actor).filter(dataset__team__in=self.teams)[:MOST_CHOICES]
        }
        fields: Any = self.fields
        fields["model"].choices = [
            (NEW, gettext("A new model")),
            *((key, f"{row.team.slug}/{row.name}") for key, row in self.models.items()),
        ]
        fields["dataset_version"].choices = [
            (key, f"{row.dataset.team.slug}/{row}") for key, row in self.data_versions.items()
        ]
        if self.is_bound:
            fields["name"].required = self.data.get("model") in ("", NEW, None)
