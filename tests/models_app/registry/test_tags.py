"""Tags of models, versions and runs."""

import pytest

from models_app.audit.models import AuditEvent
from models_app.core.errors import FieldError, InvalidInput, NotFound, PermissionDenied
from models_app.registry.models import Tag
from models_app.registry.services import run_begin, tags_change
from tests.factories.deployments import ready_version

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def things(ben, team):
    version = ready_version(team)
    run = run_begin(actor=ben, team=team, name="elsewhere")
    return {
        f"models/{version.model_id}": version.model,
        f"model-versions/{version.pk}": version,
        f"training-runs/{run.pk}": run.job,
    }


def test_are_set_changed_and_taken_away_everywhere(ben, things, api_for):
    api = api_for(ben)
    for path in things:
        url = f"{V1}/{path}/tags"
        api.patch(url, {"tags": {"team": "a", "stage/kind": "x"}}, format="json")
        answer = api.patch(url, {"tags": {"team": "b", "stage/kind": None}}, format="json")

        assert answer.status_code == 200, path
        assert [(row["name"], row["value"], row["set_by"]) for row in answer.json()] == [
            ("team", "b", ben.email)
        ]
        assert api.get(url).json() == answer.json()
    assert AuditEvent.objects.filter(action="tags.changed").count() == 6


def test_every_bad_tag_is_named_and_nothing_is_kept(ben, things):
    for thing in things.values():
        with pytest.raises(InvalidInput) as caught:
            tags_change(
                actor=ben, thing=thing,
                tags={"good": "1", "": "x", "a\nb": "x", "long": "x" * 501, "nul": "\x00"},
            )  # fmt: skip
        assert set(caught.value.errors) == {"tags.", "tags.a\nb", "tags.long", "tags.nul"}
    assert not Tag.objects.exists()


def test_there_is_a_limit(ben, things):
    thing = next(iter(things.values()))
    tags_change(actor=ben, thing=thing, tags={f"t{n}": "" for n in range(100)})

    with pytest.raises(FieldError):
        tags_change(actor=ben, thing=thing, tags={"more": ""})


def test_viewers_and_outsiders_change_nothing(eve, cai, things):
    for thing in things.values():
        with pytest.raises(PermissionDenied):
            tags_change(actor=eve, thing=thing, tags={"a": "b"})
        with pytest.raises(NotFound):
            tags_change(actor=cai, thing=thing, tags={"a": "b"})
