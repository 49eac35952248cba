"""The quality of a version: its report, checking it again, asking for a waiver."""

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from console.pages.datasets.versions import show_tab, version_shown
from models_app.approvals.models import ApprovalRequest
from models_app.approvals.services import LIVE
from models_app.core.errors import InvalidInput, SlipwayError
from models_app.curation.services import waiver_request
from models_app.curation.standing import SUBJECT
from models_app.datasets import selectors
from models_app.datasets.checking import check_newest, quality_check_submit
from models_app.datasets.models import DatasetVersion, VersionQuality
from models_app.datasets.policy import MEASURES, PERSONAL_LABELS, figures
from models_app.datasets.quality import (
    breach_text,
    policy_current,
    policy_spec,
    quality_of,
    row_name,
)
from models_app.jobs.states import TERMINAL

WAIVE = "datasets.waive_quality"
LANGUAGES_SHOWN = 12


@login_required
def report(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """State, broken rules, figures and plots."""
    actor: Any = request.user
    version = version_shown(request, team, name, number)
    quality, check = quality_of(version), check_newest(version)
    stored = quality.report.report if quality.report else None
    return show_tab(
        request,
        version,
        "quality",
        report=quality.report,
        measures=_measures(version, quality),
        personal=_bars((stored or {}).get("personal", {}), PERSONAL_LABELS),
        languages=_languages(stored),
        lengths=_lengths(stored),
        evaluation=(stored or {}).get("evaluation", []),
        blocking=[breach_text(b) for b in quality.breaches if b["action"] == "block"],
        check=check,
        checking=check is not None and check.state not in TERMINAL,
        policy=policy_current(version.team_id),
        waiver=_waiver(quality),
        may_waive=actor.has_perm(WAIVE, version),
        others=_others(request, version),
    )


@login_required
@require_POST
def check(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Check it again, perhaps against other versions."""
    actor: Any = request.user
    version = version_shown(request, team, name, number)
    chosen = {int(key) for key in request.POST.getlist("against") if key.isdecimal()}
    others = [row for row in _others(request, version) if row.pk in chosen]
    quality_check_submit(actor=actor, version=version, against=others, priority=0)
    messages.success(request, _("The check is queued. This page follows it."))
    return redirect("dataset_version_quality", team, name, number)


@login_required
@require_POST
def waiver(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Ask others to let the version through."""
    actor: Any = request.user
    version = version_shown(request, team, name, number)
    try:
        made = waiver_request(actor=actor, version=version, reason=request.POST.get("reason", ""))
    except InvalidInput as error:
        messages.error(request, " ".join(text for said in error.errors.values() for text in said))
    except SlipwayError as error:
        if error.status != 409:
            raise
        messages.error(request, error.message)
    else:
        messages.success(request, _("The waiver is asked for. Somebody else has to approve it."))
        return redirect("approval_detail", made.pk)
    return redirect("dataset_version_quality", team, name, number)


def _measures(version: DatasetVersion, quality: VersionQuality) -> list[dict[str, Any]]:
    """Every measure with figure, limit, and what follows; the scale of each bar fits both."""
    if quality.report is None:
        return []
    spec = policy_spec(version.team_id)
    broken = {breach["measure"]: breach["action"] for breach in quality.breaches}
    rows = []
    for name, figure in figures(quality.report.report, spec).items():
        rule = spec.rule(name)
        scale = max(1.0, figure["percent"], rule.max_percent) * 1.15
        rows.append(
            {
                **figure, "name": name, "label": MEASURES[name], "action": rule.action,
                "shown": figure["count"] > figure["at_import"] and name != "other_languages",
                "passed_over": [row_name(row) for row in figure["rows"] if "file" in row][:5],
                "limit": rule.max_percent, "broken": broken.get(name, ""),
                "width": 100 * figure["percent"] / scale, "mark": 100 * rule.max_percent / scale,
                "tone": {"block": "red", "warn": "amber"}.get(broken.get(name, ""), "green"),
            }
        )  # fmt: skip
    return rows


def _languages(stored: dict[str, Any] | None) -> list[dict[str, Any]]:
    found = {name: {"documents": n} for name, n in (stored or {}).get("languages", {}).items()}
    labels = {"und": _("not told"), "zxx": _("none")}
    return _bars(found, labels)[:LANGUAGES_SHOWN]


def _bars(found: dict[str, dict[str, int]], labels: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The largest first, each with its share of all and of the largest."""
    counts = {name: entry["documents"] for name, entry in found.items() if entry["documents"]}
    most, total = max(counts.values(), default=0), sum(counts.values())
    rows = [
        {
            "label": labels.get(name, name), "documents": n, "width": 100 * n / most,
            "share": 100 * n / total,
        }
        for name, n in counts.items()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (-row["documents"], str(row["label"])))


def _lengths(stored: dict[str, Any] | None) -> list[dict[str, Any]]:
    labels = {"train": _("Training"), "validation": _("Validation")}
    units = {"characters": _("characters"), "words": _("words")}
    found = (stored or {}).get("lengths", {})
    return [
        {
            "label": labels[split], "unit": units[unit], **found[split][unit],
            "values": [part["documents"] for part in found[split][unit]["bins"]],
        }
        for split in labels
        for unit in units
        if split in found
    ]  # fmt: skip


def _waiver(quality: VersionQuality) -> ApprovalRequest | None:
    """The request that waits for others."""
    rows = ApprovalRequest.objects.filter(subject_type=SUBJECT, state__in=LIVE)
    return rows.filter(subject_id=quality.pk).first() if quality.pk else None


def _others(request: HttpRequest, version: DatasetVersion) -> list[DatasetVersion]:
    """Versions that it may be measured against: the newest ones of the team."""
    actor: Any = request.user
    rows = selectors.versions_ready(actor=actor, team=version.dataset.team)
    return list(rows.exclude(pk=version.pk).defer("manifest", "preview", "source")[:50])
