"""The protocol itself: errors, outsiders, limits, repeats, names of experiments."""

import base64

import pytest

from models_app.audit.models import AuditEvent
from models_app.core.actor import SYSTEM
from models_app.core.errors import WrongState
from models_app.jobs.elsewhere import job_reopen_elsewhere
from models_app.jobs.models import MetricPoint
from models_app.jobs.services import job_cancel
from models_app.registry.curves import curve_of
from models_app.registry.models import Experiment, LoggedRun, RunParam, SidePoint
from models_app.registry.search.query import run_search
from tests.console.mlflow.conftest import API, Wire
from tests.factories.access import ApiTokenFactory, MembershipFactory, TeamFactory
from tests.factories.jobs import submitted

pytestmark = pytest.mark.django_db


@pytest.fixture
def wire(wire_for, ben):
    return wire_for(ben)


def refused(answer, code, status=400):
    assert answer[0] == status, answer
    assert set(answer[1]) == {"error_code", "message"}
    assert answer[1]["error_code"] == code
    assert answer[1]["message"]
    return answer[1]["message"]


# ---- experiments -------------------------------------------------------------------------------


def test_an_experiment_is_made_once_and_found_by_both_of_its_names(wire, team):
    missing = wire.get("experiments/get-by-name", experiment_name="rates")
    assert "rates" in refused(missing, "RESOURCE_DOES_NOT_EXIST", 404)
    made = wire.made("experiments/create", name="rates", tags=[{"key": "a", "value": "b"}])
    refused(wire.post("experiments/create", name="research/rates"), "RESOURCE_ALREADY_EXISTS")

    for name in ("rates", "research/rates"):
        _status, found = wire.get("experiments/get-by-name", experiment_name=name)
        assert found["experiment"]["experiment_id"] == made["experiment_id"]
    experiment = wire.get("experiments/get", **made)[1]["experiment"]
    assert experiment["name"] == "rates"
    assert experiment["tags"] == [{"key": "a", "value": "b"}]
    assert experiment["artifact_location"] == f"mlflow-artifacts:/{made['experiment_id']}"
    assert Experiment.objects.get().team == team
    event = AuditEvent.objects.get(action="experiment.created")
    assert event.object_id == made["experiment_id"]


def test_a_name_with_a_slash_that_is_no_team_is_a_name(wire, other_team):
    made = wire.made("experiments/create", name="legal/rates")
    assert Experiment.objects.get(pk=made["experiment_id"]).name == "legal/rates"
    assert Experiment.objects.get(pk=made["experiment_id"]).team.slug == "research"


def test_who_is_in_several_teams_names_one(wire_for, ben, team):
    second = TeamFactory(slug="second")
    MembershipFactory(user=ben, team=second, role="developer")
    wire = wire_for(ben)

    said = refused(wire.post("experiments/create", name="rates"), "INVALID_PARAMETER_VALUE")
    assert "research/name" in said
    refused(wire.post("runs/create", experiment_id="0"), "INVALID_PARAMETER_VALUE")
    for slug in ("research", "second"):
        wire.made("experiments/create", name=f"{slug}/rates")
    both = wire.get("experiments/get-by-name", experiment_name="rates")
    refused(both, "INVALID_PARAMETER_VALUE")
    _status, one = wire.get("experiments/get-by-name", experiment_name="second/rates")
    assert one["experiment"]["name"] == "second/rates"


def test_a_token_of_one_team_needs_no_name_of_it(api_for, ben, team):
    MembershipFactory(user=ben, team=TeamFactory(slug="second"), role="developer")
    Wire(api_for(ben, team=team)).run()
    assert Experiment.objects.get().team == team


def test_experiments_are_searched_by_name_in_pages(wire):
    for name in ("rates a", "rates b", "sizes"):
        wire.made("experiments/create", name=name)

    def names(**asked):
        answer = wire.made("experiments/search", **asked)
        return [one["name"] for one in answer["experiments"]], answer.get("next_page_token")

    assert names()[0] == ["sizes", "rates b", "rates a"]
    assert names(filter="name LIKE 'rates%'")[0] == ["rates b", "rates a"]
    assert names(filter="name = 'sizes'")[0] == ["sizes"]
    first, token = names(max_results=2)
    assert names(max_results=2, page_token=token) == (["rates a"], None)
    assert first == ["sizes", "rates b"]
    refused(wire.post("experiments/search", filter="tags.a = 'b'"), "INVALID_PARAMETER_VALUE")
    assert names(view_type="DELETED_ONLY") == ([], None)


