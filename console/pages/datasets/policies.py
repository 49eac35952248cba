"""The data policy of a team: its rules, their history, and changing them."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from console.pages.forms import add_errors
from models_app.core.errors import FieldError, InvalidInput, NotFound
from models_app.core.permission import require
from models_app.core.teams import team_named
from models_app.curation.services import data_policy_change
from models_app.datasets.models import Dataset, QualityPolicy
from models_app.datasets.policy import MEASURES, PolicySpec
from models_app.datasets.quality import policy_current, policy_spec

CHANGE = "datasets.change_policy"
PER_PAGE = 20
ACTION_LABELS = [
    ("off", gettext_lazy("Off")),
    ("warn", gettext_lazy("Warn")),
    ("block", gettext_lazy("Block")),
]


class PolicyForm(forms.Form):
    """An action and a limit for each measure, and what they are measured by."""

    languages = forms.CharField(
        label=gettext_lazy("Languages"),
        required=False,
        max_length=400,
        help_text=gettext_lazy("Codes such as en, zh; documents in others count as other."),
    )
    evaluation_datasets = forms.MultipleChoiceField(
        label=gettext_lazy("Evaluation datasets"),
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text=gettext_lazy("Their newest versions must not be inside what is trained on."),
    )
    near_threshold = forms.FloatField(
        label=gettext_lazy("Similar from"),
        min_value=0.5,
        max_value=1,
        widget=forms.NumberInput(attrs={"step": "any"}),
        help_text=gettext_lazy("Counts from the next check on."),
    )
    unchecked = forms.ChoiceField(
        label=gettext_lazy("Before the first check"),
        choices=[
            ("allow", gettext_lazy("May be trained on")),
            ("refuse", gettext_lazy("Must not be trained on")),
        ],
    )
    reason = forms.CharField(label=gettext_lazy("Why"), required=False, max_length=200)

    def __init__(self, data: Any, *, spec: PolicySpec, datasets: list[str]) -> None:
        plain = spec.plain()
        super().__init__(data, initial={**plain, "languages": ", ".join(plain["languages"])})
        for name, label in MEASURES.items():
            self.fields[f"{name}_action"] = forms.ChoiceField(
                label=str(label), choices=ACTION_LABELS, initial=plain[name]["action"]
            )
            self.fields[f"{name}_percent"] = forms.FloatField(
                label=_("At most, in percent"), min_value=0, max_value=100,
                initial=plain[name]["max_percent"],
                widget=forms.NumberInput(
                    attrs={
                        "step": "any",
                        "aria-label": _("%(measure)s: at most, in percent") % {"measure": label},
                    }
                ),
            )  # fmt: skip
        known = sorted({*datasets, *spec.evaluation_datasets})
        field: Any = self.fields["evaluation_datasets"]
        field.choices = [(name, name) for name in known]

    def rules(self) -> list[tuple[Any, Any]]:
        """The fields of each measure."""
        return [(self[f"{name}_action"], self[f"{name}_percent"]) for name in MEASURES]

    def spec(self) -> dict[str, Any]:
        """The rules as the service takes them."""
        given = self.cleaned_data
        rules = {
            name: {"action": given[f"{name}_action"], "max_percent": given[f"{name}_percent"]}
            for name in MEASURES
        }
        return {
            **rules,
            "languages": given["languages"].replace(",", " ").lower().split(),
            "evaluation_datasets": given["evaluation_datasets"],
            "near_threshold": given["near_threshold"],
            "unchecked": given["unchecked"],
        }

    def add_service_errors(self, error: InvalidInput) -> None:
        """`spec.empty.max_percent` belongs beside the limit of that measure."""
        placed = {
            path.removeprefix("spec.")
            .replace(".max_percent", "_percent")
            .replace(".action", "_action"): said
            for path, said in error.errors.items()
        }
        add_errors(self, InvalidInput(placed))


@login_required
def data_policy(request: HttpRequest, team: str) -> HttpResponse:
    """The rules in force, as a form for those who may change them; and earlier ones."""
    actor: Any = request.user
    try:
        owner = team_named(actor, team)
    except FieldError as error:
        raise NotFound(error.message) from None
    names = list(Dataset.objects.filter(team=owner).values_list("name", flat=True)[:200])
    posted = request.POST if request.method == "POST" else None
    form = PolicyForm(posted, spec=policy_spec(owner.pk), datasets=names)
    if request.method == "POST":
        require(actor, CHANGE, owner)
        if form.is_valid():
            try:
                data_policy_change(
                    actor=actor, team=owner, spec=form.spec(), reason=form.cleaned_data["reason"]
                )
            except InvalidInput as error:
                form.add_service_errors(error)
            else:
                messages.success(
                    request, _("The rules are in force; all versions are judged anew.")
                )
                return redirect("data_policy", team)
    rows = QualityPolicy.objects.filter(team=owner).select_related("created_by")
    context = {
        "team": owner,
        "form": form,
        "policy": policy_current(owner.pk),
        "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
        "may_change": actor.has_perm(CHANGE, owner),
    }
    return render(request, "datasets/policy.html", context, status=422 if form.errors else 200)
