"""The form of a training: fields with the bounds and defaults of the settings themselves."""

import json
from typing import Any

from django import forms
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.pages.figures import count
from console.pages.registry.version_form import MOST_CHOICES, NewVersionForm
from models_app.configs.presets import preset_list
from models_app.configs.specs import TrainingSpec
from models_app.registry import selectors
from models_app.registry.states import Family

#: What most trainings are decided by; everything else is under "Advanced".
BASIC = ("sequence_length", "batch_size", "steps", "learning_rate", "loss_on")
#: Of an adapter, which only a training from a base version makes.
ADAPTER = ("lora_rank", "lora_alpha", "lora_dropout", "lora_targets")
ADVANCED = tuple(name for name in TrainingSpec.folded if name not in ADAPTER)
#: What choices are called where their names alone say too little.
CHOICES: dict[str, dict[str, Any]] = {
    "schedule": {"cosine": _("Cosine"), "linear": _("Linear"), "constant": _("Constant")},
    "sampling": {
        "windows": _("Random windows"),
        "epochs": _("Whole epochs"),
        "documents": _("Whole epochs, a conversation at a time"),
    },
    "loss_on": {"all": _("All tokens"), "answers": _("Answers only")},
    "publish": {"last": _("The last weights"), "best": _("The best weights")},
    "on_divergence": {
        "stop": _("End the training"),
        "skip": _("Leave the step out"),
        "rewind": _("Go back to the newest checkpoint"),
    },
    "checkpoint_in_background": {"auto": _("On a GPU"), "on": _("Yes"), "off": _("No")},
    "compile": {"auto": _("If it pays"), "on": _("Yes"), "off": _("No")},
    "precision": {"auto": _("bf16 if it pays")},
}


class TrainingForm(NewVersionForm):
    """Model, data, shape and settings. `spec()` is what the service takes."""

    families = (Family.TRANSFORMER, Family.ADAPTER)

    base_version = forms.ChoiceField(
        label=_("Train a version further"),
        required=False,
        help_text=_("Its shape and tokenizer are kept; of an adapter rank, scale and layers, too."),
    )
    preset = forms.ChoiceField(label=_("Shape"), widget=forms.RadioSelect)
    architecture = forms.CharField(
        label=_("Architecture"),
        required=False,
        widget=forms.Textarea(attrs={"rows": 6, "class": "mono"}),
        help_text=_("A transformers configuration as JSON: model_type and sizes."),
    )
    tokenizer = forms.ChoiceField(
        label=_("Tokenizer"),
        choices=[("bpe", _("Pieces of words (BPE)")), ("char", _("Characters"))],
    )

    def __init__(self, *args: Any, actor: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        schema = TrainingSpec.model_json_schema()["properties"]
        for name in ("vocab_size", *BASIC, *ADAPTER, *ADVANCED):
            self.fields[name] = _setting(name, schema[name])
        self.add_placing(actor)
        self.add_rows(actor)
        self._choices(actor)
        self._asked()

    def _asked(self) -> None:
        """What a chosen model or base version decides need not be sent."""
        if not self.is_bound:
            return
        for name in ("preset", "tokenizer", "vocab_size"):
            self.fields[name].required = not self.data.get("base_version")
        for name in ADAPTER:
            self.fields[name].required = False
        self.fields["architecture"].required = (
            not self.data.get("base_version") and self.data.get("preset") == "own"
        )

    def _choices(self, actor: Any) -> None:
        self.bases = {
            str(row.pk): row
            for row in selectors.versions_ready(actor=actor, ability="train").filter(
                model__team__in=self.teams
            )[:MOST_CHOICES]
        }
        fields: Any = self.fields
        fields["base_version"].choices = [
            ("", gettext("No, begin anew")),
            *((key, f"{row.model.team.slug}/{row}") for key, row in self.bases.items()),
        ]
        fields["preset"].choices = [
            *(
                (
                    row.name,
                    gettext("%(label)s · %(count)s parameters")
                    % {"label": row.label, "count": count(row.parameters)},
                )
                for row in preset_list()
            ),
            ("own", gettext("An architecture of my own")),
        ]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        text = given.get("architecture", "").strip()
        if self.fields["architecture"].required and text:
            try:
                given["architecture"] = json.loads(text or "null")
            except (ValueError, RecursionError):
                given["architecture"] = None
            if not isinstance(given["architecture"], dict):
                self.add_error("architecture", gettext("Write a JSON object."))
        else:
            given["architecture"] = None
        return given

    def spec(self) -> dict[str, Any]:
        """The settings; what a base version decides is left to it."""
        given = self.cleaned_data
        spec = {name: given[name] for name in (*BASIC, *ADVANCED)}
        if given.get("base_version"):
            sent = {name: given[name] for name in ADAPTER}
            adapter = {name: value for name, value in sent.items() if value not in (None, "")}
            return {**spec, **adapter, "tokenizer": "base"}
        preset = given["preset"]
        return {
            **spec,
            "preset": None if preset == "own" else preset,
            "architecture": given["architecture"],
            "tokenizer": given["tokenizer"],
            "vocab_size": given["vocab_size"],
        }

    def basic(self) -> list[forms.BoundField]:
        return [self[name] for name in BASIC]

    def adapter(self) -> list[forms.BoundField]:
        return [self[name] for name in ADAPTER]

    def advanced(self) -> list[forms.BoundField]:
        return [self[name] for name in ADVANCED]

    def advanced_wrong(self) -> bool:
        """Whether the folded part holds an error and must be open."""
        return any(name in self.errors for name in ADVANCED)


def _setting(name: str, schema: dict[str, Any]) -> forms.Field:
    shared: dict[str, Any] = {
        "label": _(schema["title"]),
        "help_text": _(schema["description"]),
        "initial": schema["default"],
    }
    if "enum" in schema:
        words = CHOICES.get(name, {})
        return forms.ChoiceField(
            choices=[(value, words.get(value, value)) for value in schema["enum"]], **shared
        )
    if schema["type"] == "boolean":
        return forms.BooleanField(required=False, **shared)
    if schema["type"] == "string":
        return forms.CharField(max_length=schema["maxLength"], **shared)
    bounds = {"min_value": schema["minimum"], "max_value": schema["maximum"]}
    if schema["type"] == "integer":
        return forms.IntegerField(**shared, **bounds)
    return forms.FloatField(**shared, **bounds, widget=forms.NumberInput(attrs={"step": "any"}))
