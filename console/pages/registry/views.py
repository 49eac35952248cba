"""Views of models that read: list, model, version with its files, comparison."""

from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import FileResponse, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from console.pages.lists import list_context, page_of, team_menu, teams_seen
from console.pages.registry.attacks import attacks_shown
from console.pages.registry.catalogue import model_catalogue, version_catalogue
from console.pages.registry.explaining import explained
from console.pages.registry.filling import awaited
from console.pages.registry.importing import scan_shown
from console.pages.registry.lineage import lineage
from console.pages.registry.states import states_shown
from models_app.core.blobs import blob_open
from models_app.core.errors import FieldError, NotFound
from models_app.core.teams import teams_where
from models_app.registry import selectors
from models_app.registry.api.bundles import bundle_response
from models_app.registry.comparison import version_compare
from models_app.registry.drill_selectors import proven_at
from models_app.registry.families import MARKOV
from models_app.registry.formats import ABILITIES, formats_for
from models_app.registry.models import Model, ModelVersion
from models_app.registry.services.bundles import is_bundled
from models_app.registry.states import Family, Stage, VersionState
from models_app.registry.use import version_uses

TABS = (
    ("", gettext_lazy("Overview")),
    ("evaluations", gettext_lazy("Evaluations")),
    ("config", gettext_lazy("Settings")),
    ("files", gettext_lazy("Files")),
    ("scan", gettext_lazy("Scan")),
    ("provenance", gettext_lazy("Provenance")),
    ("lineage", gettext_lazy("Lineage")),
    ("card", gettext_lazy("Card")),
    ("reproduce", gettext_lazy("Rebuild")),
)
STATES_TAB = ("states", gettext_lazy("States"))


@login_required
def model_list(request: HttpRequest) -> HttpResponse:
    """Models of my teams with their newest versions."""
    actor: Any = request.user
    team, name = request.GET.get("team", ""), request.GET.get("q", "")
    stage = request.GET.get("stage", "")
    rows = selectors.model_list(actor=actor, team=team, name=name, stage=stage)
    page = page_of(request, rows)
    shown: list[Any] = list(page.object_list)
    newest = selectors.newest_versions(shown)
    staged = selectors.staged_versions(shown)
    for row in shown:
        row.newest, row.staged = newest.get(row.pk), staged.get(row.pk, [])
    teams = teams_seen(actor)
    stages = [row for row in Stage.choices if row[0] != Stage.NONE]
    menus = [team_menu(teams), ("stage", _("Any stage"), stages)]
    count = page.paginator.count
    return render(
        request,
        "models/list.html",
        {
            **list_context(request, page, teams, menus),
            "rows": shown,
            "may_train": bool(teams_where(actor, "registry.add_version")),
            "search": {"value": name, "placeholder": _("Name of a model")},
            "result": ngettext("%(n)s model", "%(n)s models", count) % {"n": count},
        },
    )


