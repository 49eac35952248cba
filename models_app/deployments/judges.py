"""Which deployments may judge the answers of another one."""

from django.utils.translation import gettext as _

from models_app.configs.specs import ServingSpec
from models_app.core.actor import Actor
from models_app.core.errors import FieldError
from models_app.deployments.models import Deployment
from models_app.registry.states import Family

ASK = "deployments.infer_deployment"
#: Families that follow an instruction, as far as their training goes.
INSTRUCTED = (Family.TRANSFORMER, Family.ADAPTER)


def judge_problem(
    actor: Actor, team_id: int, name: str, by: str, *, candidate: str, known: bool
) -> str:
    """Why this deployment of a team cannot judge `candidate`; empty if it can.

    A judge that stands there already (`known`) may stay, whoever changes something else.
    """
    if name == candidate:
        return _("It would judge itself. Choose another deployment.")
    related = ("team", "active_revision__model_version__model", "active_revision__config_revision")
    row = Deployment.objects.filter(team_id=team_id, name=name).select_related(*related).first()
    if row is None:
        return _("The team has no deployment %(name)r.") % {"name": name}
    if not known and not actor.has_perm(ASK, row):
        return _("You may not ask %(name)s, so you cannot let it judge.") % {"name": name}
    revision = row.active_revision
    if revision is None:
        return ""
    if by == "likelihood" and revision.serving.backend == "vllm":
        said = _(
            "%(name)s is served by vllm, which tells no likelihoods of a given text. Let it judge"
            " by question, or choose another deployment."
        )
        return said % {"name": name}
    if by == "question" and revision.model_version.model.family not in INSTRUCTED:
        said = _("%(name)s understands no questions. Let it judge by likelihood.")
        return said % {"name": name}
    return ""


def judge_check(actor: Actor, deployment: Deployment, spec: ServingSpec) -> None:
    """FieldError on `spec.judge` for what cannot judge the copies of a roll-out."""
    if not spec.judge:
        return
    active = deployment.active_revision
    before = active.serving if active else None
    known = before is not None and before.judge == spec.judge
    why = judge_problem(
        actor, deployment.team_id, spec.judge, spec.judge_by,
        candidate=deployment.name, known=known,
    )  # fmt: skip
    if why:
        raise FieldError("spec.judge", why)
