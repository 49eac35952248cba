"""Forms of deployments: the settings of a revision, with or without a new name."""

from typing import Any

from django import forms
from django.db.models import Q
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from console.pages.configs.fields import kind_of_field, setting_field, shown, typed
from console.pages.configs.hours import RowsForm
from models_app.approvals.selectors import environment_list
from models_app.configs.models import ConfigRevision
from models_app.configs.specs import ServingSpec
from models_app.configs.specs.serving.engine import EngineSettings
from models_app.configs.specs.serving.rollout import RolloutSettings
from models_app.configs.specs.serving.scaling import ScalingSettings
from models_app.configs.specs.serving.traffic import TrafficSettings
from models_app.configs.yaml_text import YamlError
from models_app.core.actor import Actor
from models_app.core.errors import InvalidInput
from models_app.core.names import clean_slug
from models_app.core.schema import json_schema
from models_app.core.teams import teams_where
from models_app.core.validation import parse
from models_app.pools.selectors import pool_list
from models_app.registry.formats import formats_for
from models_app.registry.models import ModelVersion
from models_app.registry.states import Family, VersionState

#: More versions than a select can show are found through their own page's button.
MOST_VERSIONS = 400
MOST_CONFIGS = 200
LABELS = {
    "replicas": (_("Replicas"), _("Model servers that answer side by side.")),
    "threads": (_("Threads"), _("Processor threads of each replica.")),
    "max_slots": (_("Requests at once"), _("Per replica; more wait in line.")),
    "max_context": (
        _("Longest context"),
        _("Tokens of prompt and answer together; 0 takes the model's own limit."),
    ),
    "keep_warm_s": (
        _("Keep warm (seconds)"),
        _("How long replaced replicas stay loaded, so that a roll-back takes effect at once."),
    ),
}


def deployable(actor: Actor, perm: str, team: Any = None) -> list[ModelVersion]:
    """Ready versions of the teams in which the actor may deploy, newest first per model."""
    teams = [team] if team is not None else teams_where(actor, perm)
    rows = ModelVersion.objects.filter(
        state=VersionState.READY, model__team__in=teams, format__in=formats_for("serve")
    )
    rows = rows.exclude(~Q(base_version__state=VersionState.READY), model__family=Family.ADAPTER)
    ordered = rows.order_by("model__team__slug", "model__name", "-number")
    return list(ordered.select_related("model__team")[:MOST_VERSIONS])


def pool_names(actor: Actor) -> list[str]:
    """The pools whose nodes the actor may use."""
    return [row.name for row in pool_list(actor=actor)]


def configurations(
    actor: Actor, perm: str, team: Any = None, chosen: str = ""
) -> list[ConfigRevision]:
    """The newest revision of each serving configuration, and the one that was asked for."""
    teams = [team] if team is not None else teams_where(actor, perm)
    rows = ConfigRevision.objects.visible_to(actor).filter(
        config__kind="serving", config__team__in=teams
    )
    newest = rows.order_by("config__team__slug", "config__name", "-number")
    newest = newest.distinct("config__team__slug", "config__name")
    found = list(newest.select_related("config__team")[:MOST_CONFIGS])
    if chosen.isascii() and chosen.isdecimal() and len(chosen) < 18:
        known = {row.pk for row in found}
        found += rows.filter(pk=int(chosen)).exclude(pk__in=known).select_related("config__team")
    return found


#: How the folded settings are grouped, in the order of the page.
SECTIONS = (
    (_("Engine"), EngineSettings),
    (_("Traffic"), TrafficSettings),
    (_("Scaling"), ScalingSettings),
    (_("Roll-out"), RolloutSettings),
)
#: Settings that only some choices have a use for: `data-when` of the page.
NEEDED_WHEN = {
    "canary_percent": "strategy:canary|shadow",
    "step_percent": "strategy:linear",
    "bake_s": "strategy:canary|linear|shadow",
    "draft_tokens": "draft:!",
}


def _filled_in(value: Any, kind: str) -> Any:
    """A stored value as its field shows it; an empty list is an empty field."""
    if isinstance(value, str) or kind == "hours":
        return value
    return "" if value in ([], {}) else shown(value, kind)


