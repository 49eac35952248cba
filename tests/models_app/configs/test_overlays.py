"""Overlays: merge patches of environments, checked as a whole, in revisions of their own."""

import pytest

from models_app.configs.merging import merge_patch
from models_app.configs.services import config_revise, config_save, effective_spec, overlay_revise
from models_app.configs.specs import ServingSpec
from models_app.core.errors import Conflict, InvalidInput, NotFound, WrongState
from tests.factories.deployments import environment

V1 = "/api/v1"


@pytest.fixture
def config(ana, team):
    environment("production")
    row = config_revise(actor=ana, team=team, kind="serving", name="small", spec={"replicas": 2})
    return row.config


def overlay(actor, config, *, env="production", reason="Load", base=None, **patch):
    return overlay_revise(
        actor=actor, config=config, environment=env, patch=patch, reason=reason, base=base
    )


@pytest.mark.parametrize(
    "base, patch, merged",
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merges_as_rfc_7396_says(base, patch, merged):
    assert merge_patch(base, patch) == merged


def test_tells_where_each_setting_comes_from():
    whole = effective_spec("serving", {"replicas": 2, "threads": 4}, {"replicas": 3})

    assert (whole.spec.replicas, whole.spec.threads) == (3, 4)
    assert whole.source_of("replicas") == "overlay"
    assert whole.source_of("threads") == "base"
    same = effective_spec("serving", {"replicas": 3, "threads": 4}, {})
    assert same.digest == whole.digest


@pytest.mark.django_db
class TestOverlays:
    def test_are_numbered_per_environment_and_never_changed(self, ana, config):
        one = overlay(ana, config, replicas=4)
        same = overlay(ana, config, replicas=4)
        two = overlay(ana, config, replicas=5)

        assert one == same
        assert [one.number, two.number] == [1, 2]
        one.refresh_from_db()
        assert one.patch == {"replicas": 4}

    def test_are_checked_as_a_whole(self, ana, config):
        with pytest.raises(InvalidInput) as refused:
            overlay(ana, config, replicas=99, replica=1)

        assert set(refused.value.errors) == {"patch.replicas", "patch.replica"}
        with pytest.raises(InvalidInput):
            overlay(ana, config, env="moon", replicas=1)

    def test_need_a_reason_and_an_environment(self, ana, team, config):
        with pytest.raises(InvalidInput):
            overlay(ana, config, reason=" ", replicas=3)
        spec = {"preset": "gpt2-1m"}
        row = config_revise(actor=ana, team=team, kind="training", name="t", spec=spec)
        with pytest.raises(WrongState):
            overlay(ana, row.config, steps=3)

    def test_overwrite_nothing_unseen(self, ana, config):
        overlay(ana, config, replicas=4, base=0)
        with pytest.raises(Conflict) as refused:
            overlay(ana, config, replicas=5, base=0)

        assert [c["path"] for c in refused.value.extra["changes"]] == ["replicas"]

    def test_outsiders_see_nothing(self, cai, config):
        with pytest.raises(NotFound):
            overlay(cai, config, replicas=3)


@pytest.mark.django_db
class TestApi:
    def test_stores_and_merges(self, ben, config, api_for):
        api = api_for(ben)
        url = f"{V1}/configs/{config.pk}/overlays/production"

        made = api.post(url, {"yaml": "replicas: 4\n", "reason": "Load", "base_revision": 0})
        stale = api.post(url, {"patch": {}, "reason": "x"}, headers={"If-Match": '"o0"'})
        whole = api.get(f"{url}/effective").json()

        assert made.status_code == 201
        assert stale.status_code == 412
        assert api.get(url).json()["results"][0]["patch"] == {"replicas": 4}
        assert (whole["spec"]["replicas"], whole["sources"]["replicas"]) == (4, "overlay")
        assert whole["sources"]["threads"] == "base"
        assert api.get(f"{V1}/configs/{config.pk}/overlays/moon").status_code == 404

    def test_a_revision_that_an_overlay_does_not_fit_is_refused(self, ben, team, config):
        overlay(ben, config, max_slots=None, replicas=4)

        saved = config_save(actor=ben, team=team, kind="serving", name="small",
                            spec=ServingSpec(replicas=3), reason="Less")  # fmt: skip

        assert saved.number == 2
