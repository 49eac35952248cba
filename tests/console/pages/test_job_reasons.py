"""What the queue writes of a job is read in the reader's language; all else stays as it is."""

import pytest
from django.urls import reverse

from models_app.jobs import attempts
from models_app.jobs.control import job_pause
from models_app.jobs.draining import drain_nodes
from models_app.jobs.models import Job
from models_app.jobs.preemption import _give_way
from models_app.jobs.services import job_cancel
from models_app.pools.models import Node
from models_app.pools.services.operations import node_drain
from tests.factories.jobs import claimed, submitted
from tests.factories.nodes import ready_node

pytestmark = pytest.mark.django_db


@pytest.fixture
def in_chinese(client_for, root):
    """What the page of a job says."""
    client = client_for(root, headers={"accept-language": "zh-hans"})
    return lambda job: client.get(reverse("job_detail", args=[job.pk])).content.decode()


def test_a_pause(in_chinese, root, team):
    job = job_pause(actor=root, job=submitted(team))

    assert f"由 {root.email} 暂停。" in in_chinese(job)


def test_a_cancellation_before_and_in_the_run(in_chinese, root, team):
    waits, runs = submitted(team), claimed(team)
    for job in (waits, runs):
        job_cancel(actor=root, job=job)
    attempts.job_stopped(job=runs, attempt={})

    assert f"在运行前由 {root.email} 取消。" in in_chinese(waits)
    assert f"由 {root.email} 取消。" in in_chinese(runs)


def test_a_job_that_gives_way(in_chinese, team):
    low, high = claimed(team), submitted(team, priority=7)
    _give_way(low, high)

    assert f"它让位于任务 {high.pk}（优先级 7）。" in in_chinese(low)


def test_a_drain(in_chinese, root, team):
    ready_node("node-1")
    job = claimed(team)
    node_drain(actor=root, node=Node.objects.get())
    drain_nodes()

    assert "其节点正在排空" in in_chinese(job)


def test_words_of_others_stay(in_chinese, team):
    job = claimed(team)
    Job.objects.filter(pk=job.pk).update(reason="Paused by hand? <no>")

    assert "Paused by hand? &lt;no&gt;" in in_chinese(job)
