"""Forms of datasets: a new one with its first version, a further version, the description."""

import uuid
from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _

from models_app.core.validation import parse
from models_app.datasets.importing import COMPRESSIONS, FORMATS, ImportOptions
from models_app.datasets.states import Shape
from models_app.datasets.uploads import StoredFile

ACCEPT = ",".join((*FORMATS, *COMPRESSIONS))
OPTIONS = tuple(ImportOptions.model_fields)


class FilesInput(forms.FileInput):
    """Several files at once."""

    allow_multiple_selected = True

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[Any]:
        return list(files.getlist(name)) if hasattr(files, "getlist") else []


class FilesField(forms.Field):
    """Uploaded files, which lie in the blob store already; what is allowed the service says."""

    widget = FilesInput

    def clean(self, value: Any) -> list[dict[str, Any]]:
        # That there are none the service says, with the other things that may be wrong.
        return [file.entry() for file in value or () if isinstance(file, StoredFile)]


class VersionForm(forms.Form):
    """Where a version comes from, and how files become documents."""

    source = forms.ChoiceField(
        label=_("Where the text comes from"), widget=forms.RadioSelect, initial="upload"
    )
    files = FilesField(  # type: ignore[assignment]
        label=_("Files"),
        required=False,
        help_text=_(
            "Text (.txt), JSON lines (.jsonl), tables (.csv, .parquet); each also with .gz or .zst."
        ),
    )
    path = forms.CharField(
        label=_("Path"),
        required=False,
        max_length=1000,
        help_text=_("A file or a folder inside the import directory of the server."),
    )
    shape = forms.ChoiceField(
        label=_("Rows are"),
        choices=Shape.choices,
        required=False,
        help_text=_(
            "Questions, from JSON lines, are for evaluations: prompt, choices and the number of the"
            " right one as answer, or prompt and answer. All are held out."
        ),
    )
    document = forms.ChoiceField(
        label=_("A document is"),
        choices=[
            ("auto", _("Automatic")),
            ("file", _("A whole file")),
            ("paragraph", _("A paragraph")),
            ("line", _("A line")),
        ],
        help_text=_(
            "For text files. Automatic: a file each if there are at least 20, else a paragraph. "
            "In tables and JSON lines every row is one."
        ),
    )
    text_field = forms.CharField(
        label=_("Text field"),
        max_length=120,
        help_text=_("The field or column that holds the text, in JSON lines and tables."),
    )
    split = forms.ChoiceField(
        label=_("Split"),
        choices=[
            ("random", _("At random")),
            ("contiguous", _("The end of the text")),
            ("named", _("As the files are named")),
        ],
        help_text=_("Which documents are held out for validation."),
    )
    validation_fraction = forms.FloatField(
        label=_("Validation share"),
        min_value=0,
        max_value=0.9,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text=_("From 0 to 0.9. With 0 nothing is held out."),
    )
    seed = forms.IntegerField(
        label=_("Seed"),
        min_value=0,
        max_value=2**63 - 1,
        help_text=_("The same files, options and seed give the same version."),
    )
    max_documents = forms.IntegerField(
        label=_("Most documents"),
        required=False,
        min_value=1,
        max_value=10**12,
        help_text=_("Stop after this many; empty takes all."),
    )
    invalid_rows = forms.ChoiceField(
        label=_("Rows that do not fit"),
        choices=[("refuse", _("End the import")), ("skip", _("Pass over and count"))],
        required=False,
        help_text=_("In JSON lines and CSV. The quality report counts and names them."),
    )
    key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(
        self, data: Any, files: Any, *, again: str = "", initial: dict[str, Any] | None = None
    ) -> None:
        defaults = {**ImportOptions().model_dump(), "key": uuid.uuid4().hex}
        super().__init__(data, files, initial={**defaults, **(initial or {})})
        choices: list[tuple[str, Any]] = [
            ("upload", _("Upload files")),
            ("path", _("Files on the server")),
        ]
        if again:
            choices.append(("again", again))
        self.fields["source"].choices = choices  # type: ignore[attr-defined]
        self.fields["files"].widget.attrs["accept"] = ACCEPT

    def clean_shape(self) -> str:
        """Not said means documents."""
        return self.cleaned_data["shape"] or Shape.DOCUMENTS.value

    def clean_invalid_rows(self) -> str:
        """Not said means as it is at first."""
        return self.cleaned_data["invalid_rows"] or "refuse"

    def options(self) -> ImportOptions:
        """The options as the service takes them."""
        return parse(ImportOptions, {name: self.cleaned_data[name] for name in OPTIONS})

    def options_open(self) -> bool:
        """Whether the options must be seen: one of them is wrong or is not the default."""
        if any(name in self.errors for name in OPTIONS):
            return True
        defaults = ImportOptions().model_dump()
        return any(str(self[n].value() or "") != str(defaults[n] or "") for n in OPTIONS)

    def key_for_service(self) -> str | None:
        """Sending the same form twice makes one version."""
        return f"page-{self.cleaned_data['key']}" if self.cleaned_data.get("key") else None


class DatasetForm(VersionForm):
    """A new dataset with its first version."""

    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        help_text=_("Lower-case letters, digits, dots, dashes and underscores."),
    )
    team = forms.ChoiceField(label=_("Team"))
    description = forms.CharField(
        label=_("Description"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("What the text is, where it is from, and what it may be used for."),
    )

    def __init__(self, data: Any, files: Any, *, teams: Sequence[Any], team: str = "") -> None:
        super().__init__(data, files, initial={"team": team})
        self.teams = {team.slug: team for team in teams}
        choices = [(slug, str(team)) for slug, team in self.teams.items()]
        self.fields["team"].choices = choices  # type: ignore[attr-defined]


class DescriptionForm(forms.Form):
    """What is said about a dataset."""

    description = forms.CharField(
        label=_("Description"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 6}),
        help_text=_("What the text is, where it is from, and what it may be used for."),
    )


def option_lines(given: dict[str, Any]) -> list[tuple[Any, Any]]:
    """The options of a stored version as (label, value), in the words of the form."""
    lines = []
    for name in OPTIONS:
        field = VersionForm.base_fields[name]
        value = given.get(name)
        choices = dict(getattr(field, "choices", ()))
        lines.append((field.label, choices.get(value, "–" if value is None else value)))
    return lines
