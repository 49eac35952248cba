"""Hours of a serving configuration as rows of its form, and the week they make."""

import datetime as dt
import re

import pytest

from models_app.configs.models import ConfigRevision
from models_app.configs.specs import ServingSpec
from models_app.deployments.models import Deployment, Revision
from models_app.deployments.week import week_ahead
from tests.console.pages.test_configs import form_of, one, text  # noqa: F401
from tests.console.pages.test_deployments import SPEC
from tests.factories.deployments import environment, ready_version

NEW = "/configs/new/?kind=serving"
BASE = {"replicas": "1", "threads": "1", "max_slots": "16", "max_context": "0", "dtype": "fp32",
        "keep_warm_s": "60"}  # fmt: skip
ROW = {"days": ["mon", "tue"], "start": "08:00", "end": "18:00", "replicas": "3"}


def sent(rows, go="save", **more):
    """The form with these rows of hours, as a browser sends it."""
    fields = form_of(BASE, team="research", name="small") | {"s-max_replicas": "4", "go": go} | more
    fields["s-hours-rows"] = str(len(rows))
    for number, row in enumerate(rows):
        fields |= {f"s-hours-{number}-{part}": value for part, value in row.items()}
    return fields


def rows_of(page):
    """Values of the controls of each row."""
    return [
        {
            "days": re.findall(rf'name="s-hours-{n}-days" value="(\w+)" checked', page),
            **{
                part: re.search(rf'name="s-hours-{n}-{part}" value="([^"]*)"', page)[1]
                for part in ("start", "end", "replicas")
            },
        }
        for n in range(page.count('class="hours-row"'))
    ]


@pytest.mark.django_db
class TestRows:
    def test_are_stored_and_shown_again(self, ben, team, client_for):
        client = client_for(ben)
        blank = {"start": "", "end": "", "replicas": ""}

        answer = client.post(NEW, sent([blank, ROW], **{"s-timezone": "Europe/Berlin"}))

        assert answer.status_code == 302
        stored = ConfigRevision.objects.get().spec
        assert stored["hours"] == [{**ROW, "replicas": 3}]
        assert stored["timezone"] == "Europe/Berlin"
        page = text(client.get("/configs/research/serving/small/edit/"))
        assert rows_of(page) == [ROW]
        assert "from 1 to 3 replicas at least (Europe/Berlin)" in page

    def test_are_added_and_dropped_by_buttons_and_nothing_is_stored(self, ben, team, client_for):
        client = client_for(ben)
        other = {**ROW, "days": [], "start": "22:00", "end": "25:99", "replicas": "many"}

        added = text(client.post(NEW, sent([ROW, other], "rows:hours:add")))
        left = text(client.post(NEW, sent([ROW, other], "rows:hours:drop:0")))

        assert rows_of(added)[:2] == [ROW, other]
        assert rows_of(added)[2]["days"] == ["mon", "tue", "wed", "thu", "fri"]
        assert re.search(r'name="s-hours-2-days" value="mon" checked autofocus', added)
        assert rows_of(left) == [other]
        assert "<details" in added and re.search(r"<details[^>]* open>", added)
        assert not ConfigRevision.objects.exists()

    def test_what_is_wrong_stands_in_its_row(self, ben, team, client_for):
        wrong = {"days": ["mon", "noday"], "start": "25:00", "end": "", "replicas": "-1"}

        answer = client_for(ben).post(NEW, sent([ROW, wrong]))

        assert answer.status_code == 422
        page = text(answer)
        assert rows_of(page)[1] == {**wrong, "days": ["mon"]}
        second = page.split('class="hours-row"')[2]
        assert second.count("Give a time of the day, such as 08:30.") == 2
        assert 'id="s-hours-1-replicas_error"' in second
        assert "Correct the marked rows." in page
        assert "field-error" not in page.split('class="hours-row"')[1]

    def test_more_than_the_most_is_said(self, ben, team, client_for):
        page = text(client_for(ben).post(NEW, sent([{**ROW, "replicas": "9"}])))
        assert "Line 1 asks for 9 replicas, and the most are 4." in page

    @pytest.mark.parametrize("count", ["", "x", "-1", "²", "9" * 30, "5000"])
    def test_nonsense_for_a_count_is_no_error(self, ben, team, client_for, count):
        fields = sent([]) | {"s-hours-rows": count}
        assert client_for(ben).post(NEW, fields).status_code == 302

    @pytest.mark.parametrize("go", ["rows:hours:drop:99", "rows:nothing:add", "rows:replicas:add"])
    def test_buttons_that_are_not_there_change_nothing(self, ben, team, client_for, go):
        answer = client_for(ben).post(NEW, sent([ROW], go))
        assert answer.status_code == 200
        assert rows_of(text(answer)) == [ROW]

    def test_switching_to_yaml_keeps_them(self, ben, team, client_for):
        page = text(client_for(ben).post(NEW, sent([ROW], "yaml")))
        assert "08:00" in page and "replicas: 3" in page

    def test_without_scaling_they_change_nothing_and_it_says_so(self, ben, team, client_for):
        fields = sent([ROW], "rows:hours:show") | {"s-max_replicas": "0"}
        assert "hours change nothing" in text(client_for(ben).post(NEW, fields))


