"""Searches for runs: what matches, in which order, page by page, and never a foreign team's."""

import csv
import io

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from models_app.core.actor import SYSTEM
from models_app.core.errors import FieldError
from models_app.registry.models import TrainingRun
from models_app.registry.run_selectors import runs_load
from models_app.registry.search.query import run_count, run_search, run_search_all
from models_app.registry.services import run_begin, run_end, run_log_metrics, tags_change
from tests.factories.data import pending_version, stored
from tests.factories.deployments import ready_version

pytestmark = pytest.mark.django_db
V1 = "/api/v1"


@pytest.fixture
def runs(ben, ana, team):
    """Six runs: loss 1, 2, 3, 3, none, 0.5; two datasets; two authors."""
    model = ready_version(team).model
    stdlib = pending_version(ben, team, stored("a.txt", b"a b c"), name="stdlib")
    novels = pending_version(ben, team, stored("b.txt", b"d e f"), name="novels")
    found = []
    for n, loss in enumerate((1.0, 2.0, 3.0, 3.0, None, 0.5)):
        run = run_begin(
            actor=ana if n == 5 else ben, team=team, name=f"run {n}", model=model,
            dataset_version=novels if n % 2 else stdlib,
            params={"learning_rate": 10.0**-n, "schedule": "cosine" if n < 3 else "constant"},
            tags={"team": "a" if n < 2 else "b"},
        )  # fmt: skip
        if loss is not None:
            run_log_metrics(actor=ben, job=run.job, points=[("loss", 1, 9.0, None)])
            run_log_metrics(actor=ben, job=run.job, points=[("loss", 2, loss, None)])
        found.append(run)
    run_end(actor=ben, run=found[1], state="failed", reason="no luck")
    return found


def names(actor, text="", order="", **options):
    found = run_search(actor=actor, text=text, order=order, **options)
    return [view.run.name.removeprefix("run ") for view in runs_load(found.ids)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "543210"),
        ("metrics.loss < 2.5", "510"),
        ("metrics.loss <= 3 and dataset = 'stdlib'", "20"),
        ("not metrics.loss < 2.5", "432"),
        ("metrics.loss is null", "4"),
        ("metrics.loss is not null and metrics.loss != 3", "510"),
        ("params.learning_rate >= 1e-3", "3210"),
        ("params.schedule = 'cosine'", "210"),
        ("params.schedule like 'CON%'", "543"),
        ("params.schedule not like 'c%'", ""),
        ("params.schedule is null", ""),
        ("tag.team = 'a' or metrics.loss < 0.7", "510"),
        ("tags.team in ('a', 'c')", "10"),
        ("tags.team not in ('a')", "5432"),
        ("state = failed", "1"),
        ("state in (running) and dataset = novels", "53"),
        ("author = me", "43210"),
        ("author != me", "5"),
        ("dataset like '%ove%'", "531"),
        ("dataset is null", ""),
        ("dataset_version = 1 and name = 'run 3'", "3"),
        ("model = poet and version is null", "543210"),
        ("team = research", "543210"),
        ("team = legal", ""),
        ("kind = external", "543210"),
        ("kind = train", ""),
        ("created > 2020-01-01 and created < 2021-01-01", ""),
        ("created >= 2020-01-01T00:00:00Z", "543210"),
        ("finished is not null", "1"),
        ("finished > 2020-01-01", "1"),
        ("id > 0 and (dataset = stdlib or (metrics.loss = 3 and not state = failed))", "4320"),
        ("name = '%s'", ""),
        ("name like '%'", "543210"),
    ],
)
def test_what_matches(ben, runs, text, expected):
    assert "".join(names(ben, text)) == expected
    assert run_count(actor=ben, text=text) == len(expected)


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("-created", "543210"),
        ("created", "012345"),
        ("metrics.loss", "501234"),
        ("-metrics.loss", "321054"),
        ("params.learning_rate", "543210"),
        ("-params.learning_rate", "012345"),
        ("metrics.nobody", "543210"),
        ("params.schedule", "543210"),
    ],
)
@pytest.mark.parametrize("limit", [1, 2, 4, 50])
def test_pages_follow_each_other_in_a_stable_order(ben, runs, order, expected, limit):
    pages = run_search_all(actor=ben, order=order, most=100, page=limit)

    found = [view.run.name[-1] for ids in pages for view in runs_load(ids)]
    assert "".join(found) == expected


