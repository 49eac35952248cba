"""What the pages of configurations share: who may write, which one is meant, and why it changes."""

from typing import Any

from django import forms
from django.utils.translation import gettext_lazy

from models_app.configs import selectors
from models_app.configs.models import Config
from models_app.configs.specs import SPECS
from models_app.core.errors import NotFound

PERM = "configs.add_config"


class ReasonForm(forms.Form):
    """Why a revision is made."""

    reason = forms.CharField(
        label=gettext_lazy("Why"),
        required=False,
        max_length=200,
        help_text=gettext_lazy("One line; it stands beside the revision for good."),
    )

    def __init__(self, *args: Any, needed: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].required = needed


class NameForm(ReasonForm):
    """Team and name of a new configuration, and perhaps a file to begin with."""

    team = forms.ChoiceField(label=gettext_lazy("Team"))
    name = forms.CharField(
        label=gettext_lazy("Name"),
        max_length=63,
        help_text=gettext_lazy("Lower-case letters, digits, dots and dashes."),
    )

    def __init__(self, *args: Any, teams: list[Any], **kwargs: Any) -> None:
        super().__init__(*args, needed=False, **kwargs)
        self.teams = {team.slug: team for team in teams}
        choices = [(slug, str(team)) for slug, team in self.teams.items()]
        self.fields["team"].choices = choices  # type: ignore[attr-defined]


def known_config(actor: Any, team: str, kind: str, name: str) -> Config:
    """The configuration of an address, of a kind that is still known; or NotFound."""
    if kind not in SPECS:
        raise NotFound
    return selectors.config_named(actor=actor, team=team, kind=kind, name=name)


def number_of(text: str) -> int:
    """A number of a form or an address; 0 for anything else."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 9 else 0
