"""The API of routes: revisions under ETags, roles, names, pinned revisions, explanations."""

import datetime as dt

import pytest

from models_app.approvals.models import Environment
from models_app.audit.models import AuditEvent
from models_app.core.clock import now
from models_app.core.errors import FieldError, InvalidInput
from models_app.deployments.holds import held_revisions
from models_app.deployments.lineage.graph import lineage_graph
from models_app.deployments.models import (
    Deployment,
    Replica,
    RequestRecord,
    Revision,
    RevisionAdapter,
)
from models_app.deployments.reconcile import reconcile_all, reconcile_deployment
from models_app.deployments.route_table import route_table
from models_app.deployments.services import deployment_create
from models_app.deployments.statistics import request_figures
from models_app.deployments.traffic import traffic
from models_app.routing.models import MirrorPair, Route, RouteRevision
from models_app.routing.selectors import routes_to
from models_app.routing.statistics import route_shares
from models_app.routing.table import routing_table
from tests.factories.deployments import (
    adapter_version,
    deployment_of,
    environment,
    live,
    revision_of,
    serving,
    settle,
)
from tests.factories.routing import route_of, to
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db
ROUTES = "/api/v1/routes"


@pytest.fixture
def chat(ana, team):
    return serving(ana, team, name="chat")


@pytest.fixture
def route(ana, team, chat):
    return route_of(ana, team, env="development")


def body(**spec):
    return {
        "team": "research",
        "name": "assistant",
        "environment": "development",
        "spec": {"targets": [to("chat")], **spec},
    }