def test_the_default_experiment_is_there_when_the_first_run_comes(wire, team):
    first, second = wire.run(), wire.run()
    ids = {wire.read(run)["info"]["experiment_id"] for run in (first, second)}
    (experiment,) = Experiment.objects.all()
    assert ids == {str(experiment.pk)}
    assert experiment.name == "Default"


# ---- runs --------------------------------------------------------------------------------------


def test_a_run_tells_what_it_was_given(wire, ben):
    key = wire.run(
        start_time=1_700_000_000_123,
        tags=[{"key": "mlflow.runName", "value": "night"}, {"key": "mlflow.user", "value": "x"}],
    )
    info = wire.read(key)["info"]
    assert info["run_name"] == "night"
    assert info["start_time"] == 1_700_000_000_123
    assert (info["status"], info["lifecycle_stage"]) == ("RUNNING", "active")
    assert info["user_id"] == ben.email
    assert info["artifact_uri"].endswith(f"/{key}/artifacts")
    assert len(key) == 32
    tags = {tag["key"]: tag["value"] for tag in wire.read(key)["data"]["tags"]}
    assert tags == {"mlflow.runName": "night", "mlflow.user": "x"}


def test_a_run_without_a_name_gets_one_and_may_be_renamed(wire, ben):
    key = wire.run()
    assert wire.read(key)["info"]["run_name"] == f"run-{key[:8]}"
    wire.made("runs/update", run_id=key, run_name="second")
    assert wire.read(key)["info"]["run_name"] == "second"
    wire.made("runs/set-tag", run_id=key, key="mlflow.runName", value="third")
    logged = LoggedRun.objects.get(key=key)
    assert (logged.run.name, logged.run.job.title) == ("third", "third")
    assert AuditEvent.objects.filter(action="run.renamed").count() == 2


@pytest.mark.parametrize(
    ("status", "state"), [("FINISHED", "succeeded"), ("FAILED", "failed"), ("KILLED", "canceled")]
)
def test_a_run_ends_once_and_stays_so_until_it_is_taken_up_again(wire, status, state):
    key = wire.run()
    asked = {"run_id": key, "status": status, "end_time": 1_700_000_000_000}
    first, again = wire.made("runs/update", **asked), wire.made("runs/update", **asked)
    assert first == again
    assert first["run_info"]["status"] == status
    assert first["run_info"]["end_time"] == 1_700_000_000_000
    assert LoggedRun.objects.get(key=key).run.job.state == state
    other = "FAILED" if status != "FAILED" else "FINISHED"
    refused(wire.post("runs/update", run_id=key, status=other), "INVALID_STATE", 409)
    late = wire.post("runs/log-metric", run_id=key, key="loss", value=1, timestamp=1, step=0)
    assert "start_run(run_id=" in refused(late, "INVALID_STATE", 409)
    odd = wire.post("runs/log-metric", run_id=key, key="loss", value="NaN", timestamp=1, step=0)
    refused(odd, "INVALID_STATE", 409)
    wire.made("runs/set-tag", run_id=key, key="checked", value="yes")


@pytest.mark.parametrize("status", ["FINISHED", "FAILED", "KILLED"])
def test_an_ended_run_is_taken_up_again(wire, status):
    key = wire.run()
    point = {"run_id": key, "key": "loss", "timestamp": 1}
    wire.made("runs/log-metric", **point, value=3, step=0)
    wire.made("runs/update", run_id=key, status=status, end_time=1_700_000_000_000)

    told = wire.made("runs/update", run_id=key, status="RUNNING", end_time=1_700_000_000_000)
    wire.made("runs/log-metric", **point, value=2, step=1)

    assert told["run_info"]["status"] == "RUNNING"
    assert "end_time" not in told["run_info"]
    job = LoggedRun.objects.get(key=key).run.job
    assert (job.state, job.reason, job.finished_at) == ("running", "", None)
    assert job.lease_until is not None
    event = AuditEvent.objects.get(action="run.reopened")
    assert event.object_id == str(job.pk)
    wire.made("runs/update", run_id=key, status="FINISHED")
    assert wire.read(key)["info"]["status"] == "FINISHED"
    assert wire.read(key)["data"]["metrics"][0]["value"] == 2


def test_what_workers_train_is_not_taken_up_by_programs(team):
    job = submitted(team)
    job_cancel(actor=SYSTEM, job=job)
    job.refresh_from_db()

    with pytest.raises(WrongState):
        job_reopen_elsewhere(job=job)

    job.refresh_from_db()
    assert job.state == "canceled"


