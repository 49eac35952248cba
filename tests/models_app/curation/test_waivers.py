"""The data policy: what it blocks, how a block is waived, and what ends a waiver."""

import pytest

from models_app.approvals.models import ApprovalRequest
from models_app.approvals.services import approval_settle, approval_vote
from models_app.core.errors import Conflict, FieldError, InvalidInput, PermissionDenied, WrongState
from models_app.curation.services import (
    data_policy_change,
    dataset_prepare,
    quality_check_complete,
    waiver_request,
)
from models_app.datasets.models import QualityPolicy
from models_app.datasets.quality import policy_spec, quality_of
from models_app.registry.services import model_create, training_start
from tests.factories.data import ready_version
from tests.factories.deployments import environment
from tests.workers.jobs.test_train import TINY

pytestmark = pytest.mark.django_db
BLOCK = {"secrets": {"action": "block", "max_percent": 0.5}}


@pytest.fixture
def version(ben, team, tmp_path):
    return ready_version(ben, team, tmp_path)


@pytest.fixture(autouse=True)
def production(db):
    return environment("production")


def checked(version, secrets=1, documents=100):
    """A report in which so many documents hold secrets."""
    rows = [{"split": "train", "index": 10 * n, "detail": "1 found"} for n in range(secrets)]
    report = {
        "documents": {"train": documents, "validation": 0, "total": documents},
        "measures": {"secrets": {"count": secrets, "of": documents, "rows": rows[:20]}},
        "languages": {"en": documents},
    }
    return quality_check_complete(version_id=version.pk, job=None, report=report, files={})


def train(actor, team, version):
    model = model_create(actor=actor, team=team, name="poet")
    return training_start(actor=actor, team=team, model=model, dataset_version=version, spec=TINY)


class TestPolicy:
    def test_blocks_the_training_with_rule_figure_and_rows(self, ana, ben, team, version):
        data_policy_change(actor=ana, team=team, spec=BLOCK)
        checked(version)

        with pytest.raises(InvalidInput) as refusal:
            train(ben, team, version)

        [said] = refusal.value.errors["dataset_version"]
        assert "Secrets 1 % (1 of 100, at most 0.5 %) in rows train 0" in said

    def test_lets_through_what_is_at_the_limit(self, ana, ben, team, version):
        data_policy_change(
            actor=ana, team=team, spec={"secrets": {"action": "block", "max_percent": 1}}
        )
        assert checked(version).state == "passed"
        assert train(ben, team, version).state == "pending"

    def test_warns_without_blocking_at_first(self, ben, team, version):
        quality = checked(version)

        assert quality.state == "passed"
        assert [b["measure"] for b in quality.breaches] == ["secrets"]
        assert train(ben, team, version).state == "pending"

    def test_judges_every_version_of_the_team_anew(self, ana, team, version):
        checked(version)
        data_policy_change(actor=ana, team=team, spec=BLOCK)
        assert quality_of(version).state == "blocked"

        data_policy_change(actor=ana, team=team, spec={}, reason="Too strict")
        assert quality_of(version).state == "passed"
        assert [row.number for row in QualityPolicy.objects.filter(team=team)] == [2, 1]

    def test_keeps_the_revision_that_says_the_same(self, ana, team):
        one, two = (data_policy_change(actor=ana, team=team, spec=BLOCK) for _ in range(2))
        assert one == two

    def test_may_refuse_what_is_not_checked(self, ana, ben, team, version):
        data_policy_change(actor=ana, team=team, spec={"unchecked": "refuse"})
        with pytest.raises(InvalidInput, match="not checked yet"):
            train(ben, team, version)

    def test_is_changed_by_admins_alone(self, ben, team):
        with pytest.raises(PermissionDenied):
            data_policy_change(actor=ben, team=team, spec=BLOCK)

    def test_names_the_wrong_field(self, ana, team):
        with pytest.raises(InvalidInput) as refusal:
            data_policy_change(actor=ana, team=team, spec={"empty": {"max_percent": 101}})
        assert "spec.empty.max_percent" in refusal.value.errors
        assert policy_spec(team.pk).empty.max_percent == 0

    def test_counts_languages_that_are_not_wanted(self, ana, team, version):
        spec = {"languages": ["de"], "other_languages": {"action": "block", "max_percent": 10}}
        data_policy_change(actor=ana, team=team, spec=spec)
        assert checked(version).state == "blocked"


class TestWaiver:
    @pytest.fixture
    def blocked(self, ana, team, version):
        data_policy_change(actor=ana, team=team, spec=BLOCK)
        checked(version)
        return version

    def test_lets_others_let_the_version_through(self, ben, dan, team, blocked):
        request = waiver_request(actor=ben, version=blocked, reason="The key is a dummy.")
        assert quality_of(blocked).state == "blocked"
        with pytest.raises(PermissionDenied):
            approval_vote(actor=ben, request=request, decision="approve")

        approval_vote(actor=dan, request=request, decision="approve")

        request.refresh_from_db()
        assert (request.state, quality_of(blocked).state) == ("executed", "waived")
        assert train(ben, team, blocked).state == "pending"

    def test_ends_with_a_new_report(self, ben, dan, team, blocked):
        request = waiver_request(actor=ben, version=blocked, reason="A dummy.")
        approval_vote(actor=dan, request=request, decision="approve")

        checked(blocked)
        assert quality_of(blocked).state == "waived"  # the same report is no news
        checked(blocked, secrets=2)

        assert quality_of(blocked).state == "blocked"

    def test_is_stale_once_the_policy_changes(self, ana, ben, dan, team, blocked):
        request = waiver_request(actor=ben, version=blocked, reason="A dummy.")
        data_policy_change(actor=ana, team=team, spec={**BLOCK, "empty": {"action": "block"}})

        request.refresh_from_db()
        assert request.state == "stale"
        assert approval_settle(request_id=request.pk).state == "stale"
        with pytest.raises(WrongState):
            approval_vote(actor=dan, request=request, decision="approve")
        assert quality_of(blocked).state == "blocked"

    def test_stays_blocked_when_it_is_rejected(self, ben, dan, blocked):
        request = waiver_request(actor=ben, version=blocked, reason="A dummy.")
        approval_vote(actor=dan, request=request, decision="reject", comment="No.")
        assert quality_of(blocked).state == "blocked"
        assert waiver_request(actor=ben, version=blocked, reason="Look again.").state == "open"

    def test_needs_a_block_and_a_reason_and_is_asked_for_once(self, ben, eve, blocked):
        with pytest.raises(FieldError):
            waiver_request(actor=ben, version=blocked, reason=" ")
        with pytest.raises(PermissionDenied):
            waiver_request(actor=eve, version=blocked, reason="Please.")
        waiver_request(actor=ben, version=blocked, reason="A dummy.")
        with pytest.raises(Conflict):
            waiver_request(actor=ben, version=blocked, reason="A dummy.")
        assert ApprovalRequest.objects.count() == 1

    def test_is_not_for_what_passes(self, ben, version):
        checked(version)
        with pytest.raises(WrongState):
            waiver_request(actor=ben, version=version, reason="Just in case.")

    def test_is_not_needed_to_prepare_a_better_version(self, ben, blocked):
        assert dataset_prepare(actor=ben, parent=blocked, spec={}).state == "pending"