class TestWrite:
    def test_a_route_is_made_read_revised_and_removed(self, ana, chat, api_for):
        client = api_for(ana)
        made = client.post(ROUTES, body(description="For everybody"))
        assert made.status_code == 201 and made.headers["ETag"] == '"r1"'
        url = made.headers["Location"]
        assert client.get(url).json() == made.json()
        assert made.json()["model"] == "research/assistant"
        assert [r["id"] for r in client.get(ROUTES).json()["results"]] == [made.json()["id"]]

        spec = {**made.json()["spec"], "rules": [{"name": "night", "targets": [to("chat")]}]}
        changed = client.put(url, {"spec": spec, "reason": "quiet hours"}, HTTP_IF_MATCH='"r1"')
        assert changed.status_code == 200 and changed.headers["ETag"] == '"r2"'
        [newest, first] = client.get(f"{url}/revisions").json()["results"]
        assert (newest["number"], newest["reason"], newest["author"]) == (
            2,
            "quiet hours",
            ana.email,
        )
        assert client.get(first["url"]).json()["spec"] == made.json()["spec"]
        changes = client.get(f"{url}/diff?from=1&to=2").json()["changes"]
        assert [(c["path"], c["kind"]) for c in changes] == [("rules", "changed")]

        assert client.delete(url, HTTP_IF_MATCH='"r1"').status_code == 412
        assert client.delete(url, HTTP_IF_MATCH='"r2"').status_code == 204
        assert client.get(url).status_code == 404
        assert RouteRevision.objects.count() == 2
        actions = AuditEvent.objects.filter(action__startswith="route.").order_by("id")
        assert list(actions.values_list("action", flat=True)) == [
            "route.created",
            "route.revised",
            "route.removed",
        ]
        assert client.post(ROUTES, body()).status_code == 201  # the name is free again

    def test_what_others_wrote_meanwhile_is_not_lost(self, ana, route, api_for):
        client = api_for(ana)
        url = f"{ROUTES}/{route.pk}"
        first = {"spec": {"targets": [to("chat")], "enabled": False}, "reason": "pause"}
        assert client.put(url, first, HTTP_IF_MATCH='"r1"').status_code == 200
        late = client.put(url, {**first, "spec": {"targets": [to("chat")]}}, HTTP_IF_MATCH='"r1"')
        assert late.status_code == 412 and late.json()["newest"] == 2
        assert late.json()["changes"][0]["path"] == "enabled"
        by_number = client.put(url, {**first, "base_revision": 1})
        assert by_number.status_code == 409

    def test_the_same_again_is_no_revision(self, ana, route, api_for):
        answer = api_for(ana).put(f"{ROUTES}/{route.pk}", {"spec": {"targets": [to("chat")]}})
        assert answer.status_code == 200 and answer.headers["ETag"] == '"r1"'

    def test_a_change_says_why(self, ana, route, api_for):
        answer = api_for(ana).put(
            f"{ROUTES}/{route.pk}", {"spec": {"targets": [to("chat")], "enabled": False}}
        )
        assert answer.status_code == 422 and list(answer.json()["errors"]) == ["reason"]

    def test_a_repeated_key_makes_one_route(self, ana, chat, api_for):
        client = api_for(ana)
        first, second = (client.post(ROUTES, body(), HTTP_IDEMPOTENCY_KEY="k1") for _ in "ab")
        assert first.json()["id"] == second.json()["id"]
        other = client.post(ROUTES, {**body(), "name": "other"}, HTTP_IDEMPOTENCY_KEY="k1")
        assert other.status_code == 409

    def test_rules_may_come_as_yaml_and_errors_name_the_line(self, ana, chat, api_for):
        client = api_for(ana)
        text = """targets:
  - deployment: chat
rules:
  - name: a
    when:
      - tenat: x
    targets:
      - deployment: chat
"""
        given = {**body(), "spec": None, "yaml": text}
        answer = client.post(ROUTES, {k: v for k, v in given.items() if v is not None})
        assert answer.status_code == 422
        assert "yaml.rules.0.when.0.tenat" in answer.json()["errors"]
        assert answer.json()["lines"]["yaml.rules.0.when.0.tenat"] == 6
        good = {**given, "yaml": text.replace("tenat", "tenant")}
        assert (
            client.post(ROUTES, {k: v for k, v in good.items() if v is not None}).status_code == 201
        )

    @pytest.mark.parametrize(
        ("spec", "path"),
        [
            ({"targets": [to("nowhere")]}, "spec.targets.0.deployment"),
            ({"fallback": [to("nowhere")]}, "spec.fallback.0.deployment"),
            ({"mirror": {"deployment": "nowhere"}}, "spec.mirror.deployment"),
            ({"mirror": {"deployment": "chat", "judge": "nowhere"}}, "spec.mirror.judge"),
            ({"mirror": {"deployment": "chat", "judge": "chat"}}, "spec.mirror.judge"),
            ({"mirror": {"deployment": "chat", "judge_by": "question"}}, "spec.mirror.judge_by"),
            (
                {"mirror": {"deployment": "chat", "judge": "x", "judge_by": "dice"}},
                "spec.mirror.judge_by",
            ),
            ({"targets": [to("chat", revision=9)]}, "spec.targets.0.revision"),
            ({"callers": ["unheard-of"]}, "spec.callers.0"),
            ({"callers": ["legal"]}, "spec.callers.0"),
            ({"callers": ["research"]}, "spec.callers.0"),
            (
                {"rules": [{"name": "r", "targets": [to("nowhere")]}]},
                "spec.rules.0.targets.0.deployment",
            ),
            ({"targets": [to("chat", 40)]}, "spec.targets"),
            ({"nonsense": 1}, "spec.nonsense"),
            ({"targets": "chat"}, "spec.targets"),
            ({"description": "x" * 70_000}, "spec.description"),
            (
                {
                    "rules": [
                        {"name": f"r{n}", "when": [{"task": "x" * 200}], "targets": [to("chat")]}
                        for n in range(101)
                    ]
                },
                "spec.rules",
            ),
        ],
    )
    def test_errors_name_the_field(self, ana, chat, other_team, api_for, spec, path):
        answer = api_for(ana).post(ROUTES, body(**spec))
        assert answer.status_code == 422
        assert path in answer.json()["errors"]

    def test_a_deployment_of_another_team_is_no_target(
        self, ana, team, chat, cai, other_team, api_for
    ):
        serving(cai, other_team, name="theirs")
        answer = api_for(ana).post(ROUTES, body(targets=[to("theirs")]))
        assert "spec.targets.0.deployment" in answer.json()["errors"]


