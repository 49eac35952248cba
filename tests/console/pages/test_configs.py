"""Pages of configurations: two views of one revision, nothing lost, nothing overwritten unseen."""

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from console.pages.configs.fields import SettingsForm
from models_app.configs.models import Config, ConfigRevision, OverlayRevision
from models_app.configs.services import config_revise, overlay_revise
from models_app.configs.specs import ServingSpec
from tests.factories.deployments import environment
from tests.matrix import assert_hidden, assert_needs_sign_in

pytestmark = pytest.mark.django_db
#: What the form of a serving configuration is filled with.
FOLDED = {
    name: "on" if value is True else value
    for name, value in SettingsForm(ServingSpec, values=ServingSpec().plain()).initial.items()
    if name in ServingSpec.folded and value is not False
}
HOME = "/configs/research/serving/small/"


@pytest.fixture
def one(ana, team):
    for name in ("development", "staging", "production"):
        environment(name)
    return revised(ana, team, replicas=1)


def revised(actor, team, *, kind="serving", name="small", reason="", **spec):
    return config_revise(actor=actor, team=team, kind=kind, name=name, spec=spec, reason=reason)


def form_of(spec, **more):
    """The fields of the form view as a browser sends them, folded ones too."""
    if "replicas" in spec:
        spec = FOLDED | {n: v for n, v in spec.items() if n not in ServingSpec.folded}
    fields = {f"s-{name}": "" if value is None else value for name, value in spec.items()}
    return {"view": "form", "go": "save", **fields, **more}


def text(answer):
    return answer.content.decode()


class TestReading:
    def test_list_shows_newest_revisions(self, ana, team, one, client_for):
        revised(ana, team, replicas=2, reason="More load")

        page = text(client_for(ana).get("/configs/"))

        assert "research/small" in page
        assert ">r2</a>" in page
        assert "More load" in page
        assert "No configuration matches" in text(client_for(ana).get("/configs/?kind=training"))

    def test_detail_and_revision_show_settings_yaml_and_changes(self, ana, team, one, client_for):
        revised(ana, team, replicas=2, reason="More load")
        client = client_for(ana)

        detail = text(client.get(HOME))
        revision = text(client.get(f"{HOME}r2/"))
        yaml = text(client.get(f"{HOME}r2/?view=yaml"))

        assert "<del>1</del><ins>2</ins>" in detail
        assert "More model servers" in revision
        assert "replicas: 2\n" in yaml
        assert client.get(f"{HOME}r9/").status_code == 404
        assert client.get("/configs/research/odd/small/").status_code == 404

    def test_download_is_the_yaml_with_its_schema(self, ana, one, client_for):
        answer = client_for(ana).get(f"{HOME}r1/yaml/")

        assert text(answer).startswith("# yaml-language-server: $schema=http://testserver/api/v1/")
        assert "attachment" in answer["Content-Disposition"]

    def test_compares_any_two(self, ana, team, one, client_for):
        other = revised(ana, team, kind="training", name="poet", preset="gpt2-1m")
        two = revised(ana, team, replicas=3)
        client = client_for(ana)

        same = text(client.get(f"/configs/compare/?from={one.pk}&to={two.pk}"))
        mixed = text(client.get(f"/configs/compare/?from={one.pk}&to={other.pk}"))

        assert "<ins>replicas: 3</ins>" in same
        assert "of different kinds" in mixed
        assert client.get("/configs/compare/?from=x&to=99999").status_code == 200

    def test_outsiders_see_nothing(self, cai, ana, one, client_for):
        urls = [HOME, f"{HOME}edit/", f"{HOME}r1/", f"{HOME}r1/yaml/", f"{HOME}overlays/staging/"]
        assert_hidden(client_for(cai), urls, [f"{HOME}edit/", f"{HOME}overlays/staging/"])
        page = text(client_for(cai).get(f"/configs/compare/?from={one.pk}&to={one.pk}"))
        assert "small" not in page
        assert_needs_sign_in([*urls, "/configs/", "/configs/new/", "/configs/compare/"])


