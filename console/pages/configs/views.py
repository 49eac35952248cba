"""Views of configurations that read: list, one with its revisions, a revision, comparison, file."""

from itertools import pairwise
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from console.pages.configs.forms import PERM, known_config
from console.pages.configs.overlays import overlay_rows
from console.pages.configs.uses import uses_of, ways_to_use
from console.pages.configs.words import kind_choices, kind_word, setting_rows
from console.pages.lists import list_context, page_of, team_menu, teams_seen
from models_app.configs import selectors
from models_app.configs.api.resources import yaml_file
from models_app.configs.comparison import unified
from models_app.configs.documents import spec_yaml
from models_app.configs.models import Config, ConfigRevision
from models_app.core.errors import NotFound
from models_app.core.teams import teams_where

REVISIONS_SHOWN = 15


@login_required
def config_list(request: HttpRequest) -> HttpResponse:
    """Configurations of my teams with their newest revisions."""
    actor: Any = request.user
    chosen = {name: request.GET.get(name, "") for name in ("team", "kind")}
    rows = selectors.config_list(actor=actor, name=request.GET.get("q", ""), **chosen)
    page = page_of(request, rows)
    shown: list[Any] = list(page.object_list)
    newest = selectors.newest_revisions(shown)
    for row in shown:
        row.newest, row.kind_word = newest.get(row.pk), kind_word(row.kind)
    teams = teams_seen(actor)
    menus = [team_menu(teams), ("kind", _("Any kind"), kind_choices())]
    count = page.paginator.count
    return render(
        request,
        "configs/list.html",
        {
            **list_context(request, page, teams, menus),
            "rows": shown,
            "may_add": bool(teams_where(actor, PERM)),
            "search": {
                "value": request.GET.get("q", ""),
                "placeholder": _("Name of a configuration"),
            },
            "result": ngettext("%(n)s configuration", "%(n)s configurations", count) % {"n": count},
        },
    )


@login_required
def config_detail(request: HttpRequest, team: str, kind: str, name: str) -> HttpResponse:
    """The newest settings, every revision with what it changed, overlays, and what uses it."""
    actor: Any = request.user
    config = known_config(actor, team, kind, name)
    rows = selectors.revision_list(actor=actor, config=config)
    page = Paginator(rows, REVISIONS_SHOWN).get_page(request.GET.get("page"))
    shown: list[Any] = list(page.object_list)
    _compare(actor, config, shown)
    newest = selectors.revision_newest(config)
    if newest is None:
        raise NotFound
    return render(
        request,
        "configs/detail.html",
        {
            **_revision_context(request, actor, newest),
            "page": page,
            "revisions": shown,
            "overlays": overlay_rows(config, newest),
            "topic": f"config.{config.pk}",
        },
    )


@login_required
def config_revision(
    request: HttpRequest, team: str, kind: str, name: str, number: int
) -> HttpResponse:
    """One immutable revision, as settings or as YAML, and what it changed."""
    actor: Any = request.user
    config = known_config(actor, team, kind, name)
    revision = selectors.revision_numbered(actor=actor, config=config, number=number)
    before = selectors.revision_list(actor=actor, config=config).filter(number__lt=number).first()
    return render(
        request,
        "configs/revision.html",
        {
            **_revision_context(request, actor, revision),
            "before": before,
            "before_label": f"r{before.number}" if before else "",
            "label": f"r{revision.number}",
            "changes": selectors.revision_diff(old=before, new=revision) if before else [],
            "newest": selectors.revision_newest(config),
        },
    )


@login_required
def config_yaml(request: HttpRequest, team: str, kind: str, name: str, number: int) -> HttpResponse:
    """One revision as a YAML file."""
    actor: Any = request.user
    config = known_config(actor, team, kind, name)
    return yaml_file(
        request, selectors.revision_numbered(actor=actor, config=config, number=number)
    )


@login_required
def config_compare(request: HttpRequest) -> HttpResponse:
    """Any two revisions, also of different configurations: `?from=12&to=15` (their ids)."""
    actor: Any = request.user
    chosen = [_chosen(actor, request.GET.get(name, "")) for name in ("from", "to")]
    known = selectors.revision_choices(actor=actor)
    listed = {row.pk for row in known}
    known += [row for row in chosen if row is not None and row.pk not in listed]
    old, new = chosen
    context: dict[str, Any] = {"known": known, "old": old, "new": new, "changes": [], "lines": []}
    if old is not None and new is not None:
        kind = new.config.kind if old.config.kind == new.config.kind else ""
        context |= {
            "changes": selectors.revision_diff(old=old, new=new),
            "lines": unified(kind, old.spec, new.spec),
            "other_kind": not kind,
        }
    return render(request, "configs/compare.html", context)


def _revision_context(request: HttpRequest, actor: Any, revision: ConfigRevision) -> dict[str, Any]:
    config = revision.config
    return {
        "config": config,
        "kind_word": kind_word(config.kind),
        "revision": revision,
        "view": "yaml" if request.GET.get("view") == "yaml" else "settings",
        "settings": setting_rows(config.kind, revision.spec),
        "yaml": spec_yaml(config.kind, revision.spec),
        "uses": uses_of(revision),
        "ways": ways_to_use(actor, revision),
        "may_edit": actor.has_perm(PERM, config),
    }


def _chosen(actor: Any, key: str) -> ConfigRevision | None:
    if not (key.isascii() and key.isdecimal() and len(key) < 18):
        return None
    try:
        return selectors.revision_get(actor=actor, revision_id=int(key))
    except NotFound:
        return None


def _compare(actor: Any, config: Config, shown: list[Any]) -> None:
    """What each changed against the one before it."""
    for newer, older in pairwise(shown):
        newer.changes = selectors.revision_diff(old=older, new=newer)
    for last in shown[-1:]:
        before = (
            selectors.revision_list(actor=actor, config=config)
            .filter(number__lt=last.number)
            .first()
        )
        last.changes = selectors.revision_diff(old=before, new=last) if before else []