class TestWeek:
    def week(self, *rows, at="2026-03-23T09:00:00+00:00", **spec):
        settings = ServingSpec(max_replicas=6, hours=list(rows), **spec)
        return week_ahead(settings, dt.datetime.fromisoformat(at))

    def said(self, week):
        return [(f"{s.start:%a %H:%M}", f"{s.end:%a %H:%M}", s.replicas) for s in week.stretches]

    def test_without_hours_it_is_one_stretch(self):
        week = self.week(min_replicas=2)
        assert self.said(week) == [("Mon 00:00", "Mon 00:00", 2)]
        assert (week.fewest, week.most, len(week.days)) == (2, 2, 7)

    def test_over_midnight_and_the_most_of_several(self):
        week = self.week(
            {"days": ["mon"], "start": "22:00", "end": "06:00", "replicas": 4},
            {"days": ["mon"], "start": "23:00", "end": "23:30", "replicas": 5},
        )
        assert self.said(week) == [
            ("Mon 00:00", "Mon 22:00", 1), ("Mon 22:00", "Mon 23:00", 4),
            ("Mon 23:00", "Mon 23:30", 5), ("Mon 23:30", "Tue 06:00", 4),
            ("Tue 06:00", "Mon 00:00", 1),
        ]  # fmt: skip
        assert sum(s.width for s in week.stretches) == pytest.approx(1)

    def test_where_clocks_are_set_forward(self):
        row = {"days": ["sun"], "start": "01:00", "end": "04:00", "replicas": 3}
        week = self.week(row, timezone="Europe/Berlin")
        (night,) = [s for s in week.stretches if s.replicas == 3]
        # From one to four on the clock are two hours in that night.
        assert night.width == pytest.approx(2 / (7 * 24 - 1))


@pytest.mark.django_db
class TestDeployment:
    """The same rows where a deployment takes its settings as typed."""

    @pytest.fixture
    def fields(self, team):
        environment("development")
        return {
            **SPEC, "model_version": ready_version(team).pk, "name": "writer",
            "environment": "development", "max_replicas": "4",
        }  # fmt: skip

    def rows(self, *rows):
        found = {"hours-rows": str(len(rows))}
        for number, row in enumerate(rows):
            found |= {f"hours-{number}-{part}": value for part, value in row.items()}
        return found

    def test_they_are_typed_added_and_stored(self, ana, fields, client_for):
        client, path = client_for(ana), "/deployments/new/"
        assert 'value="rows:hours:add"' in text(client.get(path))

        added = text(client.post(path, fields | self.rows(ROW) | {"go": "rows:hours:add"}))
        assert added.count('class="hours-row"') == 2
        assert 'value="writer"' in added
        assert not Deployment.objects.exists()

        answer = client.post(path, fields | self.rows(ROW))
        assert answer.status_code == 302
        assert Revision.objects.get().spec_in_effect["hours"] == [{**ROW, "replicas": 3}]
        page = text(client.get("/deployments/research/writer/revisions/new/"))
        assert page.count('class="hours-row"') == 1

    def test_what_is_wrong_stands_in_its_row(self, ana, fields, client_for):
        wrong = {**ROW, "start": "8 o'clock"}
        answer = client_for(ana).post("/deployments/new/", fields | self.rows(ROW, wrong))

        assert answer.status_code == 422
        page = text(answer)
        assert "Give a time of the day" in page.split('class="hours-row"')[2]
        assert "Give a time of the day" not in page.split('class="hours-row"')[1]
