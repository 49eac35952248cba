"""What is measured, from the tables that the product really writes."""

import datetime as dt

import pytest
from django.db.models.functions import Now

from models_app.alerts.measuring import MEASURED
from models_app.alerts.signals import Question
from models_app.core.clock import now
from models_app.datasets.models import Dataset, DatasetVersion, VersionQuality
from models_app.deployments.models import Replica, RequestRecord
from models_app.jobs.models import Job, JobAttempt
from models_app.pools.models import Node
from models_app.registry.models import VersionScan
from tests.factories.deployments import live, ready_version, serving
from tests.factories.jobs import submitted
from tests.factories.nodes import pool_of, ready_node, silent_node

pytestmark = pytest.mark.django_db


def ask(signal, **narrowed):
    return MEASURED[signal](Question(**{"minutes": 5, **narrowed}))


def ended(team, state, count, minutes=1):
    for _ in range(count):
        job = submitted(team)
        at = Now() - dt.timedelta(minutes=minutes)
        Job.objects.filter(pk=job.pk).update(state=state, finished_at=at)


def called(deployment, count, *, status=200, ms=100.0, minutes=1):
    at = now() - dt.timedelta(minutes=minutes)
    RequestRecord.objects.bulk_create(
        RequestRecord(
            request_id=f"r{n}", at=at, deployment=deployment, endpoint="chat", status=status,
            total_ms=ms * n, first_token_ms=ms,
        )
        for n in range(count)
    )  # fmt: skip


def test_the_longest_wait_of_each_pool(team, other_team):
    ready_node()
    old, young = submitted(team), submitted(other_team)
    past = Now() - dt.timedelta(minutes=10)
    Job.objects.filter(pk=old.pk).update(run_after=past, created_at=past, state="pending")
    Job.objects.filter(pk=young.pk).update(run_after=Now() + dt.timedelta(minutes=5))

    found = ask("queue_wait_seconds")

    assert list(found) == [(team.pk, old.pool.name)]
    assert found[team.pk, old.pool.name] == pytest.approx(600, abs=5)
    assert ask("queue_wait_seconds", pool="other") == {}
    assert ask("queue_wait_seconds", kind="train") == {}


def test_failed_jobs_of_the_last_minutes_by_kind(team):
    ready_node()
    ended(team, "failed", 2)
    ended(team, "timed_out", 1)
    ended(team, "canceled", 4)
    ended(team, "failed", 3, minutes=10)
    key = (team.pk, "self_test")

    assert ask("jobs_failed") == {key: 3}
    assert ask("jobs_failed", minutes=20) == {key: 6}
    assert ask("jobs_failed", kind="train") == {}
    assert ask("jobs_failed_percent") == {}, "of three jobs a share says nothing"

    ended(team, "succeeded", 3)
    assert ask("jobs_failed_percent") == {key: 50}


def test_nodes_count_for_every_pool_whose_labels_they_carry(team):
    ready_node("a", labels={"zone": "x"})
    silent_node("b", labels={"zone": "x"})
    Node.objects.create(name="c", state="removed", started_at=now(), last_seen_at=now())
    pool_of("closed", teams=[team], selector={"zone": "x"})
    pool_of("open", selector={"zone": "x"})

    found = ask("nodes_unreachable")

    assert found[team.pk, "closed"] == found[None, "open"] == 1
    assert ask("nodes_unreachable", pool="open") == {(None, "open"): 1}


def test_the_fullest_disk_of_a_living_node_that_tells_it():
    pool_of("all", selector={"zone": "x"})
    ready_node("a", labels={"zone": "x"})
    assert ask("node_disk_free_percent", pool="all") == {}, "no node says it"

    silent_node("b", labels={"zone": "x"})
    for name, free in (("a", 200), ("b", 1)):
        health = {"disk_free_mib": free, "disk_total_mib": 1000}
        Node.objects.filter(name=name).update(health=health)
    assert ask("node_disk_free_percent", pool="all") == {(None, "all"): 20}


def test_replicas_and_requests_of_deployments(settings, tmp_path, ana, team):
    settings.DATA_DIR = tmp_path
    ready_node()
    writer = serving(ana, team, replicas=2)
    key = (team.pk, "writer")
    assert ask("replicas_missing") == {key: 0}
    assert ask("request_error_percent") == {}, "nobody asked it"

    Replica.objects.filter(pk=Replica.objects.first().pk).update(state="crashed")
    called(writer, 4, status=502)
    assert ask("request_error_percent") == {}, "four requests say nothing"
    called(writer, 16)
    called(writer, 50, status=502, minutes=10)

    assert ask("replicas_missing", deployment="writer") == {key: 1}
    assert ask("request_error_percent", environment="development") == {key: 20}
    assert ask("request_error_percent", besides=("development",)) == {}
    assert ask("request_error_percent", environment="production") == {}
    assert ask("request_p95_ms")[key] == pytest.approx(1400, abs=50)
    assert ask("first_token_p95_ms") == {key: 100}


def test_deaths_of_replicas(settings, tmp_path, ana, team):
    settings.DATA_DIR = tmp_path
    ready_node()
    deployment = serving(ana, team, replicas=2)
    key = (team.pk, "writer")
    assert ask("replica_crash_loop") == {}
    first, second = live(deployment)
    for code in ("killed", "killed", "lease_expired", "canceled_by"):
        JobAttempt.objects.create(
            job=first.job, epoch=90 + JobAttempt.objects.count(), node_name="node-1", worker="w",
            started_at=now(), ended_at=now(), reason_code=code,
        )  # fmt: skip
    JobAttempt.objects.create(
        job=second.job, epoch=90, node_name="node-1", worker="w", started_at=now(), ended_at=now(),
        reason_code="oom",
    )  # fmt: skip
    assert ask("replica_crash_loop") == {key: 3}
    JobAttempt.objects.update(ended_at=now() - dt.timedelta(minutes=20))
    assert ask("replica_crash_loop") == {}


def test_newly_blocked_data_and_models(settings, tmp_path, team):
    settings.DATA_DIR = tmp_path
    ready_node()
    dataset = Dataset.objects.create(team=team, name="letters")
    version = DatasetVersion.objects.create(dataset=dataset, number=1)
    VersionQuality.objects.create(version=version, state="blocked")
    VersionScan.objects.create(
        version=ready_version(team), produced_by=submitted(team), ruleset=1, verdict="blocked"
    )

    assert ask("dataset_versions_blocked") == {(team.pk, "letters"): 1}
    assert ask("scans_blocked") == {(team.pk, "poet"): 1}

    VersionQuality.objects.update(changed_at=now() - dt.timedelta(minutes=6))
    assert ask("dataset_versions_blocked") == {}