class TestNames:
    def test_a_route_takes_no_name_of_a_deployment(self, ana, chat, api_for):
        answer = api_for(ana).post(ROUTES, {**body(), "name": "chat"})
        assert answer.status_code == 422 and "name" in answer.json()["errors"]

    def test_a_deployment_takes_no_name_of_a_route(self, ana, team, route):
        with pytest.raises(FieldError, match="route"):
            deployment_create(
                actor=ana, team=team, name="assistant", environment=environment("development")
            )
        deployment_of(ana, team, name="assistant-2")

    def test_two_routes_do_not_share_one(self, ana, route, api_for):
        answer = api_for(ana).post(ROUTES, body())
        assert answer.status_code == 422 and "name" in answer.json()["errors"]


class TestProtected:
    def test_production_goes_only_to_what_production_has_approved(self, ana, team, chat):
        deployment_of(ana, team, name="official", env="production")
        with pytest.raises(InvalidInput) as caught:
            route_of(ana, team, env="production", targets=[to("official", 50), to("chat", 50)])
        assert list(caught.value.errors) == ["spec.targets.1.deployment"]
        row = route_of(
            ana, team, env="production", targets=[to("official")], mirror={"deployment": "chat"}
        )
        assert row.current.number == 1

    def test_a_rule_for_the_open_may_use_what_is_protected(self, ana, team, chat):
        deployment_of(ana, team, name="official", env="production")
        assert route_of(ana, team, env="development", targets=[to("official")])

    def test_routes_never_change_their_environment(self, ana, route, api_for):
        answer = api_for(ana).put(
            f"{ROUTES}/{route.pk}", {"environment": "staging", "spec": route.current.spec}
        )
        assert answer.status_code == 422


class TestRollBack:
    def test_everybody_is_back_on_the_side_they_were(self, ana, team, chat, api_for):
        serving(ana, team, name="next")
        route = route_of(ana, team, env="development", targets=[to("chat", 95), to("next", 5)])
        client, url = api_for(ana), f"{ROUTES}/{route.pk}"
        for weight in (50, 10):
            spec = {"targets": [to("chat", 100 - weight), to("next", weight)]}
            assert client.put(url, {"spec": spec, "reason": "try"}).status_code == 200
        cells = RouteRevision.objects.get(route=route, number=2).cells
        back = client.post(f"{url}/rollback", {"to": 2, "reason": "better"}, HTTP_IF_MATCH='"r3"')
        assert back.status_code == 200 and back.headers["ETag"] == '"r4"'
        newest = RouteRevision.objects.get(route=route, number=4)
        assert (newest.cells, newest.back_to, newest.reason) == (cells, 2, "better")
        assert client.post(f"{url}/rollback", {}).json()["revision"] == 5

    def test_only_to_what_there_was(self, ana, route, api_for):
        client, url = api_for(ana), f"{ROUTES}/{route.pk}/rollback"
        assert client.post(url, {}).status_code == 409
        assert "to" in client.post(url, {"to": 7}).json()["errors"]
        assert "to" in client.post(url, {"to": 1}).json()["errors"]

    def test_not_to_what_cannot_answer_any_more(self, ana, team, chat, api_for):
        route = route_of(ana, team, env="development", targets=[to("chat", revision=1)])
        client, url = api_for(ana), f"{ROUTES}/{route.pk}"
        client.put(url, {"spec": {"targets": [to("chat")]}, "reason": "loose"})
        revision_of(ana, chat)
        settle(chat)
        Revision.objects.filter(deployment=chat, number=1).update(keep_until=now())
        reconcile_deployment(chat.pk)
        answer = client.post(f"{url}/rollback", {"to": 1})
        assert answer.status_code == 422 and "targets.0.revision" in answer.json()["errors"]


