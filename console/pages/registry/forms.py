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
LABELS: dict[str, tuple[Any, Any]] = {
    "sequence_length": (
        _("Sequence length"),
        _("Tokens that the model sees at once; also its longest context when it serves."),
    ),
    "batch_size": (_("Batch size"), _("Sequences of one optimiser step.")),
    "steps": (_("Steps"), _("Optimiser steps of the training.")),
    "learning_rate": (_("Learning rate"), _("The highest one, after warm-up.")),
    "vocab_size": (_("Vocabulary"), _("How many tokens the tokenizer may learn.")),
    "seed": (_("Seed"), _("The same seed, data and settings give the same weights.")),
    "warmup_steps": (_("Warm-up steps"), _("Steps in which the learning rate rises from zero.")),
    "schedule": (_("Schedule"), _("How the learning rate falls after warm-up.")),
    "min_learning_rate": (
        _("Lowest learning rate"),
        _("Where the schedule ends; not above the learning rate."),
    ),
    "gradient_accumulation": (
        _("Gradient accumulation"),
        _("Cuts the batch into this many equal parts: less memory, the same result."),
    ),
    "weight_decay": (_("Weight decay"), _("Pulls the weights towards zero.")),
    "beta1": (_("Beta 1"), _("Memory of AdamW for gradients.")),
    "beta2": (_("Beta 2"), _("Memory of AdamW for their squares.")),
    "gradient_clip": (_("Gradient clip"), _("Longest gradient; 0 clips nothing.")),
    "dropout": (_("Dropout"), _("Share of activations left out in training.")),
    "sampling": (
        _("Sampling"),
        _("Random windows of the text, or each once per epoch in a seeded order."),
    ),
    "loss_on": (
        _("Loss on"),
        _("Of conversations only the answers can be learned, as it is done for instructions."),
    ),
    "lora_rank": (
        _("Adapter rank (LoRA)"),
        _("0 trains the whole model; 8 to 64 learns a small adapter and leaves the base as it is."),
    ),
    "lora_alpha": (
        _("Adapter scale (alpha)"),
        _("The adapter's part is multiplied by this divided by the rank."),
    ),
    "lora_dropout": (_("Adapter dropout"), _("Share of the adapter's inputs left out.")),
    "lora_targets": (
        _("Adapted layers"),
        _("all-linear, or names of layers separated by commas, such as q_proj, v_proj."),
    ),
    "precision": (_("Precision"), _("bf16 is faster only where the processor has it.")),
    "evaluate_every": (
        _("Evaluate every"),
        _("Steps between looks at the validation loss; 0 only at the end."),
    ),
    "evaluation_batches": (_("Evaluation batches"), _("Batches of each such look.")),
    "checkpoint_every": (
        _("Checkpoint every"),
        _("Steps between checkpoints, from which a broken-off training goes on; 0 never."),
    ),
    "keep_checkpoints": (_("Checkpoints kept"), _("Older ones are removed.")),
    "log_every": (_("Report every"), _("Steps between points of the chart.")),
    "threads": (_("Threads"), _("Processor threads of the training.")),
}
CHOICES: dict[str, dict[str, Any]] = {
    "schedule": {"cosine": _("Cosine"), "linear": _("Linear"), "constant": _("Constant")},
    "sampling": {
        "windows": _("Random windows"),
        "epochs": _("Whole epochs"),
        "documents": _("Whole epochs, a conversation at a time"),
    },
    "loss_on": {"all": _("All tokens"), "answers": _("Answers only")},
    "precision": {"fp32": "fp32", "bf16": "bf16"},
}


class TrainingForm(NewVersionForm):
    """Model, data, shape and settings. `spec()` is what the service takes."""

    families = (Family.TRANSFORMER, Family.ADAPTER)

    base_version = forms.ChoiceField(
        label=_("Train a version further"),
        required=False,
        help_text=_("Its shape and tokenizer are kept."),
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
    label, help_text = LABELS[name]
    shared: dict[str, Any] = {
        "label": label, "help_text": help_text, "initial": schema["default"],
    }  # fmt: skip
    if "enum" in schema:
        return forms.ChoiceField(choices=list(CHOICES[name].items()), **shared)
    if schema["type"] == "string":
        return forms.CharField(max_length=schema["maxLength"], **shared)
    bounds = {"min_value": schema["minimum"], "max_value": schema["maximum"]}
    if schema["type"] == "integer":
        return forms.IntegerField(**shared, **bounds)
    return forms.FloatField(**shared, **bounds, widget=forms.NumberInput(attrs={"step": "any"}))