def test_a_run_that_goes_on_is_no_change(wire):
    key = wire.run()
    assert wire.made("runs/update", run_id=key, status="RUNNING")["run_info"]["status"] == "RUNNING"
    refused(wire.post("runs/update", run_id=key, status="DONE"), "INVALID_PARAMETER_VALUE")


def test_a_run_that_a_person_cancelled_is_killed(wire, ben):
    key = wire.run()
    job_cancel(actor=ben, job=LoggedRun.objects.get(key=key).run.job)
    assert wire.read(key)["info"]["status"] == "KILLED"


def test_nothing_is_deleted(wire):
    key = wire.run()
    for word in ("delete", "restore"):
        refused(wire.post(f"runs/{word}", run_id=key), "NOT_IMPLEMENTED", 501)
    assert wire.read(key)["info"]["lifecycle_stage"] == "active"


# ---- what is logged ----------------------------------------------------------------------------


def batch(key):
    return {
        "run_id": key,
        "metrics": [
            {"key": "loss", "value": 2.0, "timestamp": 1000, "step": 0},
            {"key": "loss", "value": 1.5, "timestamp": 2000, "step": 1},
            {"key": "loss", "value": "NaN", "timestamp": 3000, "step": 2},
            {"key": "top", "value": "-Infinity", "timestamp": 3000, "step": 0},
        ],
        "params": [{"key": "lr", "value": "1e-4"}, {"key": "words", "value": "w" * 6000}],
        "tags": [{"key": "team", "value": "a"}, {"key": "mlflow.note.content", "value": "n" * 900}],
    }


def test_a_batch_is_stored_once_however_often_it_comes(wire):
    key = wire.run()
    for _time in range(3):
        wire.made("runs/log-batch", **batch(key))
    run = wire.read(key)["data"]
    assert {one["key"]: (one["value"], one["step"]) for one in run["metrics"]} == {
        "loss": ("NaN", 2), "top": ("-Infinity", 0)
    }  # fmt: skip
    assert {one["key"]: one["value"] for one in run["params"]} == {
        "lr": "1e-4", "words": "w" * 6000
    }  # fmt: skip
    tags = {one["key"]: one["value"] for one in run["tags"]}
    assert tags["mlflow.note.content"] == "n" * 900
    _status, answer = wire.get("metrics/get-history", run_id=key, metric_key="loss")
    assert answer["metrics"] == [
        {"key": "loss", "value": 2.0, "timestamp": 1000, "step": 0},
        {"key": "loss", "value": 1.5, "timestamp": 2000, "step": 1},
        {"key": "loss", "value": "NaN", "timestamp": 3000, "step": 2},
    ]
    assert (MetricPoint.objects.count(), SidePoint.objects.count()) == (2, 2)
    assert RunParam.objects.get(name="lr").number == 1e-4


def history(wire, key, **asked):
    status, answer = wire.get("metrics/get-history", run_id=key, metric_key="loss", **asked)
    assert status == 200, answer
    return [(one["step"], one["value"], one["timestamp"]) for one in answer["metrics"]]


def test_every_value_of_a_step_is_kept_and_the_newest_is_the_runs(wire):
    key = wire.run()
    for value, moment in ((3.0, 10), (1.0, 30), (2.0, 20), (1.0, 30), ("NaN", 5)):
        wire.made("runs/log-metric", run_id=key, key="loss", value=value, timestamp=moment)
    both = [{"key": "loss", "value": v, "timestamp": 40} for v in (0.25, 0.5, 0.25)]
    for _time in range(2):
        wire.made("runs/log-batch", run_id=key, metrics=both)

    all_of_them = [
        (0, "NaN", 5), (0, 3.0, 10), (0, 2.0, 20), (0, 1.0, 30), (0, 0.25, 40), (0, 0.5, 40),
    ]  # fmt: skip
    assert history(wire, key) == all_of_them
    pages = [history(wire, key, max_results=4, page_token=token) for token in ("", "4")]
    assert pages == [all_of_them[:4], all_of_them[4:]]
    (newest,) = wire.read(key)["data"]["metrics"]
    assert (newest["value"], newest["timestamp"]) == (0.5, 40)


