"""Routes for tests, made as people make them."""

from models_app.approvals.models import Environment
from models_app.routing.models import Route
from models_app.routing.services import route_create


def to(deployment: str, weight: float = 100, **more) -> dict:
    """A target."""
    return {"deployment": deployment, "weight": weight, **more}


def route_of(actor, team, name="assistant", *, env="staging", reason="because", **spec) -> Route:
    """A route; without targets everything goes to the deployment `chat`."""
    environment, _ = Environment.objects.get_or_create(name=env)
    return route_create(
        actor=actor,
        team=team,
        name=name,
        environment=environment,
        spec={"targets": [to("chat")], **spec},
        reason=reason,
    )
