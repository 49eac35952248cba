"""Pages of imports and scans of models."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST

from console.pages.forms import add_errors
from console.pages.registry.import_form import NEW, PERM, ImportForm
from console.pages.uploads import takes_uploads
from models_app.core.errors import Conflict, InvalidInput, WrongState
from models_app.core.permission import require
from models_app.registry import selectors
from models_app.registry.models import ModelVersion
from models_app.registry.scan_rules import RULES, RULESET
from models_app.registry.services import model_create_imported, version_import, version_scan
from models_app.registry.services.filling import check_waiting


def _may_add(request: HttpRequest) -> None:
    require(request.user, PERM)  # type: ignore[arg-type]


@takes_uploads(_may_add)
def model_import(request: HttpRequest) -> HttpResponse:
    """A model version from outside; `?model=3` chooses the model, `?from=7` begins as v7 did,
    `?version=7` brings the files of that version, which waits for them.
    """
    actor: Any = request.user
    posted = request.method == "POST"
    form = ImportForm(
        request.POST if posted else None,
        request.FILES if posted else None,
        actor=actor,
        begin=_initial(request),
        version=_target(request),
    )
    if posted and form.is_valid():
        try:
            version = _import(actor, form)
        except InvalidInput as error:
            add_errors(form, error)
        except (Conflict, WrongState) as error:
            form.add_error("name" if "name" in form.fields else None, error.message)
        else:
            return _started(request, version)
    context = {
        "form": form,
        "version": form.version,
        "upload_limit": settings.UPLOAD_LIMIT_MIB << 20,
        "hubs": settings.IMPORT_HUBS,
        "import_dir": settings.IMPORT_DIR,
    }
    return render(request, "models/import.html", context, status=422 if form.errors else 200)


def _initial(request: HttpRequest) -> dict[str, Any]:
    """What the address asks for: a model, or another version's source again."""
    model, version = request.GET.get("model", ""), _version(request, "from")
    if version is None:
        target = _version(request, "version")
        return {"model": model, "notes": target.notes if target else ""}
    source = version.source
    kind = source.get("kind", "path")
    return {
        "model": version.model_id,
        "source": "cache" if kind == "path" and source.get("revision") else kind,
        "base_version": version.base_version_id,
        "leave_out": " ".join(source.get("leave_out", [])),
        **{name: source.get(name, "") for name in ("path", "url", "repo", "revision")},
    }


def _target(request: HttpRequest) -> ModelVersion | None:
    """The version that the files are for; WrongState, saying why, where it takes none."""
    version = _version(request, "version")
    if version is not None:
        check_waiting(version)
    return version


def _version(request: HttpRequest, name: str) -> ModelVersion | None:
    actor: Any = request.user
    key = request.GET.get(name, "")
    if not (key.isascii() and key.isdecimal() and len(key) < 18):
        return None
    return selectors.version_get(actor=actor, version_id=int(key))


def _import(actor: Any, form: ImportForm) -> ModelVersion:
    given = form.cleaned_data
    common: dict[str, Any] = {
        "actor": actor,
        "source": form.chosen(),
        "base_version": form.bases.get(given["base_version"]),
        "notes": given["notes"],
        "idempotency_key": form.key_for_service(),
    }
    if form.version is not None:
        return version_import(model=form.version.model, version=form.version, **common)
    if given["model"] == NEW:
        return model_create_imported(team=form.teams[given["team"]], name=given["name"], **common)
    return version_import(model=form.models[given["model"]], **common)


def _started(request: HttpRequest, version: ModelVersion) -> HttpResponse:
    """To the page of the version; a script that uploaded is told where that is."""
    messages.success(request, _("The import is queued. This page follows it."))
    where = (version.model.team.slug, version.model.name, version.number)
    if "x-upload" in request.headers:
        return JsonResponse({"location": reverse("model_version", args=where)}, status=201)
    return redirect("model_version", *where)


@login_required
@require_POST
def scan(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Look into the files again, by the rules of today."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    version_scan(actor=actor, version=version)
    messages.success(request, _("The scan is queued. Its report appears here."))
    return redirect(f"{reverse('model_version', args=(team, name, number))}?tab=scan")


def scan_shown(version: ModelVersion) -> dict[str, Any]:
    """The newest scan of a version as its page shows it, in the reader's language."""
    row = version.scans.select_related("produced_by").first()
    if row is None:
        return {}
    findings = [
        {
            **finding,
            "title": _rule(finding, "title"),
            "remedy": _rule(finding, "remedy"),
        }
        for finding in row.report.get("findings", [])
    ]
    counts = row.report.get("counts", {})
    return {
        "row": row,
        "findings": findings,
        "counts": _counted(counts),
        "unnamed": sum(counts.values()) - len(findings),
        "files": sorted(row.report.get("files", {}).items()),
        "is_old": row.ruleset < RULESET,
        "ruleset": RULESET,
    }


def _counted(counts: dict[str, int]) -> list[str]:
    """How many of each severity, in words; none where there are none."""
    words = (
        ("blocked", ngettext("%(n)s blocks it", "%(n)s block it", counts.get("blocked", 0))),
        ("warning", ngettext("%(n)s warning", "%(n)s warnings", counts.get("warning", 0))),
        ("note", ngettext("%(n)s note", "%(n)s notes", counts.get("note", 0))),
    )
    return [text % {"n": counts[name]} for name, text in words if counts.get(name)]


def _rule(finding: dict[str, str], part: str) -> str:
    """Words of today's table in the reader's language; of a rule that is gone, as it was stored."""
    rule = RULES.get(finding["rule"])
    text = getattr(rule, part) if rule else finding.get(part, "")
    return _(text) if text else ""
