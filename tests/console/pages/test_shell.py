"""The shell of every page: navigation, states, figures, forms and the rules of the policy."""

import datetime as dt
import hashlib
import json
import re
from pathlib import Path

import pytest
from django import forms
from django.contrib.auth.models import AnonymousUser
from django.template import engines
from django.template.loader import render_to_string
from django.test import RequestFactory, override_settings
from django.urls import path
from django.utils import timezone, translation

from console.pages import figures, navigation, states

pytestmark = pytest.mark.nodb
ROOT = Path(__file__).resolve().parents[3]


def nothing(request, **kwargs):
    raise NotImplementedError


urlpatterns = [path("", nothing, name="overview"), path("jobs/", nothing, name="job_list")]
only_two_pages = override_settings(ROOT_URLCONF=__name__)


def render(source: str, **context) -> str:
    template = engines["django"].from_string("{% load i18n static ui %}" + source)
    request = context.pop("request", None) or RequestFactory().get("/jobs/?state=failed&page=3")
    request.user = AnonymousUser()
    return template.render(context, request)


class TestNavigation:
    @only_two_pages
    def test_shows_only_pages_that_exist(self) -> None:
        html = render('{% include "components/_nav.html" %}')

        assert 'href="/jobs/"' in html
        assert "Deployments" not in html

    @only_two_pages
    def test_marks_where_the_reader_is(self) -> None:
        html = render('{% include "components/_nav.html" %}')

        assert re.search(r'href="/jobs/"[^>]*aria-current="page"', html)
        assert not re.search(r'href="/"[^>]*aria-current', html)

    @only_two_pages
    def test_a_page_below_marks_its_area(self) -> None:
        [entry] = [
            item
            for group in navigation.navigation(RequestFactory().get("/jobs/12/log/"))
            for item in group["entries"]
            if item["name"] == "job_list"
        ]

        assert entry["current"] == "true"

    def test_keys_are_used_once(self) -> None:
        keys = [e.key for _label, entries in navigation.GROUPS for e in entries if e.key]

        assert len(keys) == len(set(keys))


class TestStates:
    @pytest.mark.parametrize("kind", states.KINDS)
    def test_every_state_has_a_symbol_and_a_word_in_both_languages(self, kind: str) -> None:
        sprite = (ROOT / "static/vendor/icons.svg").read_text()
        for state, look in states.KINDS[kind].items():
            assert f'id="{look.icon.replace(".", "-")}"' in sprite, (state, look.icon)
            with translation.override("en"):
                english = str(look.label)
            with translation.override("zh-hans"):
                assert str(look.label) != english, state

    def test_covers_every_state_of_the_product(self) -> None:
        from models_app.approvals.states import RequestState
        from models_app.deployments.states import ReplicaState, RevisionState
        from models_app.jobs.states import JobState
        from models_app.registry.states import VersionState

        machines = {
            "job": JobState,
            "approval": RequestState,
            "revision": RevisionState,
            "replica": ReplicaState,
            "model_version": VersionState,
        }
        for kind, choices in machines.items():
            assert set(choices.values) <= set(states.KINDS[kind]), kind

    def test_an_unknown_state_does_not_break_the_page(self) -> None:
        assert "Half done" in render('{% state "half_done" "job" %}')

    def test_a_state_is_never_colour_alone(self) -> None:
        html = render('{% state "failed" "job" %}{% state_icon "failed" "job" %}')

        assert html.count("<use ") == 2
        assert html.count("Failed") == 3  # word, title, words for screen readers


