"""A draft is a ready n-gram version of the team over the same tokenizer, and approved as such."""

import io

import pytest

from models_app.core.blobs import blob_put
from models_app.core.digests import tree_digest
from models_app.core.errors import FieldError
from models_app.deployments.digest import revision_digest
from models_app.deployments.models import Revision
from models_app.deployments.reconcile import reconcile_deployment
from models_app.jobs.kind import JobFailed, kind_of
from models_app.registry.models import ModelVersion
from models_app.registry.states import Family, VersionState
from tests.factories.deployments import (
    adapter_version,
    claim,
    deployment_of,
    live,
    ready_version,
    revision_of,
)

pytestmark = pytest.mark.django_db


def with_tokenizer(version, tokenizer):
    """The version with this tokenizer file."""
    sha256, size = blob_put(io.BytesIO(tokenizer.encode()))
    version.manifest["tokenizer.json"] = {"sha256": sha256, "size": size}
    version.digest = tree_digest(version.manifest)
    version.save()
    return version


def ngram(team, tokenizer="letters", name="grams", **fields):
    version = with_tokenizer(ready_version(team, name=name, text=f"counts {name}"), tokenizer)
    version.model.family = Family.NGRAM
    version.model.save()
    ModelVersion.objects.filter(pk=version.pk).update(**fields)
    return version


@pytest.fixture
def talker(team):
    return with_tokenizer(ready_version(team, name="talker"), "letters")


@pytest.fixture
def deployment(ana, team):
    return deployment_of(ana, team)


def refusal(ana, deployment, version, **spec):
    with pytest.raises(FieldError) as refused:
        revision_of(ana, deployment, version=version, **spec)
    assert refused.value.field == "spec.draft"
    return refused.value.errors["spec.draft"][0]


def test_a_version_over_the_same_tokenizer_is_taken_and_bound(ana, team, deployment, talker):
    draft = ngram(team)
    revision = revision_of(
        ana, deployment, version=talker, draft=f"{team.slug}/grams:v1", draft_tokens=3
    )
    assert revision_digest(revision) == revision.digest
    changed = {"model.safetensors": draft.manifest["tokenizer.json"]}
    ModelVersion.objects.filter(pk=draft.pk).update(manifest=changed)
    assert revision_digest(Revision.objects.get(pk=revision.pk)) != revision.digest


def test_the_request_itself_may_guess(ana, deployment, talker):
    revision = revision_of(ana, deployment, version=talker, draft="prompt")
    assert revision_digest(revision) == revision.digest


def test_an_adapter_has_the_tokenizer_of_its_base(ana, team, deployment, talker):
    ngram(team)
    tuned = adapter_version(team, talker)
    revision_of(ana, deployment, version=tuned, draft=f"{team.slug}/grams:v1")


@pytest.mark.parametrize(
    "name", ["grams:v1", "{team}/grams:v7", "{team}/grams:v0", "{team}/grams", "elsewhere/grams:v1"]
)
def test_a_name_of_nothing_is_refused(ana, team, deployment, talker, name):
    ngram(team)
    said = refusal(ana, deployment, talker, draft=name.format(team=team.slug))
    assert "team/model:v3" in said


def test_a_version_of_another_team_is_refused_like_one_that_is_not_there(
    ana, deployment, talker, other_team
):
    ngram(other_team)
    said = refusal(ana, deployment, talker, draft=f"{other_team.slug}/grams:v1")
    assert "team/model:v3" in said


def test_what_is_not_ready_or_no_ngram_or_cut_otherwise_is_refused(ana, team, deployment, talker):
    ngram(team, name="early", state=VersionState.PENDING)
    assert "only a ready version" in refusal(ana, deployment, talker, draft=f"{team.slug}/early:v1")
    with_tokenizer(ready_version(team, name="big"), "letters")
    assert "no n-gram model" in refusal(ana, deployment, talker, draft=f"{team.slug}/big:v1")
    ngram(team, name="words", tokenizer="words")
    said = refusal(ana, deployment, talker, draft=f"{team.slug}/words:v1")
    assert "another tokenizer" in said


def test_what_takes_no_drafts_is_told_so(ana, team, deployment, talker):
    counted = ngram(team)
    assert "as fast as" in refusal(ana, deployment, counted, draft="prompt")
    assert "without drafts" in refusal(ana, deployment, talker, draft="prompt", backend="vllm")


class TestServing:
    def load(self, ana, team, deployment, talker, folder, **spec):
        revision_of(ana, deployment, version=talker, **spec)
        reconcile_deployment(deployment.pk)
        kind, params = kind_of(job := claim(live(deployment)[0]))
        return lambda: kind.load(params, job, folder)

    def test_the_files_lie_beside_the_model(self, ana, team, deployment, talker, tmp_path):
        ngram(team)
        name = f"{team.slug}/grams:v1"
        inputs = self.load(ana, team, deployment, talker, tmp_path, draft=name, draft_tokens=2)()
        assert (inputs["draft"], inputs["draft_tokens"]) == (name, 2)
        assert inputs["draft_dir"] == str(tmp_path / "draft")
        assert (tmp_path / "draft" / "model.safetensors").read_text() == "counts grams"

    def test_without_one_nothing_is_laid(self, ana, team, deployment, talker, tmp_path):
        inputs = self.load(ana, team, deployment, talker, tmp_path, prefix_cache=False)()
        assert (inputs["draft"], inputs["prefix_cache"]) == ("", False)
        assert "draft_dir" not in inputs
        assert not (tmp_path / "draft").exists()

    def test_a_draft_out_of_use_is_not_loaded(self, ana, team, deployment, talker, tmp_path):
        draft = ngram(team)
        load = self.load(ana, team, deployment, talker, tmp_path, draft=f"{team.slug}/grams:v1")
        ModelVersion.objects.filter(pk=draft.pk).update(state=VersionState.QUARANTINED)
        with pytest.raises(JobFailed, match=r"draft grams:v1 is|draft .* is"):
            load()