class TestPinned:
    def test_what_a_rule_names_stays_loaded_and_reachable(self, ana, team, chat):
        route = route_of(
            ana,
            team,
            env="development",
            rules=[{"name": "r", "targets": [to("chat", revision=1)]}],
        )
        revision_of(ana, chat)
        settle(chat)
        first = Revision.objects.get(deployment=chat, number=1)
        Revision.objects.filter(pk=first.pk).update(keep_until=now())
        reconcile_deployment(chat.pk)

        first.refresh_from_db()
        assert first.keep_until > now()
        assert held_revisions() == {first.pk} == held_revisions(chat.pk)
        assert {r.revision.number for r in live(chat)} == {1, 2}
        assert {r.state for r in live(chat)} == {"ready"}
        [row] = route_table()
        assert [(a["number"], a["percent"]) for a in row["arms"]] == [(2, 100), (1, 0)]
        # A replica of it that is lost comes back, as for what serves.
        [lost] = [r for r in live(chat) if r.revision_id == first.pk]
        type(lost).objects.filter(pk=lost.pk).update(state="stopped")
        assert reconcile_all() == 1
        assert {r.revision.number for r in live(chat)} == {1, 2}
        Route.objects.filter(pk=route.pk).update(removed_at=now())
        Revision.objects.filter(pk=first.pk).update(keep_until=now())
        reconcile_deployment(chat.pk)
        assert {r.revision.number for r in live(chat) if r.state == "ready"} == {2}
        assert [arm["number"] for arm in route_table()[0]["arms"]] == [2]

    def test_only_a_loaded_one_can_be_named(self, ana, team, chat):
        revision_of(ana, chat)
        settle(chat)
        Revision.objects.filter(deployment=chat, number=1).update(keep_until=now())
        reconcile_deployment(chat.pk)
        with pytest.raises(InvalidInput) as caught:
            route_of(ana, team, env="development", targets=[to("chat", revision=1)])
        assert "not loaded" in caught.value.errors["spec.targets.0.revision"][0]


