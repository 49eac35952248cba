"""Deployments made from configurations take the overlay of their environment, once and for all."""

import pytest

from models_app.configs.services import config_revise, overlay_revise
from models_app.configs.specs import ServingSpec
from models_app.core.errors import InvalidInput
from models_app.core.validation import parse
from models_app.deployments.digest import revision_digest
from models_app.deployments.models import Revision
from models_app.deployments.services import deployment_scale, revision_create
from tests.factories.deployments import deployment_of, environment, ready_version, settle

V1 = "/api/v1"
pytestmark = pytest.mark.django_db


@pytest.fixture
def base(ana, team):
    environment("development")
    return config_revise(
        actor=ana, team=team, kind="serving", name="small", spec={"replicas": 1, "threads": 2}
    )


def overlaid(actor, base, **patch):
    return overlay_revise(
        actor=actor, config=base.config, environment="development", patch=patch, reason="Load"
    )


def made_from(actor, team, base, *, name="writer", env="development"):
    return revision_create(
        actor=actor,
        deployment=deployment_of(actor, team, name=name, env=env),
        model_version=ready_version(team, text=name),
        config_revision=base,
    )


def test_takes_the_overlay_of_its_environment_and_records_both(ana, team, base):
    overlay = overlaid(ana, base, replicas=3)

    here = made_from(ana, team, base)
    there = made_from(ana, team, base, name="other", env="staging")

    assert (here.config_revision, here.overlay_revision) == (base, overlay)
    assert (here.replicas, here.spec_in_effect["threads"]) == (3, 2)
    assert here.settings_from == "small r1 + development o1"
    assert (there.replicas, there.overlay_revision) == (1, None)
    assert there.settings_from == "small r1"


def test_a_later_overlay_changes_nothing_that_exists(ana, team, base):
    overlaid(ana, base, replicas=3)
    made = made_from(ana, team, base)

    overlaid(ana, base, replicas=5)

    again = Revision.objects.get(pk=made.pk)
    assert again.spec_in_effect["replicas"] == 3
    assert revision_digest(again) == made.digest


def test_the_digest_covers_what_the_overlay_made(ana, team, base):
    overlaid(ana, base, replicas=3)
    made = made_from(ana, team, base)

    Revision.objects.filter(pk=made.pk).update(overlaid_spec={**made.overlaid_spec, "threads": 9})

    assert revision_digest(Revision.objects.get(pk=made.pk)) != made.digest


def test_scaling_keeps_what_the_overlay_made(ana, team, base):
    overlaid(ana, base, replicas=2, max_slots=4)
    made = made_from(ana, team, base)
    settle(made.deployment)

    scaled = deployment_scale(actor=ana, deployment=made.deployment, replicas=1)

    assert scaled.spec_in_effect == {**made.spec_in_effect, "replicas": 1}
    assert scaled.config_revision.config.name == "writer"


def test_refuses_what_does_not_fit(ana, team, base, other_team, cai):
    training = config_revise(
        actor=ana, team=team, kind="training", name="t", spec={"preset": "gpt2-1m"}
    )
    foreign = config_revise(actor=cai, team=other_team, kind="serving", name="x", spec={})
    deployment = deployment_of(ana, team)
    version = ready_version(team)

    def refused(**settings):
        with pytest.raises(InvalidInput) as error:
            revision_create(actor=ana, deployment=deployment, model_version=version, **settings)
        return set(error.value.errors)

    assert refused(config_revision=training) == {"config_revision"}
    assert refused(config_revision=foreign) == {"config_revision"}
    assert refused(config_revision=base, spec={}) == {"spec"}
    assert refused() == {"spec"}


def test_api_takes_and_tells_both(ben, team, base, api_for):
    overlay = overlaid(ben, base, replicas=3)
    deployment = deployment_of(ben, team)
    version = ready_version(team)
    api = api_for(ben)
    body = {"model_version": version.pk, "config_revision": base.pk, "reason": "x"}

    plan = api.post(f"{V1}/deployments/{deployment.pk}/plan", {
        "model_version": version.pk, "config_revision": base.pk})  # fmt: skip
    made = api.post(f"{V1}/deployments/{deployment.pk}/revisions", body).json()
    unknown = api.post(
        f"{V1}/deployments/{deployment.pk}/revisions", {**body, "config_revision": 99999}
    )

    assert plan.json()["replicas_to_start"] == 3
    assert (made["config_revision"], made["overlay_revision"]) == (base.pk, overlay.pk)
    assert (made["spec"]["replicas"], made["environment"]) == (3, "development")
    assert set(unknown.json()["errors"]) == {"config_revision"}


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"strategy": "canary", "bake_s": 0}, "bake_s"),
        ({"strategy": "linear", "step_percent": 100}, "step_percent"),
        ({"strategy": "all_at_once", "capacity": "surge"}, "capacity"),
        ({"strategy": "canary", "judge": "other"}, "judge"),
        ({"strategy": "shadow", "min_win_percent": 40}, "min_win_percent"),
    ],
)
def test_a_way_into_service_that_is_probably_not_meant_is_warned_of(settings, field):
    assert field in ServingSpec(**settings).warnings()
    assert field not in ServingSpec().warnings()


@pytest.mark.parametrize("prompt", ["", "a\0b", "x" * 4001])
def test_golden_prompts_that_cannot_be_asked_are_refused(prompt):
    with pytest.raises(InvalidInput) as caught:
        parse(ServingSpec, {"golden_prompts": [prompt]}, "spec")
    assert set(caught.value.errors) == {"spec.golden_prompts.0"}