def test_curves_without_steps_are_drawn_in_turn_and_with_steps_by_step(wire):
    key = wire.run()
    points = [{"key": "loss", "value": v, "timestamp": n} for n, v in enumerate((3.0, 2.0, 4.0))]
    stepped = [{"key": "rate", "value": n, "timestamp": n, "step": n // 2} for n in range(4)]
    wire.made("runs/log-batch", run_id=key, metrics=points + stepped)
    job = LoggedRun.objects.get(key=key).run.job

    assert curve_of(job=job, name="loss") == [(0, 3.0), (1, 2.0), (2, 4.0)]
    assert curve_of(job=job, name="loss", after_step=1) == [(2, 4.0)]
    assert curve_of(job=job, name="rate") == [(0, 1.0), (1, 3.0)]


def test_a_number_takes_the_place_of_none_at_its_step(wire):
    key = wire.run()
    for value in ("NaN", 3.0, "Infinity"):
        point = {"key": "loss", "value": value, "timestamp": 1, "step": 5}
        wire.made("runs/log-metric", run_id=key, **point)
        (newest,) = wire.read(key)["data"]["metrics"]
        assert newest["value"] == value


def test_pages_of_a_history_and_several_runs_at_once(wire):
    keys = [wire.run(), wire.run()]
    for key in keys:
        points = [{"key": "loss", "value": n, "timestamp": n, "step": n} for n in range(10)]
        wire.made("runs/log-batch", run_id=key, metrics=points)
    asked = {"run_id": keys[0], "metric_key": "loss", "max_results": 4}
    steps, token = [], ""
    while True:
        _status, page = wire.get("metrics/get-history", **asked, page_token=token)
        steps.append([one["step"] for one in page["metrics"]])
        token = page.get("next_page_token")
        if not token:
            break
    assert steps == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    _status, several = wire.get(
        "metrics/get-history-bulk-interval", run_ids=keys, metric_key="loss", start_step=2,
        end_step=8, max_results=3,
    )  # fmt: skip
    assert [(one["run_id"], one["step"]) for one in several["metrics"]] == [
        (key, step) for key in keys for step in (2, 5, 8)
    ]


def test_a_parameter_does_not_change(wire):
    key = wire.run()
    long = "w" * 600
    for name, value in (("lr", "1"), ("words", long)):
        wire.made("runs/log-parameter", run_id=key, key=name, value=value)
        other = f"{value}x"
        said = refused(
            wire.post("runs/log-parameter", run_id=key, key=name, value=other),
            "INVALID_PARAMETER_VALUE",
        )
        assert name in said
    both = [{"key": "a", "value": "1"}, {"key": "lr", "value": "2"}]
    refused(wire.post("runs/log-batch", run_id=key, params=both), "INVALID_PARAMETER_VALUE")
    assert {one["key"] for one in wire.read(key)["data"]["params"]} == {"lr", "words"}


def test_a_tag_changes_and_goes_with_its_whole_text(wire):
    key = wire.run()

    def tags():
        return {one["key"]: one["value"] for one in wire.read(key)["data"]["tags"]}

    wire.made("runs/set-tag", run_id=key, key="note", value="n" * 800)
    assert tags()["note"] == "n" * 800
    wire.made("runs/set-tag", run_id=key, key="note", value="short")
    assert tags()["note"] == "short"
    wire.made("runs/set-tag", run_id=key, key="note", value="n" * 800)
    wire.made("runs/delete-tag", run_id=key, key="note")
    assert "note" not in tags()
    assert LoggedRun.objects.get(key=key).long_texts["tags"] == {}


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"metrics": [{"key": "a", "value": 1, "timestamp": 1}] * 1001}, "metrics"),
        ({"params": [{"key": f"p{n}", "value": ""} for n in range(101)]}, "params"),
        ({"tags": [{"key": f"t{n}", "value": ""} for n in range(101)]}, "tags"),
        (
            {
                "metrics": [{"key": "a", "value": 1, "timestamp": 1}] * 950,
                "params": [{"key": f"p{n}", "value": ""} for n in range(51)],
            },
            "together",
        ),
        ({"params": [{"key": "a", "value": "x" * 6001}]}, "params.0.value"),
        ({"params": [{"key": "x" * 251, "value": ""}]}, "params.0.key"),
        ({"tags": [{"key": "a", "value": "x" * 8001}]}, "tags.0.value"),
        ({"metrics": [{"key": "a" * 251, "value": 1, "timestamp": 1}]}, "metrics.0.key"),
        ({"metrics": [{"key": "a", "value": "much", "timestamp": 1}]}, "metrics.0.value"),
        ({"metrics": [{"key": "a", "value": 1, "timestamp": -1}]}, "metrics.0.timestamp"),
        ({"metrics": [{"key": "a", "value": 1, "timestamp": 1 << 60}]}, "metrics.0.timestamp"),
        ({"metrics": [{"key": "a", "value": 1, "timestamp": 1, "step": -1}]}, "metrics.0.step"),
        ({"params": [{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]}, "params"),
        ({"params": "a"}, "params"),
        ({"tags": [{"key": "a\x00", "value": ""}]}, "tags.0.key"),
    ],
)  # fmt: skip
def test_what_cannot_be_kept_is_named_and_nothing_of_it_stored(wire, fields, named):
    key = wire.run()
    given = {"params": [{"key": "fine", "value": "1"}], **fields}
    said = refused(wire.post("runs/log-batch", run_id=key, **given), "INVALID_PARAMETER_VALUE")
    assert named in said
    data = wire.read(key)["data"]
    assert (data["metrics"], data["params"]) == ([], [])


