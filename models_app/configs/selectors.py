"""Reads configurations and their revisions, filtered by what the actor may see."""

from django.db.models import QuerySet

from models_app.configs.diff import Change, diff
from models_app.configs.models import Config, ConfigRevision
from models_app.core.actor import Actor


def config_list(
    *, actor: Actor, team: str = "", kind: str = "", name: str = ""
) -> QuerySet[Config]:
    """Configurations by team, kind and part of the name."""
    rows = Config.objects.visible_to(actor).select_related("team", "created_by")
    if team:
        rows = rows.filter(team__slug=team)
    if kind:
        rows = rows.filter(kind=kind)
    if name:
        rows = rows.filter(name__icontains=name)
    return rows.order_by("-id")


def config_get(*, actor: Actor, config_id: int) -> Config:
    """One configuration, or NotFound."""
    return Config.objects.select_related("team", "created_by").get_visible(actor, pk=config_id)


def revision_list(*, actor: Actor, config: Config) -> QuerySet[ConfigRevision]:
    """Its revisions, newest first."""
    rows = ConfigRevision.objects.visible_to(actor).filter(config=config)
    return rows.select_related("config__team", "author").order_by("-id")


def revision_get(*, actor: Actor, revision_id: int) -> ConfigRevision:
    """One revision, or NotFound."""
    rows = ConfigRevision.objects.select_related("config__team", "author")
    return rows.get_visible(actor, pk=revision_id)


def revision_diff(*, old: ConfigRevision, new: ConfigRevision) -> list[Change]:
    """What changed from one revision to another."""
    return diff(old.spec, new.spec)
