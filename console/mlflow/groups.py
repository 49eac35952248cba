"""Names and numbers of experiments: `team/name`, or `name` where it is plain whose it is."""

from collections.abc import Sequence
from typing import Any

from django.utils.translation import gettext as _

from models_app.core.errors import FieldError, NotFound
from models_app.core.teams import team_rows, teams_where
from models_app.registry.experiment_selectors import experiment_get, experiments_visible
from models_app.registry.models import Experiment
from models_app.registry.services import experiment_default

#: What clients call the experiment of runs for which none was named.
DEFAULT_ID = "0"


def team_and_name(actor: Any, name: str) -> tuple[Any, str]:
    """Whose experiment it would be, and its own name. Raises FieldError where that is open."""
    slug, slash, rest = name.partition("/")
    named = team_rows(actor).filter(slug=slug).first() if slash and rest.strip("/") else None
    if named is not None:
        return named, rest
    return own_team(actor), name


def own_team(actor: Any) -> Any:
    """The only team in which somebody may log, or FieldError."""
    teams = teams_where(actor, "registry.log_run")
    if len(teams) == 1:
        return teams[0]
    if not teams:
        said = _(
            "With this token you may log runs in no team: it needs the scope write, and its owner"
            " the role developer."
        )
        raise FieldError("experiment", said)
    said = _("You are in several teams: name the experiment with its team, such as %(name)s.")
    example = f"{teams[0].slug}/name"
    raise FieldError("experiment", said % {"name": example})


def experiment_called(actor: Any, name: str) -> Experiment:
    """The experiment of this name among those that the actor sees, or NotFound."""
    slug, _slash, rest = name.partition("/")
    rows = experiments_visible(actor)
    found = list(rows.filter(team__slug=slug, name=rest)[:1] if rest else [])
    found = found or list(rows.filter(name=name)[:2])
    if not found:
        raise NotFound(_("There is no experiment %(name)s.") % {"name": name[:200]})
    if len(found) > 1:
        said = _("Several teams have an experiment %(name)s: put the name of the team before it.")
        raise FieldError("experiment_name", said % {"name": name[:200]})
    return found[0]


def experiment_numbered(actor: Any, text: str) -> Experiment:
    """The experiment of this id, or NotFound. `0` is the one for runs that name none."""
    if text == DEFAULT_ID:
        return experiment_default(actor=actor, team=own_team(actor))
    if not text.isdecimal() or len(text) > 18:
        raise _unknown(text)
    try:
        return experiment_get(actor=actor, experiment_id=int(text))
    except NotFound:
        raise _unknown(text) from None


def experiments_numbered(actor: Any, ids: Sequence[str]) -> list[int]:
    """Those of these experiments that the actor sees; NotFound names the first that is missing."""
    return [experiment_numbered(actor, text).pk for text in dict.fromkeys(ids)]


def shown_name(actor: Any, experiment: Experiment) -> str:
    """Its name, with the team before it for whoever sees several teams."""
    teams = actor.visible_team_ids()
    one = teams is not None and len(teams) == 1
    return experiment.name if one else f"{experiment.team.slug}/{experiment.name}"


def _unknown(text: str) -> NotFound:
    return NotFound(_("There is no experiment with the id %(id)s.") % {"id": text[:40]})
