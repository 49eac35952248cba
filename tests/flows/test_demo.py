"""The demonstration itself, shortened: the public API from data to an answer, and again."""

import io

import pytest
from django.core.management import call_command

from console.demo.corpus import corpus
from models_app.approvals.models import ApprovalRequest
from models_app.deployments.models import Deployment, RequestRecord
from models_app.registry.models import ModelVersion
from tests.workers.conftest import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]


@pytest.mark.usefixtures("clock", "environments")
def test_the_demo_runs_through_and_finds_its_work_when_run_again(console_url, capsys):
    said = io.StringIO()
    call_command("demo", base_url=console_url, steps=100, stdout=said)

    assert "The demonstration ran through." in said.getvalue()
    version = ModelVersion.objects.get()
    assert version.metrics["validation_loss"] < version.metrics["unigram_entropy"] - 0.5
    request = ApprovalRequest.objects.get()
    assert request.votes.get().user_id != request.created_by_id
    assert Deployment.objects.get().active_revision.approval == request
    wait_for(lambda: RequestRecord.objects.filter(completion_tokens__gt=0).exists(), "a record")

    call_command("demo", base_url=console_url, steps=100, stdout=io.StringIO())

    assert "holds exactly this already" in capsys.readouterr().out
    assert (ModelVersion.objects.count(), ApprovalRequest.objects.count()) == (1, 1)


@pytest.mark.nodb
def test_the_corpus_is_the_same_each_time():
    assert corpus() == corpus()