class TestFigures:
    @pytest.mark.parametrize(
        ("value", "shown"),
        [(None, "–"), (0, "0 B"), (1023, "1023 B"), (183_081_370, "174.6 MiB"), (2**40, "1.0 TiB")],
    )
    def test_sizes(self, value: int | None, shown: str) -> None:
        assert figures.size(value) == shown

    @pytest.mark.parametrize(
        ("value", "shown"),
        [
            (0.25, "250 ms"),
            (4.2, "4.2 s"),
            (38, "38 s"),
            (72 * 60, "1 h 12 min"),
            (86400 * 2 + 5, "2 d"),
            (dt.timedelta(minutes=5, seconds=3), "5 min 3 s"),
        ],
    )
    def test_durations(self, value: float, shown: str) -> None:
        assert figures.duration(value) == shown

    @pytest.mark.parametrize("language", ["en", "zh-hans"])
    def test_thousands_are_set_apart_in_threes(self, language: str) -> None:
        with translation.override(language):
            assert figures.count(1234567) == "1,234,567"

    def test_times_say_the_exact_moment_too(self) -> None:
        html = str(figures.ago(timezone.now() - dt.timedelta(hours=2)))

        assert "2 hours ago" in html
        assert re.search(r'title="\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC"', html)


class TestTags:
    def test_query_changes_and_removes_parameters(self) -> None:
        assert render("{% query page=4 state=None %}") == "?page=4"

    def test_bar_stays_within_its_track(self) -> None:
        html = render('{% bar 140 "x" %}{% bar None "y" %}')

        assert 'class="bar-1" width="100%"' in html
        assert 'class="bar-1" width="0%"' in html

    def test_names_and_labels_are_escaped(self) -> None:
        html = render('{% person who named=True %}{% empty "bolt" who %}', who="<b>Ana</b> Bel")

        assert "<b>" not in html

    def test_spark_of_one_value_is_a_dash(self) -> None:
        assert "–" in render('{% spark values "x" %}', values=[1])


class Example(forms.Form):
    name = forms.CharField(help_text="Lower case letters.")
    note = forms.CharField(required=False)
    big = forms.BooleanField(required=False)
    kind = forms.ChoiceField(choices=[("a", "A"), ("b", "B")], widget=forms.RadioSelect)


class TestForms:
    def test_error_stands_beside_its_field(self) -> None:
        html = render("{{ form }}", form=Example({"kind": "a"}))

        assert 'id="id_name_error"' in html
        assert re.search(r'<input[^>]*name="name"[^>]*is-invalid', html)
        assert re.search(r'aria-describedby="[^"]*id_name_error', html)
        assert "Nothing was saved" in html

    def test_optional_fields_say_so(self) -> None:
        assert render("{{ form }}", form=Example()).count("optional") == 1

    def test_a_single_field_renders_the_same_way(self) -> None:
        assert "form-hint" in render("{{ form.name.as_field_group }}", form=Example())


class TestPolicy:
    def test_no_template_carries_style_or_script(self) -> None:
        forbidden = re.compile(
            r"\sstyle\s*=|\son[a-z]+\s*=\s*[\"']|<style|<script(?![^>]*\ssrc=)|javascript:"
        )
        for file in (ROOT / "templates").rglob("*.html"):
            assert not forbidden.search(file.read_text(encoding="utf-8")), file

    def test_icons_named_in_templates_are_in_the_sprite(self) -> None:
        sprite = (ROOT / "static/vendor/icons.svg").read_text()
        for file in (ROOT / "templates").rglob("*.html"):
            for name in re.findall(r'{% icon "([^"]+)"', file.read_text(encoding="utf-8")):
                assert f'id="{name.replace(".", "-")}"' in sprite, (file, name)

    def test_vendored_files_are_the_ones_in_the_manifest(self) -> None:
        folder = ROOT / "static/vendor"
        manifest = json.loads((folder / "MANIFEST.json").read_text())
        for entry in manifest:
            digest = hashlib.sha256((folder / entry["file"]).read_bytes()).hexdigest()
            assert digest == entry["sha256"], entry["file"]
            assert entry["licence"]
        listed = {entry["file"] for entry in manifest} | {"MANIFEST.json"}
        present = {str(f.relative_to(folder)) for f in folder.rglob("*") if f.is_file()}
        assert present == listed

    @pytest.mark.parametrize("name", ["400", "403", "404", "500", "csrf"])
    def test_error_pages_render_without_a_request(self, name: str) -> None:
        assert "Slipway" in render_to_string(f"errors/{name}.html")
