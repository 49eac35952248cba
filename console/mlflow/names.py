"""Names of models and versions. MLflow's have no slash: `model`, or `team.model`."""

from typing import Any

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError, NotFound
from models_app.core.teams import team_rows, teams_where
from models_app.registry.models import Model, ModelVersion
from models_app.registry.naming import version_named


def model_called(actor: Any, name: str) -> Model:
    """The model of this name among those that the actor sees, or NotFound."""
    rows = Model.objects.select_related("team").visible_to(actor)
    found = list(rows.filter(name=name)[:2])
    if not found:
        found = [
            model
            for slug, rest in _splits(name)
            for model in rows.filter(team__slug=slug, name=rest)[:1]
        ]
    if not found:
        raise NotFound(_("There is no registered model %(name)s.") % {"name": name[:200]})
    if len(found) > 1:
        said = _("Several teams have a model %(name)s. Write team.%(name)s.")
        raise FieldError("name", said % {"name": name[:200]})
    return found[0]


def team_for_model(actor: Any, name: str) -> tuple[Any, str]:
    """Whose a new model would be, and its own name; FieldError where that is open."""
    for slug, rest in _splits(name):
        team = team_rows(actor).filter(slug=slug).first()
        if team is not None:
            return team, rest
    teams = teams_where(actor, "registry.add_model")
    if len(teams) != 1:
        said = _("Name the model with its team: team.%(name)s.")
        raise FieldError("name", said % {"name": name[:200]})
    return teams[0], name


def version_called(actor: Any, name: str, version: str) -> ModelVersion:
    """The version of this number, or NotFound."""
    model = model_called(actor, name)
    if not version.isdecimal() or len(version) > 9:
        raise NotFound(_("Versions are numbers such as 1, not %(v)s.") % {"v": version[:40]})
    return version_named(model=model, name=version)


def shown_model(actor: Any, model: Model) -> str:
    """Its name, with the team before it for whoever sees several teams."""
    teams = actor.visible_team_ids()
    one = teams is not None and len(teams) == 1
    return model.name if one else f"{model.team.slug}.{model.name}"


def _splits(name: str) -> list[tuple[str, str]]:
    """`a.b.c` as `a` and `b.c`, and as `a.b` and `c`: names of both kinds may have dots."""
    parts = name[:200].split(".")
    cuts = range(1, min(len(parts), 10))
    return [(".".join(parts[:cut]), ".".join(parts[cut:])) for cut in cuts]
