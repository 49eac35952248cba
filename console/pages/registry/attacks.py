"""The attack suite on the page of a version: the newest result, and the button that starts one."""

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST

from models_app.core.errors import InvalidInput
from models_app.registry import selectors
from models_app.registry.attacks import CATEGORIES, FOUND, SPEAKING, WHY, attack_newest
from models_app.registry.models import AttackRun, ModelVersion
from models_app.registry.services import attack_start

#: Earlier runs that are listed below the newest one.
EARLIER = 10


@login_required
@require_POST
def attack(request: HttpRequest, team: str, name: str, number: int) -> HttpResponse:
    """Run the suite against the version."""
    actor: Any = request.user
    version = selectors.version_numbered(actor=actor, team=team, name=name, number=number)
    try:
        attack_start(actor=actor, version=version)
    except InvalidInput as error:
        messages.error(request, " ".join(text for said in error.errors.values() for text in said))
    else:
        messages.success(request, _("The attack suite is queued. Its result appears here."))
    where = reverse("model_version", args=(team, name, number))
    return redirect(f"{where}?tab=evaluations")


def attacks_shown(version: ModelVersion, able: set[str]) -> dict[str, Any]:
    """The newest run with its categories in the reader's language, and earlier scores."""
    newest = attack_newest(version)
    return {
        "attack": newest,
        "attack_rows": _rows(newest) if newest else [],
        "attack_earlier": list(version.attacks.all()[1 : EARLIER + 1]),
        "attackable": version.model.family in SPEAKING and "attack" in able,
    }


def _rows(run: AttackRun) -> list[dict[str, Any]]:
    rows = []
    for row in run.report.get("categories", []):
        known = CATEGORIES.get(row["name"])
        rate = row["rate"]
        rows.append(
            {
                **row,
                "title": known.title if known else row["name"],
                "about": known.about if known else "",
                "why_not": WHY.get(row["why"], row["why"]),
                "failures": [
                    {**one, "what": FOUND.get(one["found"], one["found"])}
                    for one in row["failures"]
                ],
                "failed": row["count"] - row["passed"],
                "percent": None if rate is None else 100 * rate,
                "tone": "green" if rate == 1 else "amber",
            }
        )
    return rows
