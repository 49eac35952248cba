"""Views of sweeps: the list, one sweep with its trials, and what people do to it."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST

from console.pages.context import nav_count
from console.pages.lists import list_context, page_of, team_menu, teams_seen
from console.pages.sweeps.pictures import best_line, scatters
from console.pages.sweeps.words import dimension_words, trial_rows
from models_app.core.errors import WrongState
from models_app.core.teams import teams_where
from models_app.sweeps.models import Sweep
from models_app.sweeps.selectors import bests, sweep_get, sweep_list, trial_list
from models_app.sweeps.services import sweep_pause, sweep_resume, sweep_stop
from models_app.sweeps.states import OPEN, SweepState, TrialState

PERM = "registry.add_version"
#: Trials of which the pictures are drawn.
MOST_DRAWN = 1000
ACTIONS: dict[str, tuple[Any, Any]] = {
    "pause": (sweep_pause, gettext_lazy("It starts no more trials until it is resumed.")),
    "resume": (sweep_resume, gettext_lazy("It starts trials again.")),
    "stop": (sweep_stop, gettext_lazy("The sweep is stopped; what ran is being cancelled.")),
}


@nav_count("sweep_list", "sweep.changed")
def searching(user: Any) -> dict[str, Any]:
    """The number beside the navigation entry."""
    rows = Sweep.objects.visible_to(user).filter(state__in=OPEN)
    return {"value": rows.count(), "tone": "", "hint": _("not over")}


@login_required
def sweep_list_view(request: HttpRequest) -> HttpResponse:
    """Sweeps of my teams, newest first, each with its best trial."""
    actor: Any = request.user
    state, team = request.GET.get("state", ""), request.GET.get("team", "")
    page = page_of(request, sweep_list(actor=actor, state=state, team=team))
    rows: list[Any] = list(page.object_list)
    found = bests(rows)
    for row in rows:
        row.best = found.get(row.pk)
    teams = teams_seen(actor)
    count = page.paginator.count
    menus = [("state", _("Any state"), SweepState.choices), team_menu(teams)]
    return render(
        request,
        "sweeps/list.html",
        {
            **list_context(request, page, teams, menus),
            "rows": rows,
            "may_start": bool(teams_where(actor, PERM)),
            "result": ngettext("%(n)s sweep", "%(n)s sweeps", count) % {"n": count},
        },
    )


@login_required
def sweep_detail(request: HttpRequest, pk: int) -> HttpResponse:
    """One sweep: how it stands, the best so far, its trials, pictures over each setting."""
    actor: Any = request.user
    sweep = sweep_get(actor=actor, sweep_id=pk)
    state = request.GET.get("state", "")
    trials = list(trial_list(sweep=sweep)[:MOST_DRAWN])
    shown = [trial for trial in trials if not state or trial.state == state]
    page = Paginator(shown, 50).get_page(request.GET.get("page"))
    best = bests([sweep]).get(sweep.pk)
    names = list(sweep.space)
    return render(
        request,
        "sweeps/detail.html",
        {
            "sweep": sweep,
            "best": best,
            "names": names,
            "page": page,
            "rows": trial_rows(page.object_list, names, best),
            "space": [(name, dimension_words(one)) for name, one in sweep.space.items()],
            "line": best_line(sweep, trials),
            "pictures": scatters(trials, names, best),
            "may": actor.has_perm(PERM, sweep),
            "is_open": sweep.state in OPEN,
            "topic": f"sweep.{sweep.pk}",
            "filters": [
                {
                    "name": "state",
                    "label": _("Any state"),
                    "value": state,
                    "options": TrialState.choices,
                }
            ],
            "result": ngettext("%(n)s trial", "%(n)s trials", len(shown)) % {"n": len(shown)},
        },
    )


@login_required
@require_POST
def sweep_act(request: HttpRequest, pk: int, action: str) -> HttpResponse:
    """Pause, resume or stop."""
    actor: Any = request.user
    sweep = sweep_get(actor=actor, sweep_id=pk)
    if action not in ACTIONS:
        raise Http404
    service, said = ACTIONS[action]
    try:
        service(actor=actor, sweep=sweep)
    except WrongState as error:
        messages.error(request, error.message)
    else:
        messages.success(request, said)
    return redirect("sweep_detail", pk)