class RevisionForm(RowsForm):
    """What a deployment shall run."""

    #: A configuration makes the fields of the settings needless (see `_asked`).
    use_required_attribute = False

    model_version = forms.ChoiceField(label=_("Model version"))
    config = forms.ChoiceField(
        label=_("Settings"),
        required=False,
        help_text=_("Of a configuration, with the overlay that its environment has now."),
    )
    replicas = forms.IntegerField()
    threads = forms.IntegerField()
    max_slots = forms.IntegerField()
    max_context = forms.IntegerField()
    dtype = forms.ChoiceField(
        label=_("Number format"),
        choices=[("fp32", "fp32"), ("bf16", "bf16")],
        help_text=_("bf16 halves the memory where it is supported."),
    )
    keep_warm_s = forms.IntegerField()
    reason = forms.CharField(
        label=_("Why"),
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text=_("Approvers and colleagues read it beside the revision."),
    )

    def __init__(
        self,
        *args: Any,
        versions: list[ModelVersion],
        configs: list[ConfigRevision] | None = None,
        pools: list[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.pools = pools or []
        #: The settings as typed, once they are checked; the service checks them again.
        self.typed_spec: dict[str, Any] = {}
        self.configs = {str(row.pk): row for row in configs or []}
        rows = [(key, f"{row.config.team.slug}/{row}") for key, row in self.configs.items()]
        self.fields["config"].choices = [("", gettext("As given here")), *rows]  # type: ignore[attr-defined]
        self.versions = {str(row.pk): row for row in versions}
        choices = [
            (str(row.pk), f"{row.model.team.slug}/{row.model.name} v{row.number}")
            for row in versions
        ]
        self.fields["model_version"].choices = choices  # type: ignore[attr-defined]
        for name, (label, help_text) in LABELS.items():
            self._bound(name, label, help_text)
        self.kinds = self._folded()
        self.initial = {
            name: _filled_in(value, self.kinds[name]) if name in self.kinds else value
            for name, value in (self.initial or {}).items()
        }
        if self.is_bound and self.data.get("config"):
            for name in ServingSpec.model_fields:
                self.fields[name].required = False

    def _bound(self, name: str, label: Any, help_text: Any) -> None:
        """A setting with the bounds and the default that the configuration has."""
        schema = ServingSpec.model_json_schema()["properties"][name]
        self.fields[name] = forms.IntegerField(
            label=label,
            help_text=help_text,
            initial=schema["default"],
            min_value=schema["minimum"],
            max_value=schema["maximum"],
        )

    def _folded(self) -> dict[str, str]:
        """Fields of all other settings, made from the schema; left empty they take the default."""
        schema = json_schema(ServingSpec)["properties"]
        kinds = {}
        for name in ServingSpec.folded:
            kind, empty = kind_of_field(name, schema[name])
            kinds[name] = kind
            self.fields[name] = setting_field(name, kind, schema[name], False, empty)
            default = ServingSpec.model_fields[name].get_default(call_default_factory=True)
            self.fields[name].initial = _filled_in(default, kind)
        self._offer("pool", [("", gettext("The default pool")), *((p, p) for p in self.pools)])
        return kinds

    def _offer(self, name: str, choices: list[tuple[str, str]]) -> None:
        """A select in place of a text; a value that is offered no longer stays in it."""
        before = self.fields[name]
        value = str((self.data if self.is_bound else self.initial).get(name, ""))
        if value not in dict(choices):
            choices = [*choices, (value, value)]
        self.fields[name] = forms.ChoiceField(
            label=before.label, help_text=before.help_text, required=False, choices=choices
        )
        self.fields[name].widget.is_required = False

    def sections(self) -> list[tuple[Any, list[tuple[forms.BoundField, str]]]]:
        """What the page folds away: fields under headings, each with its `data-when` or ""."""
        return [
            (title, [(self[name], NEEDED_WHEN.get(name, "")) for name in part.model_fields])
            for title, part in SECTIONS
        ]

    def folded_open(self) -> bool:
        """Whether the folded part holds an error, or rows that were just asked for."""
        return any(name in self.errors for name in self.kinds) or self.rows_asked(self.kinds)

    def values_now(self) -> dict[str, Any]:
        """Of the settings of scaling."""
        found = {}
        for name in ScalingSettings.model_fields:
            value = self[name].value()
            if isinstance(value, str):
                value = typed(value, self.kinds[name])
            if value is not None:
                found[name] = value
        return found

    def clean(self) -> dict[str, Any]:
        """Every setting that is wrong is said beside its field, all at the same time."""
        cleaned = super().clean() or {}
        if cleaned.get("config"):
            return cleaned
        spec = {name: cleaned[name] for name in ServingSpec.model_fields if name in cleaned}
        for name, kind in self.kinds.items():
            spec.pop(name, None)
            try:
                value = self._typed(name, kind)
            except YamlError as error:
                self.add_error(name, [text for said in error.errors.values() for text in said])
                continue
            if value is not None:
                spec[name] = value
        try:
            parse(ServingSpec, spec)
        except InvalidInput as error:
            for path, texts in error.errors.items():
                if self.place_in_row(path, texts):
                    continue
                name, _dot, rest = path.partition(".")
                self.add_error(name, [f"{rest}: {text}" if rest else text for text in texts])
        self.typed_spec = spec
        return cleaned

    def _typed(self, name: str, kind: str) -> Any:
        """As typed; a field that the page hides keeps what it was filled in with."""
        if kind == "hours":
            return self[name].value()
        if name in NEEDED_WHEN and name not in self.data:
            return self.initial.get(name)
        return typed(self.data.get(name, ""), kind)

    def version(self) -> ModelVersion:
        """The chosen version."""
        return self.versions[self.cleaned_data["model_version"]]

    def settings(self) -> dict[str, Any]:
        """`spec` or `config_revision`, as services take them."""
        chosen = self.configs.get(self.cleaned_data["config"])
        if chosen is not None:
            return {"config_revision": chosen}
        return {"spec": self.typed_spec}


class DeploymentForm(RevisionForm):
    """A new deployment with its first revision."""

    name = forms.CharField(
        label=_("Name"),
        max_length=63,
        help_text=_("Clients ask for team/name. Lower-case letters, digits, dots and dashes."),
    )
    environment = forms.ChoiceField(label=_("Environment"))
    description = forms.CharField(
        label=_("Description"),
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.environments = {row.name: row for row in environment_list()}
        choices = [
            (row.name, f"{row.name} · {_('needs approval')}" if row.protected else row.name)
            for row in self.environments.values()
        ]
        self.fields["environment"].choices = choices  # type: ignore[attr-defined]

    def clean_name(self) -> str:
        """As the service wants it, so that it is said together with everything else."""
        try:
            return clean_slug(self.cleaned_data["name"])
        except InvalidInput as error:
            raise forms.ValidationError(list(error.errors["name"])) from error
