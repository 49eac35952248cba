"""The form of an import: which model, where from, and what to leave out."""

import uuid
from typing import Any

from django import forms
from django.conf import settings
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.pages.datasets.forms import FilesField
from models_app.core.teams import teams_where
from models_app.core.validation import parse
from models_app.registry import selectors
from models_app.registry.importing import (
    ARCHIVES,
    HubSource,
    PathSource,
    Source,
    UploadSource,
)
from models_app.registry.models import Model, ModelVersion

PERM = "registry.add_version"
MOST_CHOICES = 400
#: The choice of a model that does not exist yet.
NEW = "new"
SOURCES = (
    ("path", _("A folder or an archive on the server")),
    ("cache", _("A cache of the Hugging Face Hub on the server")),
    ("upload", _("An archive from your computer")),
    ("hub", _("Another console or hub")),
)


#: Fields that an import from these sources cannot do without.
ASKED = {"path": ("path", "cache"), "files": ("upload",), "url": ("hub",), "repo": ("hub",)}


class ImportForm(forms.Form):
    """Only what belongs to the chosen source is looked at; what is allowed the service says."""

    use_required_attribute = False

    model = forms.ChoiceField(label=_("Model"))
    team = forms.ChoiceField(label=_("Team"), required=False)
    name = forms.CharField(
        label=_("Name of the new model"),
        max_length=63,
        required=False,
        help_text=_("Lower-case letters, digits, dots and dashes."),
    )
    source = forms.ChoiceField(
        label=_("Where it comes from"), widget=forms.RadioSelect, initial="path", choices=SOURCES
    )
    path = forms.CharField(
        label=_("Folder or archive"),
        required=False,
        max_length=1000,
        help_text=_("Inside the import directory of the server; in a cache: models--team--name."),
    )
    files = FilesField(  # type: ignore[assignment]
        label=_("Archive"),
        required=False,
        help_text=_("The folder of the model as .zip, .tar, .tar.gz or .tar.zst, or a bundle."),
    )
    url = forms.ChoiceField(label=_("Hub"), required=False)
    repo = forms.CharField(
        label=_("Model on the hub"),
        required=False,
        max_length=200,
        help_text=_("As the hub names it: team/model."),
    )
    revision = forms.CharField(
        label=_("Revision"),
        required=False,
        max_length=200,
        help_text=_("A branch, tag or commit; empty takes main."),
    )
    token = forms.CharField(
        label=_("Token"),
        required=False,
        max_length=500,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text=_("For that hub, if it asks for one. It is forgotten when the import ends."),
    )
    base_version = forms.ChoiceField(
        label=_("Base version"),
        required=False,
        help_text=_("Of an adapter (LoRA): what it was trained on. A bundle names it by itself."),
    )
    leave_out = forms.CharField(
        label=_("Leave out"),
        required=False,
        max_length=2000,
        help_text=_("Files not to import, by name or pattern: *.bin onnx/*"),
    )
    notes = forms.CharField(
        label=_("Notes"), required=False, max_length=4000, widget=forms.Textarea(attrs={"rows": 2})
    )
    key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(
        self, data: Any, files: Any, *, actor: Any, begin: dict[str, Any],
        version: ModelVersion | None = None,
    ) -> None:  # fmt: skip
        """With `version`, which waits for files, they are for that one."""
        super().__init__(data, files, initial={"key": uuid.uuid4().hex, **begin})
        self.version = version
        self.teams = {team.slug: team for team in teams_where(actor, PERM)}
        ids = {team.pk for team in self.teams.values()}
        models = Model.objects.filter(team__in=ids).select_related("team")
        self.models = {str(row.pk): row for row in models.order_by("team__slug", "name")}
        bases = selectors.versions_ready(actor=actor).filter(model__team__in=ids)
        self.bases = {str(row.pk): row for row in bases[:MOST_CHOICES]}
        self._choices()
        self._asked()
        self.fields["files"].widget.attrs["accept"] = ",".join(ARCHIVES)

    def _choices(self) -> None:
        fields: Any = self.fields
        fields["model"].choices = [
            (NEW, gettext("A new model")),
            *((key, f"{row.team.slug}/{row.name}") for key, row in self.models.items()),
        ]
        fields["team"].choices = [(slug, str(team)) for slug, team in self.teams.items()]
        fields["url"].choices = [(url, url) for url in settings.IMPORT_HUBS] or [
            ("", gettext("None is allowed yet"))
        ]
        fields["base_version"].choices = [
            ("", gettext("None, it is a whole model")),
            *((key, f"{row.model.team.slug}/{row}") for key, row in self.bases.items()),
        ]

    def _asked(self) -> None:
        """What belongs to another choice need not be sent."""
        if self.version is not None:
            for name in ("model", "team", "name"):
                self.fields.pop(name)
        model, source = self.data.get("model"), self.data.get("source")
        for name in ("team", "name") if self.version is None else ():
            self.fields[name].required = not self.is_bound or model in (NEW, "", None)
        for name, sources in ASKED.items():
            self.fields[name].required = not self.is_bound or source in sources

    def chosen(self) -> Source:
        """The source as the service takes it, or InvalidInput."""
        given = self.cleaned_data
        common = {"leave_out": given["leave_out"].split()}
        if given["source"] == "upload":
            return parse(UploadSource, {**common, "files": given["files"]})
        if given["source"] == "hub":
            wanted = {name: given[name] for name in ("url", "repo", "token")}
            return parse(
                HubSource, {**common, **wanted, "revision": given["revision"] or "main"}
            )  # fmt: skip
        revision = given["revision"] if given["source"] == "cache" else ""
        return parse(PathSource, {**common, "path": given["path"], "revision": revision})

    def key_for_service(self) -> str | None:
        """Sending the same form twice makes one version."""
        return f"page-{self.cleaned_data['key']}" if self.cleaned_data.get("key") else None
