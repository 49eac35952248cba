"""What uses a revision of a configuration, and where it can be used from here."""

from typing import Any

from django.utils.translation import gettext as _

from console.pages.navigation import url_or_none
from models_app.configs.models import ConfigRevision
from models_app.configs.selectors import overlay_newest
from models_app.deployments.selectors import deployment_list
from models_app.registry.families import SPEC_KINDS

MOST = 12


def uses_of(revision: ConfigRevision) -> list[dict[str, str]]:
    """`{icon, label, href}` of alerts it raised, versions trained with it, revisions it serves."""
    found = []
    for alert in revision.alerts.order_by("-id")[:MOST]:
        place = f"{url_or_none('alert_list') or ''}#alert-{alert.pk}"
        found.append({"icon": "bell", "label": str(alert), "href": place})
    versions = revision.model_versions.select_related("model__team").order_by("-id")
    for version in versions[:MOST]:
        model = version.model
        href = url_or_none("model_version", model.team.slug, model.name, version.number)
        found.append({"icon": "cube", "label": str(version), "href": href or ""})
    rows = revision.revisions.select_related("deployment__team", "deployment__environment")
    for row in rows.order_by("-id")[:MOST]:
        deployment = row.deployment
        href = url_or_none("revision_detail", deployment.team.slug, deployment.name, row.number)
        label = f"{row} · {deployment.environment.name}"
        found.append({"icon": "rocket", "label": label, "href": href or ""})
    return found


def ways_to_use(actor: Any, revision: ConfigRevision) -> list[dict[str, str]]:
    """`{icon, label, note, href}` of what can be started with it."""
    config = revision.config
    query = f"?config={revision.pk}"
    found: list[dict[str, str]] = []
    if config.kind in SPEC_KINDS.values() and actor.has_perm("registry.add_version", config.team):
        href = url_or_none("training_new")
        if href:
            found.append(_way("bolt", _("Start a training"), "", href + query))
    if config.kind == "serving":
        found += _deployments(actor, revision, query)
    return found


def _deployments(actor: Any, revision: ConfigRevision, query: str) -> list[dict[str, str]]:
    config = revision.config
    found = []
    href = url_or_none("deployment_new")
    if href and actor.has_perm("deployments.add_deployment", config.team):
        found.append(_way("plus", _("New deployment"), "", href + query))
    if not actor.has_perm("deployments.change_deployment", config.team):
        return found
    for row in deployment_list(actor=actor, team=config.team.slug)[:MOST]:
        environment = row.environment.name
        overlay = overlay_newest(config, environment)
        note = f"{environment} + o{overlay.number}" if overlay else environment
        href = url_or_none("revision_new", row.team.slug, row.name)
        if href:
            label = _("New revision of %(name)s") % {"name": row.name}
            found.append(_way("rocket", label, note, href + query))
    return found


def _way(icon: str, label: str, note: str, href: str) -> dict[str, str]:
    return {"icon": icon, "label": label, "note": note, "href": href}