class TestExplain:
    @pytest.fixture
    def legal(self, ana, team, chat):
        serving(ana, team, name="tiny")
        rule = {
            "name": "gold-legal",
            "when": [{"tenant": "gold"}, {"any": [{"task": "legal"}, {"language": "de"}]}],
            "targets": [to("chat", revision=1)],
            "locked": True,
            "priority": "high",
        }
        return route_of(
            ana, team, env="development", rules=[rule], targets=[to("tiny")], fallback=[to("chat")]
        )

    def test_the_matched_rule_and_what_each_condition_saw(self, eve, legal, api_for):
        answer = api_for(eve).post(
            f"{ROUTES}/{legal.pk}/explain",
            {"tenant": "gold", "token": "slip_abc", "headers": {"X-Slipway-Task": "legal"}},
        )
        found = answer.json()
        assert answer.status_code == 200
        assert (found["rule"], found["lock"], found["priority"]) == (
            "gold-legal",
            "gold-legal",
            "high",
        )
        [rule] = found["rules"]
        assert rule["matched"] and rule["holds"]
        tenant, either = rule["conditions"]
        assert (tenant["test"], tenant["asked"], tenant["seen"]) == ("tenant", ["gold"], "gold")
        assert [inner["holds"] for inner in either["inner"]] == [True, False]
        assert (
            found["side"] == "token:slip_abc" and 0 <= found["cell"] < found["of_cells"] == 10_000
        )
        assert found["answers"]["revision"] == 1 and found["degraded"] == ""

    def test_the_condition_that_failed(self, eve, legal, api_for):
        asked = {"messages": [{"role": "user", "content": "Wie ist das Wetter?"}]}
        found = (
            api_for(eve)
            .post(f"{ROUTES}/{legal.pk}/explain", {"tenant": "silver", "body": asked})
            .json()
        )
        assert found["rule"] == "default" and found["lock"] == ""
        tenant, either = found["rules"][0]["conditions"]
        assert (tenant["seen"], tenant["holds"], either["holds"]) == ("silver", False, True)
        assert either["inner"][1]["seen"] == "de"

    def test_who_has_the_adapter_that_is_asked_for(self, eve, team, legal, api_for):
        revision = Deployment.objects.get(name="chat").active_revision
        version = adapter_version(team, revision.model_version)
        RevisionAdapter.objects.create(revision=revision, name="sql", model_version=version)

        def explained(adapter):
            return api_for(eve).post(f"{ROUTES}/{legal.pk}/explain", {"adapter": adapter}).json()

        found = explained("sql")
        assert found["served"] and found["adapter"] == "sql"
        assert [step["ready"] for step in found["chain"]] == [0, 1]
        assert "no adapter sql" in found["chain"][0]["state"]
        assert found["answers"]["deployment"] == "chat"
        nothing = explained("poems")
        assert (nothing["served"], nothing["answers"]) == (False, None)

    def test_who_would_step_in(self, eve, legal, api_for):
        Deployment.objects.filter(name="tiny").update(stopped_at=now())
        found = api_for(eve).post(f"{ROUTES}/{legal.pk}/explain", {}).json()
        assert [step["ready"] for step in found["chain"]] == [0, 1]
        assert "stopped" in found["chain"][0]["state"]
        assert (found["answers"]["deployment"], found["degraded"]) == ("chat", "fallback:chat")
        assert not found["wakes"]

    def test_that_the_request_wakes_the_last_one_where_nothing_is_ready(self, eve, legal, api_for):
        Replica.objects.all().delete()
        Deployment.objects.filter(name="chat").update(scaled_to=0)
        found = api_for(eve).post(f"{ROUTES}/{legal.pk}/explain", {}).json()
        assert [step["asleep"] for step in found["chain"]] == [False, True]
        assert (found["answers"], found["wakes"]) == (None, True)
        asked = {"adapter": "nobody-has-it"}
        assert not api_for(eve).post(f"{ROUTES}/{legal.pk}/explain", asked).json()["wakes"]

    @pytest.mark.parametrize(
        "given",
        [
            {"body": []},
            {"headers": {"a": 1}},
            {"at": "yesterday"},
            {"endpoint": "embeddings"},
            {"tenant": "x" * 100},
            {"unknown": 1},
        ],
    )
    def test_nonsense_is_refused_by_field(self, eve, legal, api_for, given):
        answer = api_for(eve).post(f"{ROUTES}/{legal.pk}/explain", given)
        assert answer.status_code == 422
        assert next(iter(answer.json()["errors"])).startswith(next(iter(given)))

    def test_the_schema_of_the_rules(self, eve, api_for):
        assert "Condition" in api_for(eve).get(f"{ROUTES}/schema").json()["$defs"]


class TestFigures:
    def test_requests_by_rule_and_revision(self, ana, route, chat, api_for):
        rows = [("default", 200, ""), ("default", 500, ""), ("night", 200, "ngram")]
        for rule, status, degraded in rows:
            RequestRecord.objects.create(
                request_id="r", at=now(), deployment=chat, revision=chat.active_revision,
                endpoint="x", status=status, total_ms=10, model="research/assistant", rule=rule,
                degraded=degraded,
            )  # fmt: skip
        found = api_for(ana).get(f"{ROUTES}/{route.pk}/figures").json()
        assert found["mirror"] is None
        assert [(s["rule"], s["requests"], s["errors"]) for s in found["shares"]] == [
            ("default", 2, 1),
            ("night", 1, 0),
        ]
        assert sum(share.percent for share in route_shares(route)) == pytest.approx(100)

    def test_what_the_judge_said_of_copies(self, ana, team, chat, api_for):
        for name in ("next", "judge"):
            serving(ana, team, name=name)
        mirror = {"deployment": "next", "judge": "judge", "judge_by": "question"}
        route = route_of(ana, team, env="development", mirror=mirror)
        copied = Deployment.objects.get(name="next")
        for verdict in ["win", "win", "win", "loss", "tie", None]:
            MirrorPair.objects.create(
                request_id="r", at=now(), route=route, mirror_deployment=copied,
                outcome="compared", same=False, verdict=verdict,
            )  # fmt: skip
        found = api_for(ana).get(f"{ROUTES}/{route.pk}/figures").json()["mirror"]["judge"]
        assert (found["judged"], found["wins"], found["losses"], found["ties"]) == (5, 3, 1, 1)
        assert (found["win_percent"], found["low_percent"], found["high_percent"]) == (
            75.0, 30.1, 95.4,
        )  # fmt: skip
        assert routes_to(actor=ana, deployment=Deployment.objects.get(name="judge")) == [route]