def test_names_of_metrics_may_be_as_long_as_mlflow_allows(wire):
    key = wire.run()
    name = "m" * 250
    wire.made("runs/log-metric", run_id=key, key=name, value=1, timestamp=1, step=0)
    assert wire.read(key)["data"]["metrics"][0]["key"] == name


def test_data_that_a_run_reads_is_kept_once(wire):
    key = wire.run()
    data = {
        "dataset": {"name": "texts", "digest": "abc", "source_type": "http", "source": "{}"},
        "tags": [{"key": "mlflow.data.context", "value": "train"}],
    }
    for _time in range(2):
        wire.made("runs/log-inputs", run_id=key, datasets=[data])
    assert wire.read(key)["inputs"]["dataset_inputs"] == [data]
    data["dataset"]["profile"] = "x" * 70_000
    said = refused(
        wire.post("runs/log-inputs", run_id=key, datasets=[data]), "INVALID_PARAMETER_VALUE"
    )
    assert "datasets.0.dataset.profile" in said


# ---- searches ----------------------------------------------------------------------------------


@pytest.fixture
def three(wire):
    """Runs a, b and c of one experiment with losses 1, 2 and 3; b has failed."""
    experiment = wire.made("experiments/create", name="rates")["experiment_id"]
    keys = {}
    for loss, name in enumerate("abc", 1):
        keys[name] = wire.run(experiment, run_name=name, start_time=loss * 1000)
        wire.made(
            "runs/log-batch", run_id=keys[name],
            metrics=[{"key": "loss", "value": loss, "timestamp": 1, "step": 1}],
            params=[{"key": "lr", "value": f"0.{loss}"}],
            tags=[{"key": "side", "value": name.upper()}],
        )  # fmt: skip
    wire.made("runs/update", run_id=keys["b"], status="FAILED")
    wire.run()  # in another experiment
    return experiment, keys


@pytest.mark.parametrize(
    ("text", "order", "expected"),
    [
        ("", [], "cba"),
        ("metrics.loss < 2.5", ["metrics.loss ASC"], "ab"),
        ("metric.loss >= 2", ["metrics.`loss` DESC", "start_time DESC"], "cb"),
        ("params.lr = '0.2'", [], "b"),
        ("tags.side ILIKE 'a'", [], "a"),
        ("tags.side IN ('A', 'C')", ["attributes.start_time ASC"], "ac"),
        ("attributes.status = 'FAILED'", [], "b"),
        ("status != 'FAILED' and attribute.run_name LIKE 'c%'", [], "c"),
        ("tags.`mlflow.runName` = 'a'", [], "a"),
        ("run_id = 'nobody'", [], ""),
    ],
)
def test_runs_are_found(wire, three, text, order, expected):
    experiment, _keys = three
    found = wire.made("runs/search", experiment_ids=[experiment], filter=text, order_by=order)
    assert "".join(run["info"]["run_name"] for run in found["runs"]) == expected


def test_runs_are_found_by_id_time_and_page(wire, three):
    experiment, keys = three

    def names(**asked):
        found = wire.made("runs/search", experiment_ids=[experiment], **asked)
        return [run["info"]["run_name"] for run in found["runs"]], found.get("next_page_token")

    assert names(filter=f"attributes.run_id IN ('{keys['a']}', '{keys['c']}')")[0] == ["c", "a"]
    assert len(names(filter="attributes.start_time > 1000")[0]) == 3
    first, token = names(max_results=2)
    assert (first, names(max_results=2, page_token=token)) == (["c", "b"], (["a"], None))
    assert names(run_view_type="DELETED_ONLY") == ([], None)


