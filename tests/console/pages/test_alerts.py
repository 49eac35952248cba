"""The page of alerts and its API: who sees and does what, and the way to the first rules."""

import pytest

from models_app.alerts.models import Alert
from models_app.configs.models import ConfigRevision
from models_app.configs.specs import AlertsSpec
from models_app.jobs.models import Job
from tests.factories.alerts import evaluated, rule, watched
from tests.factories.jobs import submitted
from tests.factories.nodes import ready_node
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def alert(ana, team):
    """A queue that is stuck."""
    ready_node()
    past = "2020-01-01T00:00:00Z"
    waits = {"run_after": past, "created_at": past, "state": "pending"}
    Job.objects.filter(pk=submitted(team).pk).update(**waits)
    watched(ana, team, rule("queue-stuck", severity="critical", note="Add a node, please."))
    return evaluated()


def text(answer):
    return answer.content.decode()


class TestPage:
    def test_leads_to_a_form_with_rules_that_can_be_stored(self, client_for, ana, eve):
        client = client_for(ana)
        assert "/configs/new/?kind=alerts" in text(client.get("/alerts/"))
        assert "/configs/new/?kind=alerts" not in text(client_for(eve).get("/alerts/"))

        form = client.get("/configs/new/?kind=alerts")
        rules = form.context["editor"].form.initial["rules"]
        fields = {"view": "form", "go": "save", "team": "research", "name": "watch"}
        wrong = client.post(
            "/configs/new/?kind=alerts",
            {**fields, "s-rules": rules.replace("for_seconds: 300", "for_seconds: -3")},
        )
        stored = client.post("/configs/new/?kind=alerts", {**fields, "s-rules": rules})

        assert "- name: queue-stuck" in text(form)
        assert wrong.status_code == 422
        assert "3.for_seconds: " in text(wrong)
        assert stored.status_code == 302
        assert ConfigRevision.objects.get().spec == AlertsSpec(**AlertsSpec.suggested()).plain()
        assert "Nothing fires" in text(client.get("/alerts/"))

    def test_shows_what_fires_with_what_to_do(self, client_for, ana, alert):
        page = text(client_for(ana).get("/alerts/"))

        assert "queue-stuck" in page
        assert "Critical" in page
        assert "Add a node, please." in page
        assert "above 1 min" in page
        assert f"/pools/{alert.subject}/" in page
        assert "/configs/research/alerts/watch/r1/" in page
        assert "No alert matches" in text(client_for(ana).get("/alerts/?severity=info"))

    def test_is_counted_and_needs_attention_until_somebody_acknowledges(
        self, client_for, ana, eve, alert
    ):
        client, address = client_for(ana), f"/alerts/{alert.pk}/acknowledge/"
        assert "queue-stuck · default" in text(client.get("/"))
        assert '1<span class="visually-hidden"> firing' in text(client.get("/side-bar/"))
        assert client_for(eve).post(address).status_code == 403
        assert address not in text(client_for(eve).get("/alerts/"))

        assert "You look after" in text(client.post(address, follow=True))
        assert "Only an alert that fires" in text(client.post(address, follow=True))
        assert "queue-stuck · default" not in text(client.get("/"))
        assert '1<span class="visually-hidden"> firing' not in text(client.get("/side-bar/"))

    def test_revisions_are_compared_rule_by_rule(self, client_for, ana, team, alert):
        watched(ana, team, rule("queue-stuck", above=90), rule("second"))

        page = text(client_for(ana).get("/configs/research/alerts/watch/r2/"))

        assert "rules.queue-stuck.above" in page
        assert "<del>60</del>" in page
        assert "rules.second" in page

    def test_is_hidden_from_outsiders(self, client_for, cai, alert):
        client = client_for(cai)
        assert "queue-stuck" not in text(client.get("/alerts/"))
        assert_hidden(client, [], [f"/alerts/{alert.pk}/acknowledge/"])
        assert_needs_sign_in(["/alerts/"], [f"/alerts/{alert.pk}/acknowledge/"])


class TestApi:
    def test_lists_and_acknowledges(self, api_for, ben, alert):
        api = api_for(ben)

        rows = api.get("/api/v1/alerts?state=firing&severity=critical").json()["results"]
        done = api.post(f"/api/v1/alerts/{alert.pk}/acknowledge")
        again = api.post(f"/api/v1/alerts/{alert.pk}/acknowledge")

        assert [(row["rule"], row["subject_kind"]) for row in rows] == [("queue-stuck", "pool")]
        assert (done.json()["state"], done.json()["acknowledged_by"]) == ("acknowledged", ben.email)
        assert (again.status_code, again.json()["code"]) == (409, "wrong_state")
        assert api.get("/api/v1/alerts?state=firing").json()["results"] == []
        assert api.get("/api/v1/alerts?state=odd").json()["errors"].keys() == {"state"}

    def test_asks_for_role_scope_and_team(self, api_for, eve, ben, cai, alert):
        address = f"/api/v1/alerts/{alert.pk}"
        assert api_for(eve).get(address).status_code == 200
        assert api_for(eve).post(f"{address}/acknowledge").status_code == 403
        assert api_for(ben, "read").post(f"{address}/acknowledge").status_code == 403
        assert_hidden(api_for(cai), [address], [f"{address}/acknowledge"])
        assert_needs_sign_in(["/api/v1/alerts", address], [f"{address}/acknowledge"])
        assert api_for(cai).get("/api/v1/alerts").json()["results"] == []
        assert Alert.objects.get().state == "firing"