@login_required
def model_detail(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """A model with its versions; two ticked ones are compared."""
    actor: Any = request.user
    model = selectors.model_named(actor=actor, team=team, name=name)
    state = request.GET.get("state", "")
    stage = request.GET.get("stage", "")
    rows = selectors.version_list(actor=actor, model=model, state=state, stage=stage)
    rows = rows.prefetch_related("aliases", "tags")
    page = Paginator(rows, 25).get_page(request.GET.get("page"))
    ready = selectors.version_list(actor=actor, model=model, state=VersionState.READY)
    # What is offered for deployment must be something that is served here.
    newest = ready.filter(format__in=formats_for("serve")).first() or ready.first()
    return render(
        request,
        "models/detail.html",
        {
            "model": model,
            "page": page,
            "versions": page.object_list,
            "newest": newest,
            "lineage": lineage(newest) if newest else None,
            "may": _may(actor, model),
            "filters": [
                {
                    "name": "state",
                    "label": _("Any state"),
                    "value": state,
                    "options": VersionState.choices,
                },
                {
                    "name": "stage",
                    "label": _("Any stage"),
                    "value": stage,
                    "options": Stage.choices,
                },
            ],
            "topic": f"model.{model.pk}",
            **model_catalogue(actor, model),
        },
    )


@login_required
def model_version(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """One version: figures, evaluations, settings, files, provenance, each under its own URL."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    tab = request.GET.get("tab", "")
    tabs = (TABS[0], STATES_TAB, *TABS[1:]) if version.model.family == Family.HMM else TABS
    names = {key for key, _label in tabs}
    job = version.produced_by
    may, able = _may(actor, version), ABILITIES.get(version.format, set())
    return render(
        request,
        "models/version.html",
        {
            "version": version,
            "model": version.model,
            "job": job,
            "tab": tab if tab in names else "",
            "tabs": tabs,
            "evaluations": list(version.evaluations.all()),
            "revisions": version.revisions.select_related(
                "deployment__team", "deployment__environment"
            ),
            "files": sorted(version.manifest.items()),
            "bundled": is_bundled(version),
            "settings": _settings(version),
            "lineage": lineage(version),
            "scan": scan_shown(version),
            "formats": list(selectors.conversion_list(actor=actor, version=version.pk)[:50]),
            "conversion": getattr(version, "conversion", None),
            "trial": getattr(version, "trial", None),
            "able": able,
            "markov": MARKOV,
            "proven_at": proven_at(version),
            "others": _others(actor, version),
            "may": may,
            "uses": version_uses(version) if may["quarantine"] else [],
            "awaited": awaited(version),
            "topic": _topic(version),
            **(attacks_shown(version, able) if tab == "evaluations" else {}),
            **(states_shown(version) if tab == STATES_TAB[0] else {}),
            **version_catalogue(actor, version),
            **explained(request, version, tab),
        },
    )


@login_required
def model_version_file(
    request: HttpRequest, team: str, name: str, number: int, path: str
) -> FileResponse:
    """One file of a version, to download."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    entry = version.manifest.get(path)
    if entry is None:
        raise NotFound(_("The version has no such file."))
    return FileResponse(
        blob_open(entry["sha256"]),
        as_attachment=True,
        filename=path.rsplit("/", 1)[-1],
        content_type="application/octet-stream",
    )


@login_required
def model_version_bundle(request: HttpRequest, team: str, name: str, number: int) -> Any:
    """The version as one file, which another console can import."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    return bundle_response(request, version)


@login_required
def model_compare(request: HttpRequest, team: str, name: str) -> HttpResponse:
    """Two versions side by side, the older one first: `?v=1&v=2`."""
    actor: Any = request.user
    model = selectors.model_named(actor=actor, team=team, name=name)
    numbers = [text for text in request.GET.getlist("v") if text.isdecimal() and len(text) < 9]
    versions = list(selectors.version_list(actor=actor, model=model)[:200])
    by_number = {str(row.number): row for row in versions}
    chosen = [by_number[text] for text in numbers if text in by_number][:2]
    if len(chosen) < 2:
        if len(versions) < 2:
            return redirect("model_detail", team, name)
        chosen = (chosen + [row for row in versions if row not in chosen])[:2][::-1]
    first, second = sorted(chosen, key=lambda row: row.number)
    return render(
        request,
        "models/compare.html",
        {
            "model": model,
            "versions": versions,
            "first": first,
            "second": second,
            "found": version_compare(first, second),
        },
    )


def team_of(actor: Any, slug: str, perm: str) -> Any:
    """The team of this name in which the actor has the permission, or FieldError."""
    for team in teams_where(actor, perm):
        if team.slug == slug:
            return team
    raise FieldError("team", _("Choose one of your teams."))


def _may(actor: Any, row: Model | ModelVersion) -> dict[str, bool]:
    return {
        "train": actor.has_perm("registry.add_version", row),
        "change": actor.has_perm("registry.change_model", row),
        "convert": actor.has_perm("registry.convert_version", row),
        "evaluate": actor.has_perm("registry.evaluate_version", row),
        "scan": actor.has_perm("registry.scan_version", row),
        "quarantine": actor.has_perm("registry.quarantine_version", row),
        "deploy": actor.has_perm("deployments.add_deployment", row),
        "stop": actor.has_perm("deployments.change_deployment", row),
    }


def _topic(version: ModelVersion) -> str:
    """What the page of a version follows: its model, its job, the import that brings its files."""
    jobs = [key for key in (version.produced_by_id, version.filled_by_id) if key]
    return " ".join([f"model.{version.model_id}", *(f"job.{key}" for key in jobs)])


def _settings(version: ModelVersion) -> list[tuple[str, Any]]:
    return sorted(version.config_revision.spec.items()) if version.config_revision else []


def _others(actor: Any, version: ModelVersion) -> list[ModelVersion]:
    rows = selectors.version_list(actor=actor, model=version.model, state=VersionState.READY)
    return list(rows.exclude(pk=version.pk)[:20])