@pytest.mark.parametrize(
    "asked",
    [
        {"filter": "attributes.colour = 'red'"},
        {"filter": "status = 'DONE'"},
        {"filter": "metrics.loss <"},
        {"filter": "start_time > 'yesterday'"},
        {"order_by": ["attributes.run_name"]},
        {"order_by": ["metrics.loss", "params.lr"]},
        {"page_token": "x!"},
        {"max_results": 0},
    ],
)
def test_searches_that_mean_nothing_are_refused(wire, three, asked):
    refused(wire.post("runs/search", experiment_ids=[three[0]], **asked), "INVALID_PARAMETER_VALUE")


def test_our_own_filter_knows_experiments(wire, ben, three):
    assert len(run_search(actor=ben, text="experiment = 'rates'").ids) == 3
    assert len(run_search(actor=ben, text="experiment is not null").ids) == 4
    assert run_search(actor=ben, text="experiment is null").ids == []


# ---- who may -----------------------------------------------------------------------------------


def test_outsiders_find_nothing(wire, wire_for, cai, three):
    experiment, keys = three
    other = wire_for(cai)
    missing = ("RESOURCE_DOES_NOT_EXIST", 404)
    refused(other.get("experiments/get", experiment_id=experiment), *missing)
    refused(other.get("experiments/get-by-name", experiment_name="research/rates"), *missing)
    refused(other.post("runs/create", experiment_id=experiment), *missing)
    refused(other.post("runs/search", experiment_ids=[experiment]), *missing)
    refused(other.get("runs/get", run_id=keys["a"]), *missing)
    refused(other.get("metrics/get-history", run_id=keys["a"], metric_key="loss"), *missing)
    for name, fields in (
        ("log-batch", {}), ("update", {"status": "FAILED"}), ("delete", {}),
        ("set-tag", {"key": "a", "value": "b"}), ("log-parameter", {"key": "a", "value": "b"}),
        ("log-metric", {"key": "a", "value": 1, "timestamp": 1}), ("log-inputs", {}),
    ):  # fmt: skip
        refused(other.post(f"runs/{name}", run_id=keys["a"], **fields), *missing)
    assert other.made("experiments/search")["experiments"] == []
    assert wire.read(keys["a"])["info"]["status"] == "RUNNING"


def test_viewers_read_and_do_not_log(wire_for, eve, three):
    viewer = wire_for(eve)
    key = three[1]["a"]
    assert viewer.read(key)["info"]["run_name"] == "a"
    denied = ("PERMISSION_DENIED", 403)
    refused(viewer.post("runs/log-parameter", run_id=key, key="a", value="b"), *denied)
    refused(viewer.post("runs/create", experiment_id=three[0]), *denied)
    refused(viewer.post("runs/update", run_id=key, status="FAILED"), *denied)


def test_tokens_do_what_their_scopes_say(wire_for, ben, three):
    experiment, keys = three
    denied = ("PERMISSION_DENIED", 403)
    reads, writes = wire_for(ben, "read"), wire_for(ben, "write")
    assert reads.read(keys["a"])
    refused(reads.post("runs/set-tag", run_id=keys["a"], key="a", value="b"), *denied)
    writes.made("runs/set-tag", run_id=keys["a"], key="a", value="b")
    refused(writes.get("runs/get", run_id=keys["a"]), *denied)
    refused(writes.post("runs/search", experiment_ids=[experiment]), *denied)


def test_without_a_token_nothing_is_said(client, ben, three):
    for path in ("runs/get?run_id=a", "nothing", "experiments/get?experiment_id=0"):
        answer = client.get(f"{API}/{path}")
        assert (answer.status_code, answer.json()["error_code"]) == (401, "UNAUTHENTICATED")
    client.force_login(ben, backend="console.access.backends.RoleBackend")
    assert client.get(f"{API}/experiments/get?experiment_id=0").status_code == 401


def test_a_password_may_be_a_token(client, ben, three):
    token = ApiTokenFactory(user=ben).secret
    for given, status in ((f"any:{token}", 200), ("any:slip_no", 401), ("\xff", 401)):
        words = base64.b64encode(given.encode("latin-1")).decode()
        answer = client.get(
            f"{API}/runs/get?run_id={three[1]['a']}", headers={"Authorization": f"Basic {words}"}
        )
        assert answer.status_code == status


def test_other_parts_of_mlflow_are_named(wire):
    refused(wire.post("traces"), "ENDPOINT_NOT_FOUND", 404)
    refused(wire.post("registered-models/rename"), "ENDPOINT_NOT_FOUND", 404)
