"""Up to five runs side by side: settings that differ, figures, curves in one chart."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from console.pages.navigation import url_or_none
from models_app.registry.curves import curve_of
from models_app.registry.run_comparison import runs_compare
from models_app.registry.run_selectors import RunView, run_views, runs_visible

MOST_RUNS, MOST_CHARTS, POINTS = 5, 6, 300
#: Curves that people look at first.
FIRST = ("validation_loss", "loss", "learning_rate", "gradient_norm", "tokens_per_second")


@login_required
def run_compare(request: HttpRequest) -> HttpResponse:
    """`?run=1&run=2`: exactly what was ticked, in that order."""
    actor: Any = request.user
    keys = [int(t) for t in request.GET.getlist("run") if t.isdecimal() and len(t) < 18]
    runs = runs_visible(actor=actor, run_ids=keys)[:MOST_RUNS]
    views = run_views(runs)
    return render(
        request,
        "runs/compare.html",
        {
            "views": views,
            "heads": [_head(view, place) for place, view in enumerate(views)],
            "too_many": len(dict.fromkeys(keys)) > MOST_RUNS,
            "most": MOST_RUNS,
            "found": runs_compare(views),
            "charts": _charts(views),
        },
    )


def _head(view: RunView, place: int) -> dict[str, Any]:
    run, version = view.run, view.version
    return {
        "view": view,
        "place": place,
        "href": url_or_none("job_detail", run.pk),
        "version_url": url_or_none("model_version", run.team.slug, run.model.name, version.number)
        if version and run.model
        else None,
    }


def _charts(views: list[RunView]) -> list[dict[str, Any]]:
    """A chart for each metric that at least one of them has measured more than once."""
    names = {name for view in views for name in view.metrics}
    ordered = [name for name in FIRST if name in names] + sorted(names - set(FIRST))
    charts: list[dict[str, Any]] = []
    for name in ordered:
        curves = [dict(curve_of(job=view.run.job, name=name, max_points=POINTS)) for view in views]
        if max((len(curve) for curve in curves), default=0) < 2:
            continue
        steps = sorted({step for curve in curves for step in curve})
        data = {
            "x": steps,
            "series": [[curve.get(step) for step in steps] for curve in curves],
            "labels": [f"{view.run.name} #{view.pk}" for view in views],
        }
        charts.append({"id": f"chart-{len(charts)}", "name": name, "data": data})
        if len(charts) == MOST_CHARTS:
            break
    return charts
