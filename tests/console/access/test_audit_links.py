"""Events lead to the page of their thing, and their changes are readable."""

import pytest

from console.access.audit_links import change_lines, object_href
from console.access.models import Team
from models_app.audit.models import AuditEvent


@pytest.mark.parametrize(
    ("kind", "label", "href"),
    [
        ("job", "#7 Train", "/jobs/7/"),
        ("approval request", "CR-7 poet", "/approvals/CR-7/"),
        ("person", "Ana", "/people/7/"),
        ("team", "Research", "/teams/research/"),
        ("membership", "Ana · Research · admin", "/teams/research/"),
        ("model", "poet", "/models/research/poet/"),
        ("dataset", "news", "/datasets/research/news/"),
        ("deployment", "chat", "/deployments/research/chat/"),
        ("model version", "poet v12", "/models/research/poet/versions/12/"),
        ("revision", "chat r3", "/deployments/research/chat/revisions/3/"),
        ("model version", "odd", None),
        ("API token", "ci", None),
    ],
)
def test_the_page_of_a_thing(kind, label, href):
    team = Team(slug="research")
    event = AuditEvent(object_type=kind, object_id="7", object_label=label, team=team)
    assert object_href(event) == href


def test_changes_in_words():
    assert change_lines({"from": 1, "to": 2}) == [("", "1", "2")]
    assert change_lines(
        {
            "is_admin": {"from": False, "to": True},
            "scopes": ["read", "infer"],
            "team": None,
            "limits": {"steps": 5, "empty": ""},
        }
    ) == [
        ("is admin", "no", "yes"),
        ("scopes", None, "read, infer"),
        ("team", None, "–"),
        ("limits", None, "steps: 5, empty: –"),
    ]
    assert change_lines({}) == []
