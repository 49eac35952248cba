"""What follows from every change of access: the gateway forgets what it knew, pages look again."""

from console.access.models import User
from models_app.events.publish import publish_on_commit


def access_changed(user: User | None = None, team_id: int | None = None) -> None:
    """After commit, tell the gateway, the person's pages and the team's pages."""
    data = {"user": user.pk if user else None, "team": team_id}
    topics = ["gateway"]
    if user is not None:
        topics.append(f"user.{user.pk}")
    if team_id is not None:
        topics.append(f"team.{team_id}")
    publish_on_commit("access.changed", data, *topics)
