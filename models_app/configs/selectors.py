"""Reads configurations and their revisions, filtered by what the actor may see."""

from collections.abc import Iterable

from django.db.models import QuerySet
from django.utils.translation import gettext as _

from models_app.configs.comparison import SpecChange, spec_changes
from models_app.configs.models import Config, ConfigRevision, OverlayRevision
from models_app.core.actor import Actor
from models_app.core.errors import NotFound


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


def config_named(*, actor: Actor, team: str, kind: str, name: str) -> Config:
    """One configuration by what people call it, or NotFound."""
    rows = Config.objects.select_related("team", "created_by")
    return rows.get_visible(actor, team__slug=team, kind=kind, name=name)


def newest_revisions(configs: Iterable[Config]) -> dict[int, ConfigRevision]:
    """The newest revision of each, in one query."""
    rows = ConfigRevision.objects.filter(config__in=[config.pk for config in configs])
    newest = rows.order_by("config_id", "-number").distinct("config_id")
    return {row.config_id: row for row in newest.select_related("author")}


def revision_choices(*, actor: Actor, kind: str = "", limit: int = 300) -> list[ConfigRevision]:
    """Revisions to choose from, newest first."""
    rows = ConfigRevision.objects.visible_to(actor).select_related("config__team")
    if kind:
        rows = rows.filter(config__kind=kind)
    return list(rows.order_by("-id")[:limit])


def revision_list(*, actor: Actor, config: Config) -> QuerySet[ConfigRevision]:
    """Its revisions, newest first."""
    rows = ConfigRevision.objects.visible_to(actor).filter(config=config)
    return rows.select_related("config__team", "author").order_by("-id")


def revision_get(*, actor: Actor, revision_id: int) -> ConfigRevision:
    """One revision, or NotFound."""
    rows = ConfigRevision.objects.select_related("config__team", "author")
    return rows.get_visible(actor, pk=revision_id)


def revision_numbered(*, actor: Actor, config: Config, number: int) -> ConfigRevision:
    """A revision of a configuration by its number, or NotFound."""
    row = revision_list(actor=actor, config=config).filter(number=number).first()
    if row is None:
        said = _("%(name)s has no revision r%(n)s.")
        raise NotFound(said % {"name": config.name, "n": number})
    return row


def revision_newest(config: Config) -> ConfigRevision | None:
    """The revision that the next one follows."""
    return config.revisions.select_related("config__team", "author").order_by("-number").first()


def revision_diff(*, old: ConfigRevision, new: ConfigRevision) -> list[SpecChange]:
    """What changed from one revision to another, also of different configurations."""
    kind = new.config.kind if old.config.kind == new.config.kind else ""
    return spec_changes(kind, old.spec, new.spec)


def overlay_list(
    *, actor: Actor, config: Config, environment: str = ""
) -> QuerySet[OverlayRevision]:
    """Revisions of the overlays of a configuration, newest first."""
    rows = OverlayRevision.objects.visible_to(actor).filter(config=config)
    if environment:
        rows = rows.filter(environment=environment)
    return rows.select_related("config__team", "author").order_by("-id")


def overlay_newest(config: Config, environment: str) -> OverlayRevision | None:
    """What an environment changes now; None where it changes nothing."""
    rows = config.overlays.filter(environment=environment).select_related("author")
    row = rows.order_by("-number").first()
    return row if row is not None and row.patch else None


def overlay_numbered(config: Config, environment: str) -> int:
    """The number of the newest overlay revision, empty ones included; 0 where there is none."""
    rows = config.overlays.filter(environment=environment).order_by("-number")
    return rows.values_list("number", flat=True).first() or 0
