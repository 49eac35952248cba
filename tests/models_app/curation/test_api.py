"""The API of quality: reports, rows behind figures, preparations, waivers, policies, rights."""

import pytest

from models_app.curation.services import data_policy_change
from models_app.jobs.models import Job
from tests.factories.data import doubled_version
from tests.factories.deployments import environment
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def version(ben, team, tmp_path):
    """Checked, with an address in one document."""
    environment("production")
    version = doubled_version(ben, team, tmp_path)
    run_job(Job.objects.get(kind="dataset_check"), tmp_path)
    return version


@pytest.fixture
def url(version):
    return f"{V1}/dataset-versions/{version.pk}"


def test_the_report_with_its_figures(ben, api_for, url):
    answer = api_for(ben).get(f"{url}/quality").json()

    assert answer["state"] == "passed"
    assert answer["figures"]["personal_data"]["count"] == 1
    assert answer["report"]["personal"]["email"]["hits"] == 1
    assert "personal_data" in [breach["measure"] for breach in answer["breaches"]]
    assert api_for(ben).get(url).json()["quality"] == "passed"


def test_rows_behind_a_figure_are_whole_documents(ben, api_for, url):
    api = api_for(ben)
    [row] = api.get(f"{url}/rows?finding=personal_data").json()["rows"]
    assert "bob@example.com" in row["text"]
    assert row["finding"]["detail"] == "email"
    same = api.get(f"{url}/rows?split={row['split']}&offset={row['index']}&limit=1").json()
    assert same["rows"][0]["text"] == row["text"]


def test_rows_are_searched(ben, api_for, url):
    api = api_for(ben)
    split = api.get(f"{url}/rows?finding=personal_data").json()["rows"][0]["split"]
    answer = api.get(f"{url}/rows?split={split}&q=BOB@example").json()
    assert len(answer["rows"]) == 1
    assert answer["next_offset"] is None
    assert api.get(f"{url}/rows?q=nowhere-to-be-found").json()["rows"] == []
    assert api.get(f"{url}/rows?finding=nonsense").status_code == 422


def test_a_window_says_where_to_go_on(ben, api_for, url):
    api = api_for(ben)
    first = api.get(f"{url}/rows?limit=60").json()
    rest = api.get(f"{url}/rows?limit=60&offset={first['next_offset']}").json()
    assert rest["next_offset"] is None
    assert len(first["rows"]) + len(rest["rows"]) == first["total"]


def test_prepare_preview_and_check_are_accepted(ben, api_for, url, version):
    api = api_for(ben)
    made = api.post(f"{url}/prepare", {"config": {"seed": 5}}, format="json",
                    headers={"Idempotency-Key": "p"})  # fmt: skip
    again = api.post(f"{url}/prepare", {"config": {"seed": 5}}, format="json",
                     headers={"Idempotency-Key": "p"})  # fmt: skip
    assert (made.status_code, made.json()["parent"]) == (202, version.pk)
    assert made.json()["id"] == again.json()["id"]
    assert api.post(f"{url}/prepare/preview", {"config": {}}, format="json").status_code == 202
    checked = api.post(f"{url}/quality", {"against": []}, format="json")
    assert (checked.status_code, checked.json()["kind"]) == (202, "dataset_check")


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/prepare", {"config": {"seed": "x"}}, "config.seed"),
        ("/prepare", {"config": {}, "dataset": 999}, "dataset"),
        ("/prepare", {}, "config"),
        ("/quality", {"against": [999]}, "against"),
        ("/waiver", {}, "reason"),
    ],
)
def test_bad_input_is_named(ben, api_for, url, path, body, field):
    answer = api_for(ben).post(url + path, body, format="json")
    assert answer.status_code == 422
    assert field in answer.json()["errors"]


def test_policy_block_and_waiver(ana, ben, dan, team, api_for, url):
    spec = {"personal_data": {"action": "block", "max_percent": 0.5}}
    body = {"team": team.slug, "spec": spec, "reason": "Law"}
    made = api_for(ana).post(f"{V1}/data-policies", body, format="json")
    assert (made.status_code, made.json()["number"]) == (201, 1)
    assert api_for(ben).get(made["Location"]).json()["author"] == ana.email
    assert api_for(ben).post(f"{V1}/data-policies", body, format="json").status_code == 403
    assert api_for(ben).get(f"{url}/quality").json()["state"] == "blocked"

    asked = api_for(ben).post(f"{url}/waiver", {"reason": "Bob agreed."}, format="json")
    assert asked.status_code == 201
    vote = f"{asked['Location']}/votes"
    voted = api_for(dan).post(vote, {"decision": "approve"}, format="json")
    assert voted.status_code in (200, 201)
    assert api_for(ben).get(f"{url}/quality").json()["state"] == "waived"


def test_the_list_of_policies_is_the_teams_own(ana, cai, team, api_for):
    data_policy_change(actor=ana, team=team, spec={})
    assert len(api_for(ana).get(f"{V1}/data-policies").json()["results"]) == 1
    assert api_for(cai).get(f"{V1}/data-policies").json()["results"] == []
    assert "measures" in api_for(cai).get(f"{V1}/data-policies/schema").json()


def test_outsiders_learn_nothing(ana, cai, team, api_for, url):
    policy = data_policy_change(actor=ana, team=team, spec={})
    assert_hidden(
        api_for(cai),
        [f"{url}/quality", f"{url}/rows?finding=secrets", f"{V1}/data-policies/{policy.pk}"],
        [f"{url}/quality", f"{url}/prepare", f"{url}/prepare/preview", f"{url}/waiver"],
    )