class TestNew:
    def test_stores_what_the_form_says(self, ben, team, client_for):
        client = client_for(ben)
        spec = {"replicas": "2", "threads": "1", "max_slots": "16", "max_context": "0",
                "dtype": "fp32", "keep_warm_s": "60"}  # fmt: skip

        client.get("/configs/new/?kind=serving")
        answer = client.post(
            "/configs/new/?kind=serving", form_of(spec, team="research", name="small")
        )

        assert answer["Location"] == f"{HOME}r1/"
        assert ConfigRevision.objects.get().spec["keep_warm_s"] == 60

    def test_marks_what_is_wrong_and_keeps_what_was_typed(self, ben, team, client_for):
        spec = {"replicas": "99", "threads": "many", "max_slots": "16", "max_context": "0",
                "dtype": "fp32", "keep_warm_s": ""}  # fmt: skip
        answer = client_for(ben).post(
            "/configs/new/?kind=serving", form_of(spec, team="research", name="small")
        )

        assert answer.status_code == 422
        page = text(answer)
        assert 'value="many"' in page
        assert page.count("field-errors") == 3
        assert not Config.objects.exists()

    def test_reads_a_file_and_stores_nothing_yet(self, ben, team, client_for):
        client = client_for(ben)
        file = SimpleUploadedFile("a.yaml", b"# from home\nreplicas: 3\nthread: 1\n")
        answer = client.post(
            "/configs/new/?kind=serving",
            {"view": "form", "go": "file", "file": file, "team": "research", "name": "mine"},
        )

        page = text(answer)
        assert "Line 3: " in page
        assert "replicas: 3\nthread: 1" in page
        assert 'value="mine"' in page
        assert not Config.objects.exists()

    def test_a_taken_name_is_said_beside_the_name(self, ben, team, one, client_for):
        body = {"view": "yaml", "go": "save", "yaml": "replicas: 2\n", "team": "research",
                "name": "small"}  # fmt: skip
        answer = client_for(ben).post("/configs/new/?kind=serving", body)

        assert answer.status_code == 422
        assert "already" in text(answer)
        assert ConfigRevision.objects.count() == 1