def test_a_page_does_not_shift_when_runs_come_in(ben, team, runs):
    first = run_search(actor=ben, order="-created", limit=3)
    run_begin(actor=ben, team=team, name="run new")

    rest = run_search(actor=ben, order="-created", cursor=first.next, limit=3)

    assert [view.run.name[-1] for view in runs_load(rest.ids)] == ["2", "1", "0"]


def test_foreign_runs_are_never_found(cai, root, other_team, runs):
    mine = run_begin(actor=cai, team=other_team, name="run mine")
    for text in ("", "not name = 'x'", "name = 'a' or id > 0", "metrics.loss is null",
                 "team = research or team = legal", "not (team = legal)"):  # fmt: skip
        for order in ("", "metrics.loss", "-params.learning_rate"):
            found = run_search(actor=cai, text=text, order=order).ids
            assert set(found) <= {mine.pk}, (text, order)
    assert len(run_search(actor=root).ids) == len(run_search(actor=SYSTEM).ids) == 7


@pytest.mark.parametrize("cursor", ["x", "e30", "eyJpZCI6MX0=.", "eyJpZCI6LTF9", "bnVsbA", "é"])
@pytest.mark.parametrize("order", ["", "metrics.loss"])
def test_a_cursor_that_no_answer_has_held_is_refused(ben, runs, cursor, order):
    with pytest.raises(FieldError) as caught:
        run_search(actor=ben, cursor=cursor, order=order)

    assert caught.value.field == "cursor"


def test_a_cursor_of_another_order_is_refused(ben, runs):
    cursor = run_search(actor=ben, limit=1).next

    with pytest.raises(FieldError):
        run_search(actor=ben, cursor=cursor, order="metrics.loss")


def test_trainings_done_here_are_found_by_their_settings_and_final_figures(ben, version):
    text = (
        f"dataset = texts and params.seed = {version.config_revision.spec['seed']}"
        " and metrics.validation_loss > 0 and version = 1 and state = succeeded and kind = train"
    )

    view = runs_load(run_search(actor=ben, text=text).ids)[0]

    assert view.version == version
    assert view.metrics["validation_loss"] == version.metrics["validation_loss"]
    assert view.params["batch_size"] == version.config_revision.spec["batch_size"]


class TestApi:
    def test_pages_by_cursor_with_what_each_run_has(self, ben, runs, api_for):
        api = api_for(ben)

        query = {"filter": "metrics.loss > 0", "order": "metrics.loss", "page_size": 3}
        first = api.get(f"{V1}/training-runs", query)
        second = api.get(first.json()["next"])

        found = [row["metrics"]["loss"] for row in first.json()["results"]]
        assert found == [0.5, 1.0, 2.0]
        assert [row["metrics"]["loss"] for row in second.json()["results"]] == [3.0, 3.0]
        assert second.json()["next"] is None
        row = first.json()["results"][0]
        assert (row["dataset"], row["tags"], row["state"]) == ("novels", {"team": "b"}, "running")

    @pytest.mark.parametrize(
        ("query", "field"),
        [({"filter": "metrics.loss <"}, "filter"), ({"order": "loss"}, "order"),
         ({"cursor": "x"}, "cursor"), ({"page_size": 0}, "page_size")],
    )  # fmt: skip
    def test_bad_questions_name_the_field(self, ben, api_for, query, field):
        answer = api_for(ben).get(f"{V1}/training-runs", query)

        assert (answer.status_code, list(answer.json()["errors"])) == (422, [field])

    def test_a_list_takes_the_same_queries_however_long_it_is(self, ben, runs, api_for):
        api, counts = api_for(ben), []
        api.get(f"{V1}/training-runs")  # notes the use of the token
        for size in (1, 6):
            with CaptureQueriesContext(connection) as queries:
                assert len(
                    api.get(f"{V1}/training-runs?page_size={size}").json()["results"]
                ) == size  # fmt: skip
            counts.append(len(queries))

        assert counts[0] == counts[1] <= 9

    def test_everything_that_matches_as_csv(self, ben, runs, api_for):
        tags_change(actor=ben, thing=runs[0].job, tags={"note": "=1+1"})

        answer = api_for(ben).get(f"{V1}/training-runs/export?filter=metrics.loss < 2.5")

        rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
        assert [row["name"] for row in rows] == ["run 5", "run 1", "run 0"]
        assert [row["metrics.loss"] for row in rows] == ["0.5", "2.0", "1.0"]
        assert rows[2]["tags.note"] == "'=1+1"
        assert TrainingRun.objects.count() == 6