def test_the_gateways_table_knows_the_callers(ana, team, chat, other_team, root):
    route_of(root, team, env="development", callers=["legal"])
    [row] = routing_table()
    assert row["callers"] == {team.pk: "research", other_team.pk: "legal"}
    assert row["name"] == "research/assistant" and row["cells"]["default"] == [[10_000, "chat"]]


class TestRoles:
    @pytest.mark.parametrize("who", ["dan", "eve"])
    def test_readers_read_and_change_nothing(self, request, route, api_for, who):
        client = api_for(request.getfixturevalue(who))
        url = f"{ROUTES}/{route.pk}"
        for path in ("", "/revisions", "/revisions/1", "/diff?from=1&to=1", "/figures"):
            assert client.get(url + path).status_code == 200, path
        assert client.post(f"{url}/explain", {}).status_code == 200
        assert client.post(ROUTES, body()).status_code == 403
        assert client.delete(url).status_code == 403
        spec = {"spec": {"targets": [to("chat")], "enabled": False}, "reason": "x"}
        assert client.put(url, spec).status_code == 403
        assert client.post(f"{url}/rollback", {}).status_code == 403

    def test_a_token_needs_the_scope_to_ask_a_judge(self, ana, team, ben, chat, api_for):
        serving(ana, team, name="judge")
        asked = body(mirror={"deployment": "chat", "judge": "judge"})
        answer = api_for(ben, "read", "deploy").post(ROUTES, asked)
        assert (answer.status_code, [*answer.json()["errors"]]) == (422, ["spec.mirror.judge"])
        assert api_for(ben, "read", "deploy", "infer").post(ROUTES, asked).status_code == 201

    def test_a_token_needs_the_scope_deploy(self, ben, chat, api_for):
        assert api_for(ben, "read", "write").post(ROUTES, body()).status_code == 403
        assert api_for(ben, "read", "deploy").post(ROUTES, body()).status_code == 201

    def test_others_see_nothing(self, route, cai, client_for):
        url = f"{ROUTES}/{route.pk}"
        paths = ["", "/revisions", "/revisions/1", "/diff?from=1&to=1", "/figures"]
        assert_hidden(
            client_for(cai), [url + p for p in paths], [f"{url}/rollback", f"{url}/explain"]
        )
        assert_needs_sign_in([url, ROUTES], [f"{url}/rollback", f"{url}/explain"])


def test_environments_are_those_that_there_are(ana, chat, api_for):
    answer = api_for(ana).post(ROUTES, {**body(), "environment": "moon"})
    assert answer.status_code == 422 and "environment" in answer.json()["errors"]
    assert Environment.objects.exists()


def test_copies_count_neither_as_requests_nor_as_answers(ana, team, chat, client_for):
    route = route_of(ana, team, env="development")
    for mirrored in (False, True):
        RequestRecord.objects.create(
            request_id="r1", at=now(), deployment=chat, revision=chat.active_revision,
            endpoint="x", status=500 if mirrored else 200, total_ms=10, mirrored=mirrored,
            model="research/assistant", rule="default",
        )  # fmt: skip
    assert (request_figures(chat).requests, request_figures(chat).errors) == (1, 0)
    assert traffic(actor=ana, span=dt.timedelta(hours=1)).requests == 1
    assert [share.requests for share in route_shares(route)] == [1]
    node = lineage_graph(actor=ana, node="request:r1", depth=0).nodes["request:r1"]
    assert node.facts["status"] == 200
    page = client_for(ana).get("/deployments/research/chat/").content.decode()
    assert "Routes that lead here" in page and "/routes/research/assistant/" in page