class TestEdit:
    def test_switching_keeps_what_was_typed(self, ben, one, client_for):
        client = client_for(ben)
        typed = form_of({**one.spec, "replicas": "7", "threads": "x"}, base=1, reason="Because")

        as_yaml = text(client.post(f"{HOME}edit/", {**typed, "go": "yaml"}))
        as_form = text(
            client.post(
                f"{HOME}edit/",
                {"view": "yaml", "go": "form", "yaml": "replicas: 8\nthreads: y\n", "base": 1,
                 "reason": "Because"},
            )
        )  # fmt: skip

        assert "replicas: 7\nthreads: x\n" in as_yaml
        assert 'name="view" value="yaml"' in as_yaml
        assert 'value="Because"' in as_yaml
        assert 'name="view" value="form"' in as_form
        assert 'value="8"' in as_form
        assert 'value="y"' in as_form
        assert ConfigRevision.objects.count() == 1

    def test_what_the_form_cannot_hold_stays_yaml(self, ben, one, client_for):
        body = {"view": "yaml", "go": "form", "yaml": "replicas: 8\nreplica: 1\n", "base": 1}
        page = client_for(ben).post(f"{HOME}edit/", body)

        assert page.status_code == 422
        assert 'name="view" value="yaml"' in text(page)
        assert "Line 2: " in text(page)

    def test_form_and_yaml_store_the_same_revision(self, ben, one, client_for):
        client = client_for(ben)
        form = form_of({**one.spec, "replicas": "2"}, base=1, reason="More")
        first = client.post(f"{HOME}edit/", form)
        two = ConfigRevision.objects.get(number=2)
        yaml = text(client.get(f"{HOME}r2/yaml/"))
        again = client.post(
            f"{HOME}edit/", {"view": "yaml", "go": "save", "yaml": yaml, "base": 2, "reason": "x"}
        )

        assert first["Location"] == again["Location"] == f"{HOME}r2/"
        assert two.author == ben
        assert two.reason == "More"
        assert ConfigRevision.objects.count() == 2

    def test_asks_why(self, ben, one, client_for):
        form = form_of({**one.spec, "replicas": "2"}, base=1, reason=" ")
        answer = client_for(ben).post(f"{HOME}edit/", form)

        assert answer.status_code == 422
        assert ConfigRevision.objects.count() == 1

    def test_shows_the_changes_before_storing(self, ben, one, client_for):
        form = form_of({**one.spec, "replicas": "2"}, base=1, go="review")
        page = text(client_for(ben).post(f"{HOME}edit/", form))

        assert "<del>1</del>" in page
        assert "<ins>2</ins>" in page
        assert ConfigRevision.objects.count() == 1

    def test_two_people_overwrite_nothing_unseen(self, ana, ben, team, one, client_for):
        client = client_for(ben)
        revised(ana, team, replicas=5, reason="By Ana")
        mine = form_of({**one.spec, "threads": "3"}, base=1, reason="By Ben")

        refused = client.post(f"{HOME}edit/", mine)

        assert refused.status_code == 409
        page = text(refused)
        assert "By Ana" in page
        assert "<ins>5</ins>" in page
        assert 'name="s-threads" value="3"' in page
        assert 'name="base" value="2"' in page
        assert client.post(f"{HOME}edit/", {**mine, "base": 2})["Location"] == f"{HOME}r3/"

    def test_viewers_cannot(self, eve, one, client_for):
        assert client_for(eve).get(f"{HOME}edit/").status_code == 403
        assert client_for(eve).get(HOME).status_code == 200


class TestOverlay:
    def test_shows_where_each_value_comes_from(self, ben, one, client_for):
        client = client_for(ben)
        url = f"{HOME}overlays/production/"

        preview = client.post(url, {"yaml": "replicas: 4\n", "go": "preview", "base": 0})
        stored = client.post(
            url, {"yaml": "replicas: 4\n", "go": "save", "base": 0, "reason": "Load"}
        )

        assert preview.status_code == 200
        assert text(preview).count('<span class="chip">overlay</span>') == 1
        assert stored["Location"] == url
        assert OverlayRevision.objects.get().patch == {"replicas": 4}
        assert "changes" in text(client.get(HOME))

    def test_says_what_is_wrong_with_the_whole(self, ben, one, client_for):
        body = {"yaml": "replicas: 400\n", "go": "save", "base": 0, "reason": "Load"}
        answer = client_for(ben).post(f"{HOME}overlays/production/", body)

        assert answer.status_code == 422
        assert "Line 1: " in text(answer)
        assert not OverlayRevision.objects.exists()

    def test_overwrites_nothing_unseen(self, ana, ben, one, client_for):
        overlay_revise(
            actor=ana, config=one.config, environment="staging", patch={"replicas": 2}, reason="A"
        )
        body = {"yaml": "replicas: 3\n", "go": "save", "base": 0, "reason": "B"}
        answer = client_for(ben).post(f"{HOME}overlays/staging/", body)

        assert answer.status_code == 409
        assert "replicas: 3" in text(answer)
        assert OverlayRevision.objects.count() == 1

    def test_unknown_environments_and_kinds_have_none(self, ana, team, one, client_for):
        revised(ana, team, kind="training", name="poet", preset="gpt2-1m")
        client = client_for(ana)

        assert client.get(f"{HOME}overlays/moon/").status_code == 404
        training = "/configs/research/training/poet/"
        assert client.get(f"{training}overlays/staging/").status_code == 404
        assert "Environments" not in text(client.get(training))
