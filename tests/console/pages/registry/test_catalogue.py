"""Aliases, stages, tags and runs as pages: what is refused is said, and outsiders learn nothing."""

import pytest

from models_app.registry.models import Alias, ModelVersion
from models_app.registry.services import alias_set, run_begin, version_stage_move
from tests.factories.deployments import environment, ready_version
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db
ONE = "/models/research/poet/"


@pytest.fixture
def versions(team):
    return [ready_version(team, text=f"weights {n}") for n in range(3)]


def said(answer) -> str:
    return " ".join(str(message) for message in answer.context["messages"])


def test_who_looked_at_an_older_page_is_told_and_moves_nothing(ana, ben, versions, client_for):
    model = versions[0].model
    alias_set(actor=ana, model=model, name="champion", version=versions[0], expected=None)
    alias_set(actor=ben, model=model, name="champion", version=versions[1], expected=1)
    form = {"name": "champion", "version": "3", "expected": "1", "reason": "because"}

    answer = client_for(ana).post(f"{ONE}aliases/", form, follow=True, headers={"referer": ONE})

    assert "champion points to v2 by now" in said(answer)
    assert Alias.objects.get().version == versions[1]


@pytest.mark.parametrize(
    ("path", "form", "words"),
    [
        ("aliases/", {"name": "latest", "version": "1"}, "already means a version"),
        ("aliases/", {"name": "a", "version": "99"}, "has no version 99"),
        ("versions/1/stage/", {"to": "moon", "reason": "x"}, "Use one of"),
        ("versions/1/stage/", {"to": "staging", "reason": ""}, "Say something here"),
        ("versions/1/stage/", {"to": "production", "reason": "x"}, "cannot go from"),
        ("tags/", {"name": "a b!", "value": "x"}, "Use letters, digits"),
    ],
)
def test_what_is_refused_is_said_and_the_page_comes_back(
    ana, versions, client_for, path, form, words
):
    answer = client_for(ana).post(f"{ONE}{path}", form, follow=True, headers={"referer": ONE})

    assert answer.status_code == 200
    assert words in said(answer)


def test_models_are_found_by_stage(ana, team, versions, client_for):
    environment("staging")
    ready_version(team, name="other")
    version_stage_move(actor=ana, version=versions[1], to="staging", reason="Looks good")
    browser = client_for(ana)

    rows = browser.get("/models/?stage=staging").context["rows"]
    shown = browser.get(f"{ONE}?stage=staging").context["versions"]

    assert [row.name for row in rows] == ["poet"]
    assert list(shown) == [ModelVersion.objects.get(pk=versions[1].pk)]


def test_outsiders_learn_nothing(ana, cai, team, versions, client_for):
    run = run_begin(actor=ana, team=team, name="elsewhere")
    posts = [f"{ONE}aliases/", f"{ONE}aliases/delete/", f"{ONE}tags/", f"{ONE}versions/1/stage/",
             f"{ONE}versions/1/stage/withdraw/", f"{ONE}versions/1/tags/",
             f"/runs/{run.pk}/tags/"]  # fmt: skip

    assert_hidden(client_for(cai), [], posts)
    assert_needs_sign_in(["/runs/", "/runs/compare/", "/runs/export/"], posts)
    page = client_for(cai).get(f"/runs/compare/?run={run.pk}&run={run.pk}")
    assert page.context["views"] == []
    assert not client_for(cai).get("/runs/").context["rows"]
    assert "elsewhere" not in client_for(cai).get("/runs/export/").getvalue().decode()


def test_viewers_look_and_change_nothing(eve, ana, team, versions, client_for):
    run = run_begin(actor=ana, team=team, name="elsewhere")
    browser = client_for(eve)

    assert browser.get(ONE).status_code == 200
    assert b"Add the alias" not in browser.get(ONE).content
    assert browser.post(f"{ONE}aliases/", {"name": "a", "version": "1"}).status_code == 403
    assert browser.post(f"/runs/{run.pk}/tags/", {"name": "a"}).status_code == 403


def test_a_filter_that_cannot_be_read_is_answered_on_the_page(ana, client_for):
    answer = client_for(ana).get("/runs/?filter=metrics.loss+<")

    assert answer.status_code == 422
    assert answer.context["column"] == 15


def test_more_than_five_ticked_runs_are_cut_and_that_is_said(ana, team, client_for):
    runs = [run_begin(actor=ana, team=team, name=f"run {n}") for n in range(6)]
    ticked = "&".join(f"run={run.pk}" for run in runs)

    answer = client_for(ana).get(f"/runs/compare/?{ticked}&run=0&run=x&run=99999999")

    assert [view.pk for view in answer.context["views"]] == [run.pk for run in runs[:5]]
    assert answer.context["too_many"]
