"""The form of a preparation: fields with the bounds and defaults of the settings themselves."""

import uuid
from collections.abc import Sequence
from typing import Any

from django import forms
from django.utils.translation import gettext_lazy as _
from django.utils.translation import pgettext_lazy

from console.pages.datasets.forms import option_lines
from models_app.configs.specs import DataSpec
from models_app.datasets.importing import parameters_of
from models_app.datasets.models import Dataset, DatasetVersion
from models_app.datasets.policy import PERSONAL_LABELS, STEP_LABELS

STEPS = (
    (_("Clean"), ("unicode", "control_characters", "whitespace")),
    (_("Filter"), ("min_characters", "max_characters", "longer", "languages")),
    (_("Duplicates"), ("exact_duplicates", "near_duplicates", "near_threshold", "near_width")),
    (_("Personal data"), ("personal_data", "personal_kinds")),
    (_("Split"), ("split", "validation_fraction", "seed")),
    (_("Files"), ("shard_mib", "tokenizer", "vocab_size", "tokenizer_version")),
)


class PrepareForm(forms.Form):
    """`spec()` is what the service takes."""

    unicode = forms.ChoiceField(
        label=_("Unicode form"),
        choices=[("nfc", "NFC"), ("nfkc", "NFKC"), ("keep", _("As it is"))],
        help_text=_("NFC makes equal what looks equal; NFKC also replaces ligatures and the like."),
    )
    control_characters = forms.ChoiceField(
        label=_("Control characters"),
        choices=[("remove", pgettext_lazy("characters", "Remove")), ("keep", _("Keep"))],
        help_text=_("Also invisible ones of no width."),
    )
    whitespace = forms.ChoiceField(
        label=_("White space"),
        choices=[("keep", _("As it is")), ("collapse", _("Collapse"))],
        help_text=_("One space, at most one empty line, none at the ends. Not for code."),
    )
    min_characters = forms.IntegerField(
        label=_("Fewest characters"), min_value=0, help_text=_("Shorter documents are dropped.")
    )
    max_characters = forms.IntegerField(
        label=_("Most characters"),
        required=False,
        min_value=1,
        help_text=_("Empty: as long as they are."),
    )
    longer = forms.ChoiceField(
        label=_("Longer documents"), choices=[("drop", _("Drop")), ("cut", _("Cut"))]
    )
    languages = forms.CharField(
        label=_("Languages"),
        required=False,
        max_length=400,
        help_text=_("Codes such as en, zh; other documents are dropped. Empty keeps all."),
    )
    exact_duplicates = forms.ChoiceField(
        label=_("Exact duplicates"),
        choices=[("drop", _("Drop")), ("keep", _("Keep"))],
        help_text=_("Equal but for case and white space; the first one stays."),
    )
    near_duplicates = forms.ChoiceField(
        label=_("Near duplicates"),
        choices=[("drop", _("Drop")), ("group", _("Keep in one split")), ("keep", _("Ignore"))],
    )
    near_threshold = forms.FloatField(
        label=_("Similar from"),
        min_value=0.5,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text=_("Share of common windows, 0.5 to 1."),
    )
    near_width = forms.ChoiceField(
        label=_("Window"),
        choices=[(8, "8"), (16, "16"), (32, "32")],
        help_text=_("Characters of a window; 8 suits Chinese and short texts."),
    )
    personal_data = forms.ChoiceField(
        label=_("Personal data and secrets"),
        choices=[("keep", _("Keep")), ("redact", _("Redact")), ("drop", _("Drop the document"))],
    )
    personal_kinds = forms.MultipleChoiceField(
        label=_("Kinds"),
        choices=list(PERSONAL_LABELS.items()),
        widget=forms.CheckboxSelectMultiple,
    )
    split = forms.ChoiceField(
        label=_("Split"),
        choices=[("anew", _("Anew")), ("keep", _("As in the parent"))],
        help_text=_("Similar documents always go to the same split."),
    )
    validation_fraction = forms.FloatField(
        label=_("Validation share"),
        min_value=0,
        max_value=0.9,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text=_("From 0 to 0.9. With 0 nothing is held out."),
    )
    seed = forms.IntegerField(label=_("Seed"), min_value=0, max_value=2**63 - 1)
    shard_mib = forms.IntegerField(label=_("Size of a file (MiB)"), min_value=1, max_value=1024)
    tokenizer = forms.ChoiceField(
        label=_("Tokens"),
        choices=[
            ("none", _("None")),
            ("bpe", _("Learn pieces of words (BPE)")),
            ("char", _("Characters")),
            ("version", _("Of a model version")),
        ],
        help_text=_("Stored beside the text."),
    )
    vocab_size = forms.IntegerField(label=_("Vocabulary"), min_value=2, max_value=262_144)
    tokenizer_version = forms.ChoiceField(label=_("Model version"), required=False)
    dataset = forms.ChoiceField(
        label=_("Into the dataset"), help_text=_("Where the new version goes.")
    )
    reason = forms.CharField(
        label=_("Why"),
        required=False,
        max_length=200,
        help_text=_("One line, kept with the settings."),
    )
    key = forms.CharField(widget=forms.HiddenInput, required=False, max_length=64)

    def __init__(
        self,
        data: Any,
        *,
        datasets: Sequence[Dataset],
        models: Sequence[Any],
        initial: dict[str, Any] | None = None,
    ) -> None:
        plain = {**DataSpec().plain(), **(initial or {})}
        plain["languages"] = ", ".join(plain["languages"])
        super().__init__(data, initial={**plain, "key": uuid.uuid4().hex, **_own(initial)})
        self.datasets = {str(row.pk): row for row in datasets}
        self._choose("dataset", [(key, str(row)) for key, row in self.datasets.items()])
        self._choose("tokenizer_version", [("", "–"), *((str(m.pk), str(m)) for m in models)])

    def _choose(self, name: str, choices: list[tuple[str, str]]) -> None:
        self.fields[name].choices = choices  # type: ignore[attr-defined]

    def spec(self) -> dict[str, Any]:
        """The settings as the service takes them."""
        given = {name: self.cleaned_data[name] for name in DataSpec.model_fields}
        given["languages"] = [
            part for part in given["languages"].replace(",", " ").lower().split() if part
        ]
        given["near_width"] = int(given["near_width"])
        chosen = given["tokenizer_version"]
        takes = given["tokenizer"] == "version" and chosen
        given["tokenizer_version"] = int(chosen) if takes else None
        return given

    def steps(self) -> list[tuple[Any, list[Any]]]:
        """The fields in the order of the steps."""
        return [(title, [self[name] for name in names]) for title, names in STEPS]

    def key_for_service(self) -> str | None:
        """Sending the same form twice makes one version."""
        return f"page-{self.cleaned_data['key']}" if self.cleaned_data.get("key") else None


def _own(initial: dict[str, Any] | None) -> dict[str, Any]:
    return {name: initial[name] for name in ("dataset",) if initial and name in initial}


def settings_lines(version: DatasetVersion) -> list[tuple[Any, Any]]:
    """What a version was imported or prepared with as (label, value), in the words of the form."""
    if version.config_revision is None:
        return option_lines(parameters_of(version.source))
    lines = []
    spec = version.config_revision.spec
    for name in (name for _title, names in STEPS for name in names if name in spec):
        field: Any = PrepareForm.base_fields[name]
        choices, value = dict(getattr(field, "choices", ())), spec[name]
        if isinstance(value, list):
            shown: Any = ", ".join(str(choices.get(one, one)) for one in value)
        else:
            shown = choices.get(value, value)
        lines.append((field.label, "–" if shown in (None, "") else shown))
    return lines


def step_lines(steps: dict[str, Any] | None) -> list[dict[str, Any]]:
    """What each step of a preparation has dropped and changed, in their order."""
    found = steps or {"dropped": {}, "changed": {}}
    return [
        {
            "label": label,
            "dropped": found["dropped"][step],
            "changed": found["changed"].get(step, 0),
        }
        for step, label in STEP_LABELS.items()
        if step in found["dropped"]
    ]
