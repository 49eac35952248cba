"""The page that begins a sweep: of which model, over which settings, and how it searches."""

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.forms import add_errors
from console.pages.jobs.control import too_high
from console.pages.jobs.placing import PlacingForm
from console.pages.registry.training import config_asked
from console.pages.sweeps.table import SpaceTable
from models_app.configs.specs import spec_class
from models_app.core.errors import InvalidInput, PermissionDenied
from models_app.core.permission import require
from models_app.core.teams import teams_where
from models_app.datasets.selectors import versions_ready as data_ready
from models_app.registry import selectors
from models_app.registry.families import MARKOV, spec_kind
from models_app.registry.models import Model
from models_app.registry.states import Family, VersionState
from models_app.sweeps.checking import USUAL_FACTOR, Halving
from models_app.sweeps.measures import RESOURCES, measures_of
from models_app.sweeps.models import Sweep
from models_app.sweeps.services import sweep_start
from models_app.sweeps.states import Strategy

PERM = "registry.add_version"
MOST_CHOICES = 400
#: What a form for a first transformer begins with.
PRESET = "gpt2-1m"
#: Families whose models are trained here from settings.
TRAINED = (Family.TRANSFORMER, *MARKOV)


class SweepForm(PlacingForm):
    """Data and way of searching; the settings are edited beside it."""

    use_required_attribute = False

    dataset_version = forms.ChoiceField(label=gettext_lazy("Dataset version"))
    base_version = forms.ChoiceField(label=gettext_lazy("From a version"), required=False)
    strategy = forms.ChoiceField(
        label=gettext_lazy("Strategy"), choices=Strategy.choices, initial=Strategy.RANDOM
    )
    metric = forms.ChoiceField(label=gettext_lazy("Compared by"), required=False)
    max_trials = forms.IntegerField(
        label=gettext_lazy("Most trials"),
        initial=20,
        help_text=gettext_lazy("A grid takes all of its points, and is refused if it has more."),
    )
    parallel = forms.IntegerField(label=gettext_lazy("At the same time"), initial=2)
    seed = forms.IntegerField(
        label=gettext_lazy("Seed of the search"),
        initial=0,
        help_text=gettext_lazy("The same seed and results choose the same settings."),
    )
    stopping = forms.BooleanField(
        label=gettext_lazy("Stop hopeless trials early"),
        required=False,
        help_text=gettext_lazy(
            "At each rung only the best go on (asynchronous successive halving)."
        ),
    )
    min_resource = forms.IntegerField(
        label=gettext_lazy("First rung at"),
        required=False,
        help_text=gettext_lazy("Steps, or iterations. Empty: at the first report."),
    )
    reduction_factor = forms.IntegerField(
        label=gettext_lazy("One in so many goes on"), required=False, initial=USUAL_FACTOR
    )
    note = forms.CharField(label=gettext_lazy("What for"), required=False, max_length=200)

    def __init__(self, *args: Any, actor: Any, model: Model, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        kind = spec_kind(model.family)
        fields: Any = self.fields
        self.data_versions = {
            str(row.pk): row for row in data_ready(actor=actor, team=model.team)[:MOST_CHOICES]
        }
        fields["dataset_version"].choices = [(k, str(v)) for k, v in self.data_versions.items()]
        fields["metric"].choices = [("", _("Usual one")), *((m, m) for m in measures_of(kind))]
        self.bases: dict[str, Any] = {}
        if kind in RESOURCES:
            fields["min_resource"].label = _("First rung at, in %(unit)s") % {
                "unit": RESOURCES[kind]
            }
        else:
            for name in ("stopping", "min_resource", "reduction_factor"):
                del fields[name]
        if kind == "training":
            rows = selectors.versions_ready(actor=actor, ability="train")
            rows = rows.filter(model__team=model.team_id)[:MOST_CHOICES]
            self.bases = {str(row.pk): row for row in rows}
            listed = ((key, str(row)) for key, row in self.bases.items())
            fields["base_version"].choices = [("", _("No, begin anew")), *listed]
        else:
            del fields["base_version"]
        self.add_placing(actor)

    def halving(self) -> Halving | None:
        """What was asked of early stopping."""
        given = self.cleaned_data
        if not given.get("stopping"):
            return None
        return Halving(
            min_resource=given["min_resource"],
            reduction_factor=given["reduction_factor"] or USUAL_FACTOR,
        )

    def refused(self, errors: Mapping[str, list[str]]) -> None:
        """Put what the service says beside its fields."""
        renamed = {path.removeprefix("early_stopping."): texts for path, texts in errors.items()}
        if "early_stopping" in renamed and "stopping" in self.fields:
            renamed["stopping"] = renamed.pop("early_stopping")
        add_errors(self, self.placed_errors(InvalidInput(renamed)))


@login_required
def sweep_new(request: HttpRequest) -> HttpResponse:
    """`?model=` chooses the model; `?config=` is a revision that fills the settings in."""
    actor: Any = request.user
    require(actor, PERM)
    model = _model_asked(actor, request)
    if model is None:
        teams = teams_where(actor, PERM)
        rows = Model.objects.filter(team__in=teams, family__in=TRAINED).select_related("team")
        models = rows.order_by("team__slug", "name")[:MOST_CHOICES]
        return render(request, "sweeps/choose.html", {"models": models})
    require(actor, PERM, model)
    posted = request.POST if request.method == "POST" else None
    initial, config = _initial(actor, request, model)
    table = SpaceTable(spec_kind(model.family), config, {}, posted)
    form = SweepForm(posted, actor=actor, model=model, initial=initial)
    if posted is not None and table.switching:
        table.switch()
        form = SweepForm(None, actor=actor, model=model, initial=posted.dict())
    elif posted is not None:
        raw = table.raw()
        if form.is_valid() and raw is not None:
            sweep = _started(actor, model, form, table, *raw)
            if sweep is not None:
                messages.success(request, _("The search has begun."))
                return redirect("sweep_detail", sweep.pk)
    status = 422 if form.errors or table.wrong else 200
    context = {"form": form, "table": table, "model": model}
    return render(request, "sweeps/new.html", context, status=status)


def _started(
    actor: Any, model: Model, form: SweepForm, table: SpaceTable,
    config: dict[str, Any], space: dict[str, Any],
) -> Sweep | None:  # fmt: skip
    """The sweep; None with everything marked that is wrong."""
    given = form.cleaned_data
    try:
        return sweep_start(
            actor=actor, team=model.team, model=model, spec=config, space=space,
            dataset_version=form.data_versions[given["dataset_version"]],
            base_version=form.bases.get(given.get("base_version", "")),
            halving=form.halving(), **form.placing(),
            **{name: given[name] for name in
               ("strategy", "metric", "max_trials", "parallel", "seed", "note")},
        )  # fmt: skip
    except InvalidInput as error:
        form.refused(table.refuse(error))
    except PermissionDenied as error:
        if error.extra.get("permission") != "jobs.prioritise_job":
            raise
        form.add_error("priority", too_high())
    return None


def _model_asked(actor: Any, request: HttpRequest) -> Model | None:
    """The model of the address, or NotFound; None where none is named."""
    key = request.GET.get("model", "")
    if not (key.isascii() and key.isdecimal() and len(key) < 18):
        return None
    model = selectors.model_get(actor=actor, model_id=int(key))
    return model if model.family in TRAINED else None


def _initial(
    actor: Any, request: HttpRequest, model: Model
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What fills the form and the settings in: a revision, else the newest ready version."""
    kind = spec_kind(model.family)
    chosen = config_asked(actor, request.GET.get("config", ""), kind)
    if chosen is not None:
        return {}, dict(chosen.spec)
    newest = (
        model.versions.filter(config_revision__config__kind=kind, state=VersionState.READY)
        .select_related("config_revision")
        .order_by("-number")
        .first()
    )
    if newest is not None and newest.config_revision is not None:
        found = {"dataset_version": newest.dataset_version_id}
        return found, dict(newest.config_revision.spec)
    values = dict(spec_class(kind).suggested())
    return {}, {**values, "preset": PRESET} if kind == "training" else values
