"""Tabs that explain a version: verify, lineage, card, rebuild; and continuing from a checkpoint."""

# Fixtures are imported and then named as arguments.
# ruff: noqa: F401, F811

import re

import pytest

from console.pages.markdown import markdown
from console.pages.registry.picture import picture
from models_app.deployments.lineage.graph import Graph
from models_app.deployments.lineage.nodes import Node
from models_app.jobs.models import Checkpoint, Job
from models_app.registry.models import CardText, ModelVersion, Reproduction
from models_app.registry.services import card_write
from tests.fakes.jobs import run_job
from tests.matrix import assert_hidden, assert_needs_sign_in
from tests.models_app.registry.conftest import data, evaluated, model, trained, version

pytestmark = pytest.mark.django_db
V1 = "/models/research/poet/versions/1/"


def text(answer):
    assert answer.status_code == 200, answer
    return re.sub(r"\s+", " ", answer.content.decode())


class TestTabs:
    def test_verify_and_rebuild_from_the_page(self, ben, version, client_for, tmp_path):
        client = client_for(ben)

        before = text(client.get(f"{V1}?tab=provenance"))
        checked = text(client.get(f"{V1}?tab=provenance&verify=1"))
        assert client.post(f"{V1}reproduce/").status_code == 302
        row = Reproduction.objects.get()
        run_job(row.job, tmp_path)
        shown = text(client.get(f"{V1}?tab=reproduce"))

        assert "files/model.safetensors" not in before
        assert "files/model.safetensors" in checked
        assert " 0 differ, 0 missing" in checked
        assert "Equal" in shown and "weights" in shown

    def test_lineage_is_a_picture_with_links(self, ben, version, client_for):
        shown = text(client_for(ben).get(f"{V1}?tab=lineage"))

        assert f'<a href="/jobs/{version.produced_by_id}/">' in shown
        assert "/datasets/research/texts/" in shown
        sha256 = version.dataset_version.source["files"][0]["sha256"]
        assert f"node=file%3A{sha256}" in shown
        assert "a.txt" in text(client_for(ben).get(f"/lineage/?node=file:{sha256}"))

    def test_card_shows_words_safely_and_keeps_their_history(self, ben, version, client_for):
        client = client_for(ben)

        for body in ("First *words*.", "Second.\n\n<script>alert(1)</script>"):
            client.post(f"{V1}card/", {"body": body, "tags": "verse, x", "license": "mit"})
        shown = text(client.get(f"{V1}?tab=card"))

        assert CardText.objects.count() == 2
        assert "Second." in shown and "- First *words*." in shown
        assert "<script>alert" not in shown
        assert "<td>6</td>" in shown  # the steps, from the configuration

    def test_say_what_is_wrong_with_words(self, ben, version, client_for):
        answer = client_for(ben).post(f"{V1}card/", {"license": "Mine!"})

        assert answer.status_code == 422
        assert not CardText.objects.exists()

    def test_are_for_the_team(self, cai, eve, version, client_for):
        urls = [f"{V1}?tab={tab}" for tab in ("lineage", "card", "reproduce")]
        posts = [f"{V1}card/", f"{V1}reproduce/"]

        assert_hidden(client_for(cai), [*urls, f"/lineage/?node=model_version:{version.pk}"], posts)
        assert_needs_sign_in(urls, posts)
        assert [client_for(eve).post(url).status_code for url in posts] == [403, 403]
        assert "Rebuild</button>" not in text(client_for(eve).get(f"{V1}?tab=reproduce"))


class TestCheckpoints:
    @pytest.fixture
    def checkpoint(self, version):
        return Checkpoint.objects.create(
            job=version.produced_by, epoch=1, step=2, path="/nowhere/step-000002.a1",
            digest="0" * 64, size_bytes=1, manifest={
                "step-000002.a1/config.json": version.manifest["config.json"],
                "step-000002.a1/state.json": version.manifest["config.json"],
            },
        )  # fmt: skip

    def test_are_kept_continued_and_downloaded_from_the_page_of_the_run(
        self, ben, version, checkpoint, client_for
    ):
        client, one = client_for(ben), f"/checkpoints/{checkpoint.pk}/"

        assert f"{one}continue/" in text(client.get(f"/jobs/{checkpoint.job_id}/"))
        client.post(f"{one}keep/", {"keep": "yes"})
        checkpoint.refresh_from_db()
        assert checkpoint.pinned_at
        assert "the uninterrupted run" in text(client.get(f"{one}continue/"))
        refused = client.post(f"{one}continue/", {"steps": 1})
        assert refused.status_code == 422
        assert "at step 2 already" in refused.content.decode()
        client.post(f"{one}continue/", {"steps": 9})
        assert ModelVersion.objects.get(number=2).continued_from["step"] == 2
        assert client.get(f"{one}file/")["Content-Type"] == "application/x-tar"

    def test_of_others_are_hidden(self, cai, checkpoint, client_for):
        one = f"/checkpoints/{checkpoint.pk}/"

        assert_hidden(client_for(cai), [f"{one}continue/", f"{one}file/"], [f"{one}keep/"])


class TestPicture:
    def node(self, kind, key, version):
        row = (
            version.evaluations.model(version=version, pk=key) if kind == "evaluation" else version
        )
        return Node(kind=kind, key=str(key), title=f"{kind} {key}", row=row)

    def test_of_two_hundred_things_folds_and_unfolds(self, version):
        start = self.node("model_version", 1, version)
        made = [self.node("evaluation", key, version) for key in range(200)]
        graph = Graph(
            start=start, nodes={node.id: node for node in (start, *made)},
            edges=[(start.id, node.id) for node in made],
        )  # fmt: skip

        folded, whole = picture(graph), picture(graph, unfold=True)

        assert (len(folded["boxes"]), folded["folded"]) == (7, 195)
        assert len(folded["lines"]) == 6
        assert len(whole["boxes"]) == 201
        places = {(box.x, box.y) for box in whole["boxes"]}
        assert len(places) == 201


class TestMarkdown:
    @pytest.mark.parametrize(
        "given",
        ["<b onclick=x>", "[x](javascript:alert(1))", "![x](http://evil/x.png)",
         "| a |\n|:-:|\n| b |", "<style>*{}</style>"],
    )  # fmt: skip
    def test_gives_nothing_that_the_policy_forbids(self, given):
        shown = markdown(given)

        assert not re.search(r"<(script|style|img|b)\b|style=|href=.javascript", shown)
