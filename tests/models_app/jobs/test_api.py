"""The API of jobs, as programs use it."""

import pytest

from models_app.jobs import logs
from tests.factories.jobs import claimed, submitted

pytestmark = pytest.mark.django_db
URL = "/api/v1/jobs"


class TestJobApi:
    def test_submits_watches_and_cancels(self, api_for, ben, team):
        api = api_for(ben)
        body = {"team": "research", "kind": "self_test", "params": {"steps": 2}}

        made = api.post(URL, body)
        assert made.status_code == 202
        assert made["Location"] == made.json()["url"]
        seen = api.get(made.json()["url"]).json()
        assert (seen["state"], seen["team"]) == ("pending", "research")
        assert api.post(f"{made.json()['url']}/cancel").json()["state"] == "canceled"

    def test_the_same_key_makes_one_job(self, api_for, ben, team):
        api = api_for(ben)
        body = {"team": "research", "kind": "self_test"}

        first = api.post(URL, body, headers={"Idempotency-Key": "abc"}).json()
        again = api.post(URL, body, headers={"Idempotency-Key": "abc"}).json()

        assert first["id"] == again["id"]

    def test_wrong_input_is_a_problem_that_names_the_field(self, api_for, ben, team):
        answer = api_for(ben).post(
            URL, {"team": "research", "kind": "self_test", "params": {"steps": "x"}, "typo": 1}
        )

        assert answer.status_code == 422
        assert answer["Content-Type"] == "application/problem+json"
        assert "typo" in answer.json()["errors"]

    def test_kinds_that_services_make_are_not_submitted_by_hand(self, api_for, ben, team):
        answer = api_for(ben).post(URL, {"team": "research", "kind": "serve", "params": {}})

        assert answer.status_code == 409

    @pytest.mark.parametrize(
        "path",
        [
            "",
            "/cancel",
            "/rerun",
            "/attempts",
            "/checkpoints",
            "/logs",
            "/log.txt",
            "/log/search",
            "/metrics",
            "/samples",
            "/why",
        ],
    )
    def test_outsiders_find_nothing(self, api_for, cai, team, path):
        job = submitted(team)
        api = api_for(cai)
        call = api.post if path in ("/cancel", "/rerun") else api.get

        assert call(f"{URL}/{job.pk}{path}").status_code == 404
        assert api.get(URL).json()["results"] == []

    def test_a_token_without_the_scope_may_not_write(self, api_for, ben, team):
        answer = api_for(ben, "read").post(URL, {"team": "research", "kind": "self_test"})

        assert answer.status_code == 403

    def test_reads_the_log_by_number(self, api_for, ben, team):
        job = claimed(team)
        rows = [("2026-01-01T00:00:00.000Z", "job", "info", f"l{n}") for n in range(5)]
        logs.log_append(job=job, lines=rows, spool_offset=0)

        page = api_for(ben).get(f"{URL}/{job.pk}/logs?after=2&limit=2").json()

        assert [line[0] for line in page["lines"]] == [3, 4]
        assert (page["last_seq"], page["closed"]) == (5, False)

    @pytest.mark.parametrize(
        "query", ["after=-1", "limit=0", "limit=99999999999999999999", "after=x"]
    )
    def test_nonsense_in_the_query_is_refused(self, api_for, ben, team, query):
        job = submitted(team)

        assert api_for(ben).get(f"{URL}/{job.pk}/logs?{query}").status_code == 422

    def test_lists_the_kinds_with_their_schemas(self, api_for, ben):
        kinds = {kind["name"]: kind for kind in api_for(ben).get("/api/v1/job-kinds").json()}

        assert kinds["self_test"]["params"]["properties"]["steps"]["minimum"] == 0
